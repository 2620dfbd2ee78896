"""The metrics of one application: what it measures because of them, and the text of a scrape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

from rowcast.admin.activity import ActivityLog
from rowcast.api.timings import Timings
from rowcast.api.work import Work
from rowcast.bus import Link
from rowcast.errors import RowcastError
from rowcast.metrics.families import Database, Sources, families
from rowcast.realtime.hub import Hub
from rowcast.realtime.tally import Measured
from rowcast.storage.directory import DataDir
from rowcast.storage.timed import BlockTimes

_LABEL = re.compile(r"([a-zA-Z][a-zA-Z0-9_]*)=(.+)", re.DOTALL)


class Metrics:
    """Made before the other parts, which count into `tally` and `timings`; `watch` tells of those it reads.

    `labels` ("node=a") stand at every sample, so that the processes of one
    installation can be told apart and added up. Raises RowcastError for one that is none.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self.tally = Measured()
        self.timings = Timings()
        self._labels = dict(_label(text) for text in labels)
        self._sources: Sources | None = None
        self._process = ProcessCollector(registry=None)

    def watch(
        self, *, directory: DataDir, hub: Hub, works: Mapping[str, Work], activity: ActivityLog, link: Link
    ) -> None:
        """Take over what there is to read, and have the databases measure their blocks.

        `works` by the name of their database.
        """
        databases: dict[str, Database] = {}
        for name, storage in (("data", directory.data), ("auxiliary", directory.auxiliary)):
            storage.times = BlockTimes()
            databases[name] = Database(Path(storage.path), storage.times)
        with directory.auxiliary.read() as reader:
            version = str(reader.value(reader.dialect.version))
        pools = {
            (pool.name if name == "data" else f"{name}_{pool.name}"): pool
            for name, work in works.items()
            for pool in work.pools
        }
        self._sources = Sources(
            hub, self.tally, self.timings, activity, databases, pools, version, link.counts, directory.data.connections
        )

    def scrape(self) -> tuple[bytes, str]:
        """Return all numbers as text, and its content type. Called on the event loop."""
        return generate_latest(cast("CollectorRegistry", _Labelled(self._collect, self._labels))), CONTENT_TYPE_LATEST

    def _collect(self) -> Iterator[Metric]:
        if self._sources is not None:
            yield from families(self._sources)
        yield from self._process.collect()


class _Labelled:
    """What `generate_latest` asks of a registry: the families, with the labels of this process."""

    def __init__(self, source: Callable[[], Iterable[Metric]], labels: Mapping[str, str]) -> None:
        self._source, self._labels = source, labels

    def collect(self) -> Iterable[Metric]:
        """Yield all families."""
        for family in self._source():
            if self._labels:
                family.samples = [
                    sample._replace(labels={**sample.labels, **self._labels}) for sample in family.samples
                ]
            yield family


def _label(text: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(text)
    if found is None:
        raise RowcastError(f"{text!r} is not a label; write NAME=VALUE, for example node=a")
    return found[1], found[2]
