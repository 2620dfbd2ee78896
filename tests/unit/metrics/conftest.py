"""The data directory of the API's tests."""

from tests.unit.api.conftest import data_dir, tell, template

__all__ = ["data_dir", "tell", "template"]
