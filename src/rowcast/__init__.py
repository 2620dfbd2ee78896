"""rowcast: a realtime backend that every PocketBase client can talk to.

`App`, `Client` and `Config` are imported when they are first asked for, so that a tool that
needs a part of the package does not load the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowcast.app import App
    from rowcast.client import Client
    from rowcast.config import Config

__all__ = ["App", "Client", "Config", "__version__"]

__version__ = "0.1.0"

_HOMES = {"App": "rowcast.app", "Client": "rowcast.client", "Config": "rowcast.config"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type is that of the export
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
