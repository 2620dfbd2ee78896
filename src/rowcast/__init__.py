"""rowcast: a realtime backend that every PocketBase client can talk to."""

__version__ = "0.1.0"
