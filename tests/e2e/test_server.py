"""A server process as its operator and its peers see it: start, stop, crash, frames on the wire, slow readers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import Kind, Server, ServerError, command, make_directory, running, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

START_CPU_S = 0.7


@pytest.fixture
def rowcast_server(tmp_path: Path) -> Iterator[Server]:
    """rowcast on a new data directory with one superuser."""
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as started:
        yield started


def test_start_takes_little_processor_time(tmp_path: Path) -> None:
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as server:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    assert (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") < START_CPU_S


def test_first_start_tells_how_to_make_a_superuser(tmp_path: Path) -> None:
    with running("rowcast", tmp_path / "pb_data") as server:
        pass
    assert "superuser" in server.output()
    assert "http://127.0.0.1:" in server.output()


def test_port_in_use_is_told_and_ends_the_command(rowcast_server: Server, tmp_path: Path) -> None:
    address = rowcast_server.url.removeprefix("http://")
    run = subprocess.run(
        [*command("rowcast"), "serve", "--dir", str(tmp_path / "other"), "--http", address],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    assert address.rpartition(":")[2] in run.stdout + run.stderr or "in use" in run.stdout + run.stderr


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_streams_and_keeps_data(rowcast_server: Server, by: signal.Signals) -> None:
    api = Api(rowcast_server.url)
    api.sign_in()
    api.create_open_collection("notes", TEXT_FIELD)
    stream = EventStream(api, ["notes/*"])
    record = api.ok("POST", "/api/collections/notes/records", {"title": "kept"})
    assert stop(rowcast_server, by) == 0
    assert record["id"].encode() in stream.rest()
    with running("rowcast", rowcast_server.data_dir) as again:
        assert Api(again.url).ok("GET", f"/api/collections/notes/records/{record['id']}")["title"] == "kept"


def test_crash_loses_nothing_that_was_answered(rowcast_server: Server) -> None:
    api = Api(rowcast_server.url)
    api.sign_in()
    api.create_open_collection("notes", TEXT_FIELD)
    ids = {api.ok("POST", "/api/collections/notes/records", {"title": str(number)})["id"] for number in range(50)}
    stop(rowcast_server, signal.SIGKILL)
    with running("rowcast", rowcast_server.data_dir) as again:
        page = Api(again.url).ok("GET", "/api/collections/notes/records?perPage=100&fields=id")
    assert {item["id"] for item in page["items"]} == ids


def test_frames_are_those_of_the_reference(server: Server) -> None:
    api = Api(server.url)
    api.sign_in()
    api.create_open_collection("notes", TEXT_FIELD)
    stream = EventStream(api, ["notes/*"])
    head = stream.head.lower()
    assert head.startswith("http/1.1 200 ok\r\n")
    for line in ("content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"):
        assert f"\r\n{line}" in f"{head}\r\n"
    assert "content-encoding" not in head
    prefix = f"id:{stream.client_id}"
    assert stream.first == f'{prefix}\nevent:PB_CONNECT\ndata:{{"clientId":"{stream.client_id}"}}'
    record = api.ok("POST", "/api/collections/notes/records", {"title": "<ü> & \u2028"})
    collection_id = record["collectionId"]
    assert stream.frame() == (
        f'{prefix}\nevent:notes/*\ndata:{{"record":{{"collectionId":"{collection_id}","collectionName":"notes",'
        f'"id":"{record["id"]}","title":"\\u003cü\\u003e \\u0026 \\u2028"}},"action":"create"}}'
    )


def test_frozen_reader_is_closed_and_the_others_miss_nothing(rowcast_server: Server) -> None:
    api = Api(rowcast_server.url)
    api.sign_in()
    api.create_open_collection("notes", TEXT_FIELD)
    frozen = EventStream(api, ["notes/*"], buffer_bytes=4_096)
    lively = EventStream(api, ["notes/*"])
    text = "x" * 100_000
    for number in range(150):
        api.ok("POST", "/api/collections/notes/records", {"title": f"{number} {text}"})
        assert f'"title":"{number} x' in lively.frame()
    assert frozen.rest().count(b'"action":"create"') < 150
    assert api.ok("GET", "/api/health")["code"] == 200


@pytest.mark.parametrize(("first", "second"), [("reference", "rowcast"), ("rowcast", "reference")])
def test_data_directory_and_tokens_go_both_ways(first: Kind, second: Kind, tmp_path: Path) -> None:
    if not os.environ.get("ROWCAST_REFERENCE"):
        pytest.skip("ROWCAST_REFERENCE does not name a PocketBase binary")
    data_dir = tmp_path / "pb_data"
    make_directory(first, data_dir)
    with running(first, data_dir) as server:
        api = Api(server.url)
        api.sign_in()
        api.create_open_collection("notes", TEXT_FIELD)
        record = api.ok("POST", "/api/collections/notes/records", {"title": "kept"})
        collections = api.ok("GET", "/api/collections?sort=name")
    with running(second, data_dir) as server:
        other = Api(server.url)
        other.token = api.token
        assert other.ok("GET", "/api/collections?sort=name") == collections
        assert other.ok("GET", f"/api/collections/notes/records/{record['id']}") == record
        other.ok("POST", "/api/collections/_superusers/auth-refresh")
        other.sign_in()
        other.ok("PATCH", f"/api/collections/notes/records/{record['id']}", {"title": "changed"})
    with running(first, data_dir) as server:
        api = Api(server.url)
        api.token = other.token
        api.ok("POST", "/api/collections/_superusers/auth-refresh")
        assert api.ok("GET", f"/api/collections/notes/records/{record['id']}")["title"] == "changed"


def test_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    blocker = tmp_path / "pb_data"
    blocker.write_text("a file where the folder should be")
    with pytest.raises(ServerError, match="pb_data") as refusal, running("rowcast", blocker):
        pass
    assert "Traceback" not in str(refusal.value)
