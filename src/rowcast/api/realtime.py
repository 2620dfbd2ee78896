"""`/api/realtime`: open a stream, and say what it listens to."""

from __future__ import annotations

from collections.abc import Sequence

from rowcast import encoding
from rowcast.api import wire
from rowcast.api.pipeline import as_api_error
from rowcast.api.request import Request, Send
from rowcast.api.responses import NO_CONTENT, Answer, Headers, Response, failure, json
from rowcast.api.stream import asked, serve_stream
from rowcast.api.wire import Kind
from rowcast.api.work import Work
from rowcast.errors import ApiError, BadRequestError, ErrorData, FieldError
from rowcast.realtime.hub import Hub
from rowcast.realtime.nodes import Nodes
from rowcast.realtime.topics import MAX_CLIENT_ID_BYTES, MAX_SUBSCRIPTION_BYTES, MAX_SUBSCRIPTIONS
from rowcast.schema import checks
from rowcast.storage import StorageError

_FORM: dict[str, Kind] = {"clientId": "text", "subscriptions": "texts"}

_REQUIRED = FieldError("validation_required", "Cannot be blank.")


class _StreamAnswer:
    """An answer that lasts as long as its stream."""

    def __init__(self, hub: Hub) -> None:
        self.status = 200
        self._hub = hub

    async def send(self, request: Request, send: Send, headers: Headers) -> None:
        """Hold the stream until it ends; a HEAD request gets the head alone."""
        if request.method == "HEAD":
            await Response(200, b"", [(b"content-type", b"text/event-stream")]).send(request, send, headers)
            return
        try:
            await serve_stream(
                self._hub,
                request.scope,
                request.receive,
                send,
                asked=asked(request.query, request.header(b"last-event-id")),
                address=request.address,
                headers=headers,
            )
        except (ApiError, StorageError) as raised:
            # Refused by the hub, or its position could not be looked up, before anything was sent.
            error = as_api_error(raised)
            self.status = error.status
            await failure(error).send(request, send, headers)


class Realtime:
    """Answers requests for streams (apis/realtime.go)."""

    def __init__(self, hub: Hub, nodes: Nodes, work: Work) -> None:
        self._hub = hub
        self._nodes = nodes
        self._work = work

    async def connect(self, request: Request) -> Answer:
        """Open a stream. Who asks does not count: rights come with the subscription."""
        self._hub.admit(request.address)
        return _StreamAnswer(self._hub)

    async def subscribe(self, request: Request) -> Answer:
        """Replace the topics of a stream, and with them its account."""
        try:
            form = (await wire.read(request)).bind(_FORM)
        except BadRequestError as error:
            raise BadRequestError from error
        client_id, subscriptions = str(form["clientId"]), form["subscriptions"]
        topics = [str(topic) for topic in subscriptions] if isinstance(subscriptions, list) else []
        check(client_id, topics)
        await self._nodes.subscribe(client_id, topics, token=request.token, address=request.address)
        return NO_CONTENT

    async def clients(self, _: Request) -> Answer:
        """List the streams of all processes, the oldest of each first."""
        items = await self._nodes.clients()
        return json(encoding.encode({"items": items, "total": len(items)}))

    async def kick(self, request: Request) -> Answer:
        """End a stream."""
        await self._nodes.kick(request.values[0])
        return NO_CONTENT

    async def publish(self, request: Request) -> Answer:
        """Send a message to the streams of a topic."""
        values = (await wire.read(request)).values()
        topic = values.get("topic", "")
        if not isinstance(topic, str):
            raise BadRequestError("", ErrorData(topic=checks.INVALID_VALUE))
        await self._work.write(lambda: self._hub.publish(topic, values.get("data")))
        return NO_CONTENT


def check(client_id: str, topics: Sequence[str]) -> None:
    """Check a submitted form; lengths count bytes. Raises BadRequestError with an entry for each bad field."""
    data = ErrorData()
    if not client_id:
        data["clientId"] = _REQUIRED
    elif len(client_id.encode()) > MAX_CLIENT_ID_BYTES:
        data["clientId"] = _length(1, MAX_CLIENT_ID_BYTES)
    if len(topics) > MAX_SUBSCRIPTIONS:
        data["subscriptions"] = _length(0, MAX_SUBSCRIPTIONS)
    elif items := ErrorData(
        (str(index), _length(0, MAX_SUBSCRIPTION_BYTES))
        for index, topic in enumerate(topics)
        if len(topic.encode()) > MAX_SUBSCRIPTION_BYTES
    ):
        data["subscriptions"] = items
    if data:
        raise BadRequestError("", data)


def _length(shortest: int, longest: int) -> FieldError:
    if shortest:
        text = f"The length must be between {shortest} and {longest}."
    else:
        text = f"The length must be no more than {longest}."
    code = "validation_length_out_of_range" if shortest else "validation_length_too_long"
    return FieldError(code, text, {"max": longest, "min": shortest})
