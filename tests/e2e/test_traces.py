"""Traces as a collector gets them: from a request over its commit to the sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import Kind, environment, make_directory, running, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collector:
    """A receiver of OTLP over HTTP."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def of_trace(self, trace: str) -> dict[str, Span]:
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def _post(api: Api, title: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    headers = {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    connection.request("POST", "/api/collections/notes/records", json.dumps({"title": title}), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    record = json.loads(answer.read())["id"]
    connection.close()
    return str(record)


def test_a_write_is_followed_to_the_sockets(tmp_path: Path, collector: Collector) -> None:
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir, options=["--otel"]) as server:
        api = Api(server.url)
        api.sign_in()
        api.create_open_collection("notes", TEXT_FIELD)
        stream = EventStream(api, ["notes/*"])
        record = _post(api, "a")
        assert record in stream.frame()
        assert api.call("PROPFIND", "/no/such/path")[0] == 404
        assert stop(server) == 0
        assert "Traceback" not in server.output()
    spans = collector.of_trace(TRACE)
    request, write, deliver = spans["POST /api/collections/{collection}/records"], spans["write"], spans["deliver"]
    assert request.parent_span_id.hex() == PARENT
    assert request.kind == Span.SPAN_KIND_SERVER
    assert write.parent_span_id == request.span_id
    assert deliver.parent_span_id == write.span_id
    assert [link.span_id for link in deliver.links] == [write.span_id]
    assert request.start_time_unix_nano <= write.start_time_unix_nano <= write.end_time_unix_nano
    assert write.start_time_unix_nano <= deliver.start_time_unix_nano < deliver.end_time_unix_nano
    assert [event.name for event in deliver.events] == ["taken", "judged"]
    times = [deliver.start_time_unix_nano, *(event.time_unix_nano for event in deliver.events)]
    assert sorted([*times, deliver.end_time_unix_nano]) == [*times, deliver.end_time_unix_nano]
    attributes = {one.key: one.value for one in request.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert {one.key: one.value.int_value for one in deliver.attributes}["rowcast.changes"] == 1
    assert collector.services == {"rowcast"}
    assert collector.paths == {"/v1/traces"}
    names = {span.name for span in collector.spans}
    assert "_OTHER static" in names
    assert not any("PROPFIND" in name or "/no/such" in name for name in names)


@pytest.mark.parametrize("kind", ["rowcast", "postgres"])
def test_a_write_is_followed_to_the_sockets_of_other_nodes(tmp_path: Path, collector: Collector, kind: Kind) -> None:
    data_dir = tmp_path / "pb_data"
    make_directory(kind, data_dir)
    # On SQLite nodes share the directory.
    its = environment(kind, data_dir)
    other_dir = tmp_path / "other" if kind == "postgres" else data_dir
    with (
        running(kind, data_dir, options=["--otel"]) as one,
        running("rowcast", other_dir, options=["--otel"], more=its) as other,
    ):
        api = Api(one.url)
        api.sign_in()
        api.create_open_collection("notes", TEXT_FIELD)
        streams = [EventStream(Api(server.url), ["notes/*"]) for server in (one, other)]
        record = _post(api, "a")
        assert all(record in stream.frame() for stream in streams)
        assert (stop(one), stop(other)) == (0, 0)
        assert "Traceback" not in one.output() + other.output()
    spans = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    # One that was not its turn at first has two.
    writes = [span.span_id for span in spans if span.name == "write"]
    delivers = [span for span in spans if span.name == "deliver"]
    assert [span.parent_span_id for span in delivers] == [writes[-1]] * 2
    positions = [one.value.int_value for span in delivers for one in span.attributes if one.key == "rowcast.position"]
    assert len(positions) == 2
    assert len(set(positions)) == 1


def test_a_write_in_a_thread_belongs_to_its_request(tmp_path: Path, collector: Collector) -> None:
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir, options=["--otel"]) as server:
        api = Api(server.url)
        api.sign_in()
        # Schema changes always run in a thread.
        api.create_open_collection("notes", TEXT_FIELD)
        assert stop(server) == 0
    request = next(span for span in collector.spans if span.name == "POST /api/collections")
    assert any(span.name == "write" and span.parent_span_id == request.span_id for span in collector.spans)


def test_without_the_option_nothing_is_sent(tmp_path: Path, collector: Collector) -> None:
    with running("rowcast", tmp_path / "pb_data") as server:
        assert Api(server.url).ok("GET", "/api/health")["code"] == 200
    assert collector.spans == []


def test_missing_libraries_are_told(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from rowcast.cli import main\n"
        f"main(['serve', '--dir', {str(tmp_path / 'd')!r}, '--http', '127.0.0.1:0', '--otel'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1
    assert "install rowcast[otel]" in run.stderr
    assert "Traceback" not in run.stderr
