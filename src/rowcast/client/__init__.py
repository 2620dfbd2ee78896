"""A client of rowcast and PocketBase servers for asyncio.

It stands alone: nothing of the server is imported with it.
"""

from __future__ import annotations

from rowcast.client.auth_store import AuthStore, FileAuthStore
from rowcast.client.batch import Batch, BatchResult
from rowcast.client.client import Client
from rowcast.client.collection import Collection
from rowcast.client.errors import ClientError, ClientResponseError, DecodeError, MfaRequiredError, UsageError
from rowcast.client.filters import Condition, field
from rowcast.client.realtime.channel import Gap
from rowcast.client.realtime.subscription import Event, Leave, Message, Subscription
from rowcast.client.records import AuthResult, Page, Record
from rowcast.client.uploads import Upload

__all__ = [
    "AuthResult",
    "AuthStore",
    "Batch",
    "BatchResult",
    "Client",
    "ClientError",
    "ClientResponseError",
    "Collection",
    "Condition",
    "DecodeError",
    "Event",
    "FileAuthStore",
    "Gap",
    "Leave",
    "Message",
    "MfaRequiredError",
    "Page",
    "Record",
    "Subscription",
    "Upload",
    "UsageError",
    "field",
]
