"""The data directory of the API's tests."""

from tests.unit.api.conftest import data_dir, template

__all__ = ["data_dir", "template"]
