from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import PoolTimeout

from rowcast import App, Config
from rowcast.api.route import Route
from rowcast.api.timings import Timings
from rowcast.errors import RowcastError
from rowcast.metrics.listener import Listener
from rowcast.metrics.metrics import Metrics
from rowcast.realtime.tally import Behind, Measured
from rowcast.schema.record import Position
from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.postgres_reach import Pool
from rowcast.tallies import Histogram
from tests import postgres
from tests.unit.api.client import Client, serving
from tests.unit.api.conftest import Template

ROOT = Path(__file__).parents[3]
RECORDS = "/api/collections/posts/records"
PATTERN = "/api/collections/{collection}/records"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def names(text: str) -> set[str]:
    """The names of a scrape as a query spells them, and its families as a page does.

    Families of what is not there (connections to a server) have no samples, but a name.
    """
    found = {name for name, _ in samples(text)}
    for family in text_string_to_metric_families(text):
        found.add(family.name + ("_total" if family.type == "counter" else ""))
    return found | {name.removesuffix("_bucket") for name in found if name.endswith("_bucket")}


@pytest.fixture
def scrape(data_dir: Path, template: Template) -> str:
    """What a server says after some requests and one event."""

    async def play() -> str:
        async with serving(data_dir, metrics="api", metrics_labels=("node=a", "worker=1")) as client:
            for title in ("a", "b"):
                assert (await client("POST", RECORDS, {"title": title})).status == 200
            assert (await client("GET", f"{RECORDS}/made-up-path")).status == 404
            assert (await client("GET", "/no/such/file")).status == 404
            answer = await client("GET", "/api/metrics", token=template.root_token)
            assert answer.headers["content-type"].startswith("text/plain; version=")
            return answer.body.decode()

    return asyncio.run(play())


def test_numbers_are_what_happened(scrape: str) -> None:
    found = samples(scrape)
    labels = (("node", "a"), ("worker", "1"))
    create = ("method", "POST"), ("node", "a"), ("route", PATTERN)
    assert found["rowcast_http_requests_total", (*create, ("status", "2xx"), ("worker", "1"))] == 2
    assert found["rowcast_http_request_duration_seconds_count", (*create, ("worker", "1"))] == 2
    assert found["rowcast_database_write_seconds_count", (("database", "data"), *labels)] >= 2
    assert found["rowcast_database_write_wait_seconds_count", (("database", "data"), *labels)] >= 2
    assert found["rowcast_database_wal_bytes", (("database", "data"), *labels)] > 0
    assert found["rowcast_delivery_lag_seconds_count", labels] == 2
    assert found["rowcast_streams_open", labels] == 0
    assert found["process_open_fds", labels] > 3


def test_how_far_a_process_is_behind_the_log() -> None:
    behind = Behind()
    assert (behind.changes, behind.seconds) == (0, 0.0)
    behind.look(5, undecided=2)
    behind.look(9)
    assert (behind.end, behind.changes, behind.undecided) == (9, 9, 0)
    known_s = behind.seconds
    assert known_s > 0
    behind.told(5)
    assert behind.changes == 4
    assert behind.seconds > 0
    behind.told(9)
    assert (behind.changes, behind.seconds) == (0, 0.0)


def test_the_numbers_of_a_process_that_is_up_to_date(scrape: str) -> None:
    found = samples(scrape)
    labels = (("node", "a"), ("worker", "1"))
    assert found["rowcast_changelog_end", labels] == 2
    assert found["rowcast_changelog_behind_changes", labels] == 0
    assert found["rowcast_changelog_behind_seconds", labels] == 0
    assert found["rowcast_hub_backlog_events", labels] == 0
    assert found["rowcast_bus_connected", (("kind", "sockets"), *labels)] == 1


def test_connections_to_a_server_are_counted() -> None:
    url = postgres.new_database()
    storage = PostgresStorage(f"{url}{'&' if '?' in url else '?'}pool_size=2&snapshots=2")
    with storage.read(), storage.read():
        state = storage.snapshot()
        found = storage.connections()
        state.close()
    requests = found["requests"]
    assert (requests.most, requests.busy, requests.waiting, requests.timeouts) == (2, 2, 0, 0)
    assert (found["snapshots"].most, found["snapshots"].busy) == (2, 0)
    assert found["following"].busy == 1
    assert storage.connections()["requests"].busy == 0
    storage.close()
    postgres.drop_database(url)


def test_connections_that_are_being_made_are_not_at_work() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pool = Pool(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/none", min_size=2, max_size=2, open=True)
        assert (pool.get_stats()["pool_size"], pool.lent) == (2, 0)
        with pytest.raises(PoolTimeout):
            pool.getconn(0.01)
        assert pool.lent == 0
    pool.close()


def test_no_path_becomes_a_label(scrape: str) -> None:
    assert "made-up-path" not in scrape
    assert "no/such" not in scrape
    assert 'route="static"' in scrape
    assert f'route="{PATTERN}/{{id}}"' in scrape


def test_every_sample_has_the_labels_of_the_process(scrape: str) -> None:
    assert all({("node", "a"), ("worker", "1")} <= set(labels) for _, labels in samples(scrape))


def test_names_follow_the_conventions(scrape: str) -> None:
    for family in text_string_to_metric_families(scrape):
        assert re.fullmatch(r"(rowcast|process)_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        totals = [sample.name.endswith("_total") for sample in family.samples]
        assert not totals or (family.type == "counter") == any(totals)
        assert family.type != "histogram" or family.name.endswith("_seconds")


def test_page_and_scrape_agree(scrape: str) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", page, re.MULTILINE))
    said = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(scrape)
    }
    assert rows == said


def _queried(text: str) -> set[str]:
    return set(re.findall(r"\b(?:rowcast|process)_[a-z_]+\b", text))


def test_dashboard_asks_for_what_exists(scrape: str) -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 20
    asked = set().union(*map(_queried, queries))
    assert asked <= names(scrape)
    shown = {name.removesuffix("_bucket") for name in asked}
    kept = {name for name in names(scrape) if name.startswith("rowcast_")}
    assert shown >= {name for name in kept if not name.endswith(("_bucket", "_count", "_sum"))}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_alerts_ask_for_what_exists(scrape: str) -> None:
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len(rules) > 8
    for rule in rules:
        assert _queried(rule["expr"]) <= names(scrape), rule["alert"]
        assert rule["annotations"]["summary"].endswith((".", "log.", "changes."))
        assert rule["labels"]["severity"] in {"warning", "critical"}
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    assert (ROOT / "deploy" / config["rule_files"][0]).exists()


@pytest.mark.parametrize(("token", "status"), [("", 401), ("user", 403), ("root", 200)])
def test_api_is_for_superusers(tell: Callable[..., None], template: Template, token: str, status: int) -> None:
    given = {"": "", "user": template.user_token, "root": template.root_token}[token]

    async def story(client: Client) -> None:
        assert (await client("GET", "/api/metrics", token=given)).status == status

    tell(story, metrics="api")


@pytest.mark.parametrize("where", ["", "127.0.0.1:0"])
def test_api_is_there_only_where_it_is_asked_for(tell: Callable[..., None], template: Template, where: str) -> None:
    async def story(client: Client) -> None:
        assert (await client("GET", "/api/metrics", token=template.root_token)).status == 404

    tell(story, metrics=where)


def test_nothing_is_imported_where_nothing_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import asyncio, re, sys\nfrom rowcast import App\n"
        f"async def main():\n    app = App({str(tmp_path / 'data')!r})\n"
        "    await app.start()\n    await app.stop()\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if re.search('prometheus|opentelemetry|.metrics[.]', name)])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /metrics?x=1 HTTP/1.0\r\nHost: a\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"\r\n\r\n", b"404"),
        (b"GET /metrics HTTP/1.1\r\n" + b"x" * 40_000, b""),
    ],
)
def test_address_of_its_own(request_head: bytes, status: bytes) -> None:
    async def ask() -> bytes:
        listener = Listener("127.0.0.1:0", Metrics())
        task = asyncio.ensure_future(listener.run())
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(request_head)
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
        writer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return answer

    answer = asyncio.run(ask())
    assert answer[9:12] == status
    if request_head.startswith(b"GET") and status == b"200":
        assert b"process_cpu_seconds_total" in answer
    if request_head.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": "9090"}, "is no place for metrics"),
        ({"metrics": "127.0.0.1:99999"}, "is no place for metrics"),
        ({"metrics": "192.0.2.1:80"}, "can't listen at 192.0.2.1:80"),
        ({"metrics": "api", "metrics_labels": ("node",)}, "'node' is not a label"),
        ({"metrics": "api", "metrics_labels": ("0=a",)}, "'0=a' is not a label"),
    ],
)
def test_what_can_not_be_is_told(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    async def start() -> None:
        await App(config=Config(data_dir=str(tmp_path / "data"), **options)).start()

    with pytest.raises(RowcastError, match=re.escape(said)):
        asyncio.run(start())


def test_histogram_counts_what_is_at_most_each_bound() -> None:
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 3):
        histogram.observe(value)
    assert histogram.cumulative() == [(1, 2), (2, 3), (float("inf"), 4)]
    assert histogram.total == 6


def test_lag_is_counted_once_for_each_commit_that_was_written() -> None:
    tally = Measured()
    for number in (1, 3, 4):
        tally.committed(Position(number, "a"))
    counts = []
    for number in (0, 2, 3, 9):
        tally.written(Position(number, "a"))
        counts.append(tally.lag.cumulative()[-1][1])
    assert counts == [0, 1, 2, 3]


def test_routes_are_bounded_by_their_patterns() -> None:
    async def never(_: Any) -> Any: ...

    timings = Timings()
    for number in range(100):
        timings.note(Route("GET", "/a/{id}", never), 200 + number, 0.001)
        timings.note(Route("", "", never), 404, 0.001)
    assert set(timings.routes) == {("GET", "/a/{id}"), ("any", "static")}
