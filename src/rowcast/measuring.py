"""What an application measures, by its configuration; the part of the composition root that knows of metrics.

Where nothing is asked for, nothing of `metrics` is imported and all that it would hand
out is None or does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from rowcast.admin.activity import ActivityLog
from rowcast.api.metrics import MetricsApi
from rowcast.api.timings import Timings
from rowcast.api.work import Work
from rowcast.config import Config
from rowcast.realtime.hub import Hub
from rowcast.realtime.tally import Tally
from rowcast.schema.record import Change
from rowcast.storage.directory import DataDir

if TYPE_CHECKING:
    from rowcast.metrics.listener import Listener
    from rowcast.metrics.metrics import Metrics

Publish = Callable[[list[Change]], None]


class Measuring:
    """Raises RowcastError for an address that can't be listened at or a label that is none."""

    def __init__(self, config: Config) -> None:
        self._metrics: Metrics | None = None
        self._listener: Listener | None = None
        self._is_in_api = config.metrics == "api"
        if config.metrics:
            from rowcast.metrics.metrics import Metrics

            self._metrics = Metrics(config.metrics_labels)
        if self._metrics is not None and not self._is_in_api:
            from rowcast.metrics.listener import Listener

            self._listener = Listener(config.metrics, self._metrics)

    @property
    def tally(self) -> Tally | None:
        """What the hub counts into."""
        return self._metrics.tally if self._metrics is not None else None

    @property
    def timings(self) -> Timings | None:
        """What the pipeline counts into."""
        return self._metrics.timings if self._metrics is not None else None

    def publishing(self, publish: Publish) -> Publish:
        """Return `publish`, with a note of the time of each commit before it."""
        if self._metrics is None:
            return publish
        committed = self._metrics.tally.committed

        def noted(changes: list[Change]) -> None:
            last = changes[-1].position
            if last is not None:
                committed(last)
            publish(changes)

        return noted

    def watch(self, directory: DataDir, hub: Hub, work: Work, log_work: Work, activity: ActivityLog) -> None:
        """Tell of the parts that a scrape reads."""
        if self._metrics is not None:
            works = {"data": work, "auxiliary": log_work}
            self._metrics.watch(directory=directory, hub=hub, works=works, activity=activity)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs as long as the application."""
        return [self._listener.run()] if self._listener is not None else []

    def close(self) -> None:
        """Let go of the address."""
        if self._listener is not None:
            self._listener.close()

    def api(self) -> MetricsApi | None:
        """Return what answers `/api/metrics`."""
        return MetricsApi(self._metrics.scrape) if self._metrics is not None and self._is_in_api else None
