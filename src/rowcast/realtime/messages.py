"""Messages that the application tells the streams of a topic, checked before they are sent."""

from __future__ import annotations

from rowcast import encoding
from rowcast.bus import Message
from rowcast.errors import BadRequestError, ErrorData, FieldError
from rowcast.realtime.topics import MAX_SUBSCRIPTION_BYTES
from rowcast.schema import checks
from rowcast.schema.catalog import Catalog

MAX_MESSAGE_BYTES = 256 * 1024


def message(topic: str, data: object, catalog: Catalog) -> Message:
    """Return what the application tells the streams of a topic.

    Raises BadRequestError, with an entry for the field that is wrong, for a topic that is
    empty, too long, or of a collection, and for data that is too large or no JSON.
    """
    errors = ErrorData()
    found = checks.required(topic) or checks.length(topic, 0, MAX_SUBSCRIPTION_BYTES)
    if found is None and (catalog.find(topic.partition("/")[0]) is not None or topic == "PB_CONNECT" or "?" in topic):
        found = FieldError("validation_invalid_topic", "The topic is that of a collection or reserved.")
    if found is not None:
        errors["topic"] = found
    text = b""
    try:
        text = encoding.encode(data)
    except (TypeError, ValueError, RecursionError):
        errors["data"] = FieldError("validation_invalid_json", "Must be a valid json value.")
    if len(text) > MAX_MESSAGE_BYTES:
        limit = {"max": MAX_MESSAGE_BYTES}
        errors["data"] = FieldError("validation_size_limit", f"The maximum size is {MAX_MESSAGE_BYTES} bytes.", limit)
    if errors:
        raise BadRequestError("Failed to publish the message.", errors)
    return Message(topic, text)
