"""Traces from a request to the sockets of those who hear of its change, for OpenTelemetry.

Three spans: the request; the write transaction in it, up to its commit; and, linked to
that, the way of its changes from the commit to the sockets, in each process that hears of
them: the log of changes carries the context of the transaction. Spans leave in batches in a
thread of the exporter. Where to, and how many are kept, say the OTEL_* variables of the
environment. Nothing of this is imported where nobody asks for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rowcast import __version__
from rowcast.bus import Event
from rowcast.schema.record import Change, Logged, Position

T = TypeVar("T")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_UnderWay = tuple[int, int, SpanContext, int]
"""A commit: the number of its last change, how many there are (0: not known), its span, when it was noted, in ns."""

_propagator = TraceContextTextMapPropagator()

_SPANS_PER_ROUND = 100
"""How many commits of one round of deliveries get a span; the rest of a burst would tell the same."""

_MAX_UNDER_WAY = 10_000

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Tracing:
    """Makes the spans of one application. Its provider is its own: nothing of the process is set."""

    def __init__(self) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over these.
        named = Resource.create({"service.name": "rowcast", "service.version": __version__})
        self._provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rowcast", __version__)
        # What this process has committed, and what others have, each in its order.
        self._own: deque[_UnderWay] = deque(maxlen=_MAX_UNDER_WAY)
        self._followed: deque[_UnderWay] = deque(maxlen=_MAX_UNDER_WAY)
        # By it this process knows in the log what it has committed itself.
        self.tag = ""
        self._steps: deque[tuple[str, int]] = deque(maxlen=2)

    def requests(self, application: Application, pattern: Callable[[Message], str]) -> Application:
        """Return an application whose requests are spans. `pattern` tells the route that one meets."""
        return _Requests(application, self._tracer, pattern)

    def writing(self, block: AbstractContextManager[T]) -> AbstractContextManager[T]:
        """Return a write transaction that is a span."""
        return _Writing(block, self._tracer)

    def committed(self, changes: list[Logged]) -> None:
        """Note the changes of a commit. Called by the writer in the block of its transaction."""
        span, position = trace.get_current_span(), changes[-1].position
        if position is not None and span.is_recording():
            span.set_attribute("rowcast.changes", len(changes))
            self._own.append((position.number, len(changes), span.get_span_context(), time.time_ns()))

    def current(self) -> str:
        """Return the context of the transaction of this thread as a `traceparent`; "" where it is not kept."""
        found = trace.get_current_span().get_span_context()
        if not (found.is_valid and found.trace_flags.sampled):
            return ""
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"

    def taken(self, events: Sequence[Event]) -> None:
        """Note that a round of changes was taken from the bus, some of which other processes have committed."""
        self.step("taken")
        for event in events:
            if isinstance(event, Change) and event.trace and event.position and event.position.tag != self.tag:
                held = _propagator.extract({"traceparent": event.trace})
                origin = trace.get_current_span(held).get_span_context()
                if origin.is_valid:
                    self._followed.append((event.position.number, 0, origin, time.time_ns()))

    def step(self, name: str) -> None:
        """Note that the round of changes under way got so far."""
        self._steps.append((name, time.time_ns()))

    def written(self, delivered: Position) -> None:
        """Note that everything up to a position was written to sockets. Called on the event loop."""
        for under_way in (self._own, self._followed):
            made = 0
            while under_way and under_way[0][0] <= delivered.number:
                told = under_way.popleft()
                made += 1
                if made <= _SPANS_PER_ROUND:
                    self._tell(told)
        self._steps.clear()

    def _tell(self, told: _UnderWay) -> None:
        number, count, origin, at = told
        span = self._tracer.start_span(
            "deliver",
            context=trace.set_span_in_context(trace.NonRecordingSpan(origin)),
            kind=SpanKind.PRODUCER,
            links=[Link(origin)],
            attributes={"rowcast.position": number, **({"rowcast.changes": count} if count else {})},
            start_time=at,
        )
        for name, reached_at in self._steps:
            span.add_event(name, timestamp=reached_at)
        span.end()

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        self._provider.shutdown()


class _Requests:
    """An application whose requests are spans; a `traceparent` of the client is their parent."""

    def __init__(self, application: Application, tracer: Tracer, pattern: Callable[[Message], str]) -> None:
        self._application, self._tracer, self._pattern = application, tracer, pattern

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in {b"traceparent", b"tracestate"}
        }
        # What a client makes up must not become a name.
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        route = self._pattern(scope)
        with self._tracer.start_as_current_span(
            f"{method} {route}",
            context=_propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
        ) as span:

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell_status(span, message["status"])
                await send(message)

            await self._application(scope, receive, sending)


class _Writing(AbstractContextManager[T]):
    """A write transaction with its span, which is the current one inside."""

    __slots__ = ("_block", "_span", "_token", "_tracer")

    def __init__(self, block: AbstractContextManager[T], tracer: Tracer) -> None:
        self._block, self._tracer = block, tracer

    def __enter__(self) -> T:
        span = self._span = self._tracer.start_span("write", attributes={"db.operation.name": "write"})
        try:
            entered = self._block.__enter__()
        except BaseException:
            # Not its turn: the call comes again in a thread.
            span.set_attribute("rowcast.deferred", True)
            span.end()
            raise
        span.add_event("turn")
        self._token = context.attach(trace.set_span_in_context(span))
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace_: TracebackType | None
    ) -> bool | None:
        try:
            return self._block.__exit__(kind, raised, trace_)
        finally:
            context.detach(self._token)
            self._span.set_attribute("rowcast.committed", kind is None)
            self._span.end()


def _tell_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
