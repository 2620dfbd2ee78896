"""What an application measures, by its configuration: the part of the composition root for metrics and traces.

Where nothing is asked for, nothing of `metrics` and `tracing` is imported and all that it would hand
out is None or does nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from rowcast.admin.activity import ActivityLog
from rowcast.api.metrics import MetricsApi
from rowcast.api.pipeline import Pipeline
from rowcast.api.request import Receive, Scope, Send
from rowcast.api.timings import Timings
from rowcast.api.work import Work
from rowcast.bus import Link
from rowcast.config import Config
from rowcast.errors import RowcastError
from rowcast.realtime.hub import Hub
from rowcast.realtime.tally import Tally
from rowcast.schema.record import Logged
from rowcast.storage.directory import DataDir

if TYPE_CHECKING:
    from rowcast.metrics.listener import Listener
    from rowcast.metrics.metrics import Metrics
    from rowcast.tracing import Tracing

Serve = Callable[[Scope, Receive, Send], Awaitable[None]]
Publish = Callable[[list[Logged]], None]


class Measuring:
    """Raises RowcastError for an address that can't be listened at, a label that is none, a library that is missing."""

    def __init__(self, config: Config) -> None:
        self._metrics: Metrics | None = None
        self._listener: Listener | None = None
        self._tracing = _tracing() if config.otel else None
        self._is_in_api = config.metrics == "api"
        if config.metrics:
            from rowcast.metrics.metrics import Metrics

            self._metrics = Metrics(config.metrics_labels)
        if self._metrics is not None and not self._is_in_api:
            from rowcast.metrics.listener import Listener

            self._listener = Listener(config.metrics, self._metrics)

    @property
    def tally(self) -> Tally:
        """What the hub counts into."""
        tally = self._metrics.tally if self._metrics is not None else Tally()
        if self._tracing is not None:
            tally.on_written, tally.on_step = self._tracing.written, self._tracing.step
            tally.on_taken = self._tracing.taken
        return tally

    @property
    def timings(self) -> Timings | None:
        """What the pipeline counts into."""
        return self._metrics.timings if self._metrics is not None else None

    def publishing(self, publish: Publish) -> Publish:
        """Return `publish`, with a note of each commit before it."""
        metrics, tracing = self._metrics, self._tracing
        if metrics is None and tracing is None:
            return publish

        def noted(changes: list[Logged]) -> None:
            last = changes[-1].position
            if metrics is not None and last is not None:
                metrics.tally.committed(last)
            if tracing is not None:
                tracing.committed(changes)
            publish(changes)

        return noted

    def watch(
        self, directory: DataDir, hub: Hub, work: Work, log_work: Work, activity: ActivityLog, link: Link
    ) -> None:
        """Tell of the parts that a scrape reads, and have their writes traced."""
        if self._tracing is not None:
            directory.data.around_write = self._tracing.writing
            hub.log.trace, self._tracing.tag = self._tracing.current, hub.log.tag
            for pool in work.pools:
                pool.carries_context = True
        if self._metrics is not None:
            works = {"data": work, "auxiliary": log_work}
            self._metrics.watch(directory=directory, hub=hub, works=works, activity=activity, link=link)

    def serving(self, pipeline: Pipeline) -> Serve:
        """Return what answers requests: the pipeline, with a span around each where they are traced."""
        return pipeline if self._tracing is None else self._tracing.requests(pipeline, pipeline.pattern)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs as long as the application."""
        return [self._listener.run()] if self._listener is not None else []

    def close(self) -> None:
        """Send what is left of the traces and let go of the address."""
        if self._tracing is not None:
            self._tracing.close()
        if self._listener is not None:
            self._listener.close()

    def api(self) -> MetricsApi | None:
        """Return what answers `/api/metrics`."""
        return MetricsApi(self._metrics.scrape) if self._metrics is not None and self._is_in_api else None


def _tracing() -> Tracing:
    try:
        from rowcast.tracing import Tracing
    except ModuleNotFoundError as error:
        raise RowcastError(f"--otel needs more libraries ({error.name} is missing); install rowcast[otel]") from error
    return Tracing()
