"""From the numbers of the parts to named families. Every name of docs/metrics.md is made here.

Runs on the event loop, so that what it reads does not change meanwhile. It is bounded by the
number of routes, collections that are listened to and slow streams, never by the number of streams.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from rowcast import __version__
from rowcast.admin.activity import ActivityLog
from rowcast.api.pool import Pool
from rowcast.api.timings import Timings
from rowcast.bus import LinkCounts
from rowcast.realtime.hub import Hub
from rowcast.realtime.stream import CloseReason
from rowcast.realtime.tally import Measured
from rowcast.storage import ConnectionPool
from rowcast.storage.timed import BlockTimes
from rowcast.tallies import Histogram


@dataclass(frozen=True, slots=True)
class Database:
    """One database: where its file is, and how long its blocks take."""

    path: Path
    times: BlockTimes


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts that count. `databases` by name, `sqlite` is the version of the engine."""

    hub: Hub
    tally: Measured
    timings: Timings
    activity: ActivityLog
    databases: Mapping[str, Database]
    pools: Mapping[str, Pool]
    sqlite: str
    link: LinkCounts
    connections: Callable[[], Mapping[str, ConnectionPool]]


def families(sources: Sources) -> Iterator[Metric]:
    """Yield all families of this process."""
    build = InfoMetricFamily("rowcast_build", "Versions of this process.")
    versions = {"version": __version__, "python": platform.python_version(), "sqlite": sources.sqlite}
    build.add_metric([], versions)
    yield build
    yield from _realtime(sources.hub, sources.tally)
    yield from _log(sources.hub, sources.tally)
    yield from _bus(sources.link)
    yield from _requests(sources.timings)
    yield from _databases(sources.databases)
    yield from _connections(sources.connections())
    yield from _threads(sources.pools)
    yield _gauge(
        "rowcast_log_queue_entries", "Entries of the request log that wait to be written.", sources.activity.queued
    )
    yield _counter("rowcast_log_dropped", "Entries of the request log that were lost.", sources.activity.dropped)


def _realtime(hub: Hub, tally: Measured) -> Iterator[Metric]:
    yield _gauge("rowcast_streams_open", "Open realtime streams.", len(hub))
    yield _gauge("rowcast_streams_draining", "1 from the moment when the server begins to stop.", int(hub.is_stopping))
    closed = CounterMetricFamily("rowcast_streams_closed", "Streams that ended, by reason.", labels=["reason"])
    for reason in get_args(CloseReason):
        closed.add_metric([reason], tally.closed[reason])
    yield closed
    resumed = CounterMetricFamily(
        "rowcast_streams_resumed", "Streams that asked to resume: whether all behind their position was at hand.",
        labels=["outcome"],
    )  # fmt: skip
    for outcome, name in ((True, "resumed"), (False, "lost")):
        resumed.add_metric([name], tally.resumed[outcome])
    yield resumed
    yield _gauge("rowcast_topics", "Topics that somebody listens to.", len(hub.index))
    yield _gauge(
        "rowcast_audiences", "Different subscriptions, each judged once for a change.", hub.index.group_count()
    )
    yield _counter("rowcast_changes_judged", "Changes of records that somebody listened to.", tally.judged)
    yield _counter("rowcast_events_delivered", "Events that were handed to sockets.", tally.sockets.frames)
    yield _counter("rowcast_events_written_bytes", "Bytes of events that were handed to sockets.", tally.sockets.size)
    waiting = hub.rounds.waiting_bytes()
    yield _gauge("rowcast_events_queued_bytes", "Bytes that wait for streams whose sockets are full.", waiting)
    lag = HistogramMetricFamily(
        "rowcast_delivery_lag_seconds", "From the commit of a change until the streams that may see it were written.",
        labels=[],
    )  # fmt: skip
    _add(lag, [], tally.lag)
    yield lag


def _log(hub: Hub, tally: Measured) -> Iterator[Metric]:
    behind = tally.behind
    yield _gauge("rowcast_changelog_end", "The last number of the change log that is known of.", behind.end)
    yield _gauge("rowcast_changelog_behind_changes", "Numbers between what was told here and that end.", behind.changes)
    yield _gauge(
        "rowcast_changelog_behind_seconds",
        "How long the oldest change that was not told here yet has been known of.",
        behind.seconds,
    )
    yield _gauge(
        "rowcast_changelog_undecided", "Numbers that were taken by transactions that had not ended.", behind.undecided
    )
    yield _gauge("rowcast_changelog_unseen_seconds", "How long ago the log was looked at.", behind.unseen_s)
    looks = CounterMetricFamily("rowcast_changelog_looks", "Looks at the log, by outcome.", labels=["outcome"])
    for outcome, name in ((True, "read"), (False, "failed")):
        looks.add_metric([name], behind.looks[outcome])
    yield looks
    yield _gauge("rowcast_hub_backlog_events", "Changes that were read and wait to be judged.", hub.backlog)
    asking = HistogramMetricFamily(
        "rowcast_judge_database_seconds", "What it took to judge a change whose rules need the database.", labels=[]
    )
    _add(asking, [], tally.asking)
    yield asking
    yield _counter("rowcast_judge_rest_seconds", "How long judging left a slow database alone.", tally.rested_s)


def _bus(link: LinkCounts) -> Iterator[Metric]:
    connected = GaugeMetricFamily(
        "rowcast_bus_connected", "Whether other nodes can be told and heard.", labels=["kind"]
    )
    connected.add_metric([link.kind], int(link.is_connected))
    yield connected
    yield _counter("rowcast_bus_connects", "How often the connection to the others began.", link.connects)
    hints = CounterMetricFamily("rowcast_bus_hints", "Hints that the log has grown.", labels=["direction"])
    hints.add_metric(["sent"], link.hints_sent)
    hints.add_metric(["heard"], link.hints_heard)
    yield hints
    questions = CounterMetricFamily("rowcast_bus_questions", "Questions to other nodes.", labels=["outcome"])
    questions.add_metric(["answered"], link.asked - link.unanswered)
    questions.add_metric(["unanswered"], link.unanswered)
    yield questions
    yield _counter("rowcast_bus_answers", "Questions of other nodes that were taken.", link.answered)
    yield _counter("rowcast_bus_dropped", "Messages of others that were passed over.", link.dropped)


def _requests(timings: Timings) -> Iterator[Metric]:
    counts = CounterMetricFamily(
        "rowcast_http_requests", "Answered requests by route and class of status.", labels=["method", "route", "status"]
    )
    times = HistogramMetricFamily(
        "rowcast_http_request_duration_seconds", "Times of requests by route; of a stream, until it is open.",
        labels=["method", "route"],
    )  # fmt: skip
    for (method, route), (histogram, statuses) in timings.routes.items():
        _add(times, [method, route], histogram)
        for status, count in sorted(statuses.items()):
            counts.add_metric([method, route, f"{status}xx"], count)
    yield counts
    yield times


def _databases(databases: Mapping[str, Database]) -> Iterator[Metric]:
    kinds = {
        "reads": ("rowcast_database_read_seconds", "Times of blocks of reads."),
        "writes": ("rowcast_database_write_seconds", "Times of write transactions from their turn to the end."),
        "waits": ("rowcast_database_write_wait_seconds", "How long write transactions waited for their turn."),
    }
    for kind, (name, text) in kinds.items():
        family = HistogramMetricFamily(name, text, labels=["database"])
        for database, source in databases.items():
            _add(family, [database], getattr(source.times, kind))
        yield family
    sizes = GaugeMetricFamily("rowcast_database_size_bytes", "Size of the database file.", labels=["database"])
    logs = GaugeMetricFamily("rowcast_database_wal_bytes", "Size of the write-ahead log.", labels=["database"])
    for database, source in databases.items():
        sizes.add_metric([database], _size(source.path))
        logs.add_metric([database], _size(source.path.with_name(source.path.name + "-wal")))
    yield sizes
    yield logs


def _connections(pools: Mapping[str, ConnectionPool]) -> Iterator[Metric]:
    """The pools of a database server; SQLite has none, but the names are there."""
    most = GaugeMetricFamily("rowcast_connections_max", "The most connections of a pool.", labels=["pool"])
    opened = GaugeMetricFamily("rowcast_connections_open", "Open connections of a pool.", labels=["pool"])
    busy = GaugeMetricFamily("rowcast_connections_busy", "Connections of a pool at work.", labels=["pool"])
    queue = GaugeMetricFamily("rowcast_connections_queue_calls", "Calls that wait for a connection.", labels=["pool"])
    late = CounterMetricFamily("rowcast_connections_timeouts", "Calls that got none in time.", labels=["pool"])
    for name, pool in pools.items():
        most.add_metric([name], pool.most)
        opened.add_metric([name], pool.opened)
        busy.add_metric([name], pool.busy)
        queue.add_metric([name], pool.waiting)
        late.add_metric([name], pool.timeouts)
    yield from (most, opened, busy, queue, late)


def _threads(pools: Mapping[str, Pool]) -> Iterator[Metric]:
    size = GaugeMetricFamily("rowcast_pool_threads", "Threads of a pool.", labels=["pool"])
    busy = GaugeMetricFamily("rowcast_pool_busy_threads", "Threads of a pool at work.", labels=["pool"])
    queue = GaugeMetricFamily("rowcast_pool_queue_calls", "Calls that wait for a thread of a pool.", labels=["pool"])
    for name, pool in pools.items():
        size.add_metric([name], pool.size)
        busy.add_metric([name], min(pool.pending, pool.size))
        queue.add_metric([name], max(0, pool.pending - pool.size))
    yield from (size, busy, queue)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _add(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    buckets = [("+Inf" if bound == float("inf") else repr(bound), count) for bound, count in histogram.cumulative()]
    family.add_metric(labels, buckets, histogram.total)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
