"""What happens to every request on its way to a handler and back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rowcast.api.pipeline import as_api_error
from rowcast.config import RateLimitRule, RateLimitsSettings, Settings, SettingsRef
from rowcast.errors import ApiError, BadRequestError, NotFoundError
from rowcast.storage import StorageError, UnavailableError
from tests.unit.api.client import Client
from tests.unit.api.conftest import Template

Tell = Callable[..., None]

SECURITY = {"x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN", "x-xss-protection": "1; mode=block"}
NOT_FOUND = b'{"data":{},"message":"The requested resource wasn\'t found.","status":404}\n'


def change(client: Client, **groups: object) -> None:
    ref: SettingsRef = client.app._running.settings
    ref.current = msgspec.structs.replace(ref.current, **groups)


def test_health_tells_superusers_more(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", "/api/health")
        assert reply.body == b'{"message":"API is healthy.","code":200,"data":{}}\n'
        assert reply.headers == SECURITY | {
            "vary": "Origin",
            "content-type": "application/json",
            "content-length": str(len(reply.body)),
        }
        assert (await client("GET", "/api/health", token=template.user_token)).json()["data"] == {}
        headers = [("Fly-Client-IP", "1.2.3.4")]
        told = await client("GET", "/api/health", token=f"bEARER {template.root_token}", headers=headers)
        assert told.json()["data"] == {
            "canBackup": True, "possibleProxyHeader": "Fly-Client-IP", "realIP": "10.0.0.1"
        }  # fmt: skip
        picked = await client("GET", "/api/health?fields=code")
        assert picked.body == b'{"code":200}\n'

    tell(story)


@pytest.mark.parametrize("token", ["x", "Bearer ", "a.b.c", "é", "x" * 20_000])
def test_a_bad_token_is_no_token(tell: Tell, token: str) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", "/api/collections", token=token)
        assert reply.status == 401
        assert reply.message == "The request requires valid record authorization token."

    tell(story)


def test_only_superusers_manage_collections(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", "/api/collections", token=template.user_token)
        assert (reply.status, reply.message) == (403, "The authorized record is not allowed to perform this action.")
        assert (await client("GET", "/api/collections", token=template.root_token)).status == 200

    tell(story)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/nope"),
        ("GET", "/api/health/"),
        ("POST", "/api/health"),
        ("PUT", "/api/realtime"),
        ("BREW", "/api/health"),
        ("GET", "/api"),
        ("POST", "/"),
        ("DELETE", "/api/collections"),
    ],
)
def test_unknown_paths_and_methods_are_not_found(tell: Tell, method: str, target: str) -> None:
    async def story(client: Client) -> None:
        reply = await client(method, target)
        assert reply.status == 404
        if target != "/api":
            assert reply.body == NOT_FOUND
        assert reply.headers.items() >= SECURITY.items()

    tell(story)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/api//health", "/api/health"),
        ("//api/health?a=1&b", "/api/health?a=1&b"),
        ("/x/../api/./health", "/api/health"),
        ("//evil.com/", "/evil.com/"),
        ("/\\evil.com//a", "/%5Cevil.com/a"),
        ("/_", "/_/"),
        ("/a/../_?x", "/_?x"),
    ],
)
def test_other_spellings_of_a_path_are_redirected(tell: Tell, target: str, location: str) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", target)
        assert (reply.status, reply.headers["location"]) == (307, location)
        page = location.replace("&", "&amp;")
        assert reply.body == f'<a href="{page}">Temporary Redirect</a>.\n\n'.encode()
        below = await client("GET", target, root="/sub")
        assert below.headers["location"] == "/sub" + location

    tell(story)


@pytest.mark.parametrize("target", ["/%", "/a/%zz", "/api/health%2"])
def test_malformed_paths_are_refused(tell: Tell, target: str) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", target)
        assert (reply.status, reply.body) == (400, b"400 Bad Request")

    tell(story)


def test_only_who_gets_a_page_is_shown_where_it_moved(tell: Tell) -> None:
    async def story(client: Client) -> None:
        reply = await client("POST", "/api//batch", {})
        assert (reply.status, reply.headers["location"], reply.body) == (307, "/api/batch", b"")
        assert "content-type" not in reply.headers

    tell(story)


def test_head_answers_have_the_head_alone(tell: Tell) -> None:
    async def story(client: Client) -> None:
        for target in ("/api/health", "/api/nope", "/api/realtime", "/_/"):
            assert (await client("HEAD", target)).body == b""
        assert (await client("HEAD", "/api/health")).headers["content-length"] == "51"
        assert (await client("HEAD", "/api/realtime")).headers["content-type"] == "text/event-stream"

    tell(story)


def test_preflights_are_answered_first(tell: Tell) -> None:
    async def story(client: Client) -> None:
        reply = await client("OPTIONS", "/api/collections", headers=[("Origin", "http://a.com")])
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == "http://a.com"
        assert "content-length" not in reply.headers
        refused = await client("OPTIONS", "/anything", headers=[("Origin", "http://b.com")])
        assert (refused.status, dict(refused.headers)) == (204, {"vary": "Origin"})
        simple = await client("GET", "/api/nope", headers=[("Origin", "http://a.com")])
        assert simple.headers["access-control-allow-origin"] == "http://a.com"

    tell(story, origins=("http://a.com",))


def test_superusers_may_be_bound_to_addresses(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        change(client, superuser_ips=("192.168.0.0/16",))
        refused = await client("GET", "/api/collections", token=template.root_token)
        assert refused.body == b'{"data":{},"message":"You are not allowed to perform this request.","status":403}\n'
        allowed = await client("GET", "/api/collections", token=template.root_token, client=("192.168.1.1", 1))
        assert allowed.status == 200
        assert (await client("GET", "/api/health", token=template.user_token)).status == 200

    tell(story)


def test_requests_are_limited(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        rules = (
            RateLimitRule(label="posts:create", max_requests=1, duration=600),
            RateLimitRule(label="/api/health", max_requests=0, duration=600),
        )
        change(client, rate_limits=RateLimitsSettings(rules=rules, enabled=True))
        refused = await client("GET", "/api/health")
        assert refused.body == b'{"data":{},"message":"Too Many Requests.","status":429}\n'
        assert refused.headers.items() >= SECURITY.items()
        assert (await client("GET", "/api/health", token=template.root_token)).status == 200
        statuses = [(await client("POST", "/api/collections/POSTS/records", {})).status for _ in range(2)]
        assert statuses == [200, 429]
        assert (await client("GET", "/api/collections/posts/records")).status == 200

    tell(story)


def test_bodies_are_limited(tell: Tell) -> None:
    async def story(client: Client) -> None:
        limit = 32 << 20
        headers = [("Content-Type", "application/json"), ("Content-Length", str(limit + 1))]
        reply = await client("POST", "/api/realtime", b"{}", headers=headers)
        assert reply.body == b'{"data":{},"message":"Request entity too large.","status":413}\n'
        # The files of a record may be as large as its fields say.
        assert (await client("POST", "/api/collections/posts/records", b"{}", headers=headers)).status == 200
        headers[1] = ("Content-Length", "9" * 30)
        assert (await client("POST", "/api/collections/posts/records", b"{}", headers=headers)).status == 413

    tell(story)


def test_what_fails_by_surprise_is_not_told(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(client: Client) -> None:
        async def fail(_: object) -> None:
            raise ZeroDivisionError("secret")

        running = client.app._running
        monkeypatch.setattr(running.pipeline, "_authenticate", fail)
        reply = await client("GET", "/api/health", token="x")
        text = b"Something went wrong while processing your request."
        assert reply.body == b'{"data":{},"message":"%b","status":500}\n' % text
        assert "ZeroDivisionError" in caplog.text

    tell(story)


def test_requests_are_logged(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        running = client.app._running
        change(client, logs=Settings().logs)
        headers = [("User-Agent", "test"), ("Referer", "http://r")]
        await client("GET", "/api/collections?x=%20", token=template.user_token, headers=headers)
        await client("GET", "/")
        await client("OPTIONS", "/api/health")
        await client("GET", "/api/nope")
        running.activity.flush()
        with running.directory.auxiliary.read() as reader:
            rows = reader.rows("SELECT message, level, data FROM _logs ORDER BY rowid DESC LIMIT 3")[::-1]
        assert [row[:2] for row in rows] == [("GET /api/collections?x= ", 8), ("GET /", 8), ("GET /api/nope", 8)]
        data = msgspec.json.decode(str(rows[0][2]))
        took = data.pop("execTime")
        assert 0 < took < 10_000
        assert data == {
            "auth": "users",
            "details": {},
            "error": "The authorized record is not allowed to perform this action.",
            "method": "GET",
            "referer": "http://r",
            "remoteIP": "10.0.0.1",
            "status": 403,
            "type": "request",
            "url": "/api/collections?x=%20",
            "userAgent": "test",
            "userIP": "10.0.0.1",
        }

    tell(story)


def test_the_dashboard_is_a_page(tell: Tell) -> None:
    async def story(client: Client) -> None:
        assert b"rowcast" in (await client("GET", "/_/")).body
        assert (await client("GET", "/_/x/y")).message == "File not found."
        script = await client("GET", "/_/extensions.js")
        assert (script.status, script.body, script.headers["content-type"]) == (200, b"", "text/javascript")

    tell(story)


def test_public_files_are_behind_all_routes(tell: Tell, tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "index.html").write_text("home")

    async def story(client: Client) -> None:
        for target in ("/", "/some/page"):
            reply = await client("GET", target)
            assert (reply.status, reply.body) == (200, b"home")
            assert reply.headers.items() >= SECURITY.items()
        assert (await client("GET", "/api/unknown")).body == NOT_FOUND

    tell(story, public_dir=str(public))


def test_requests_are_traced_if_asked_for(tell: Tell, caplog: pytest.LogCaptureFixture) -> None:
    async def story(client: Client) -> None:
        await client("GET", "/api/health?x")

    caplog.set_level("DEBUG", "rowcast.api")
    tell(story)
    (line,) = [record for record in caplog.records if record.name == "rowcast.api"]
    assert (line.getMessage(), vars(line)["status"]) == ("GET /api/health", 200)


@pytest.mark.parametrize(
    ("causes", "status"),
    [
        ((BadRequestError("Failed to update collection."), StorageError("no table"), UnavailableError("gone")), 503),
        ((NotFoundError(), UnavailableError("gone")), 503),
        ((UnavailableError("gone"),), 503),
        ((BadRequestError("Failed to update collection."), StorageError("no table")), 400),
    ],
)
def test_what_failed_since_the_database_is_away_is_no_fault_of_the_request(
    causes: tuple[Exception, ...], status: int
) -> None:
    for error, cause in itertools.pairwise(causes):
        error.__cause__ = cause
    found = as_api_error(causes[0])
    assert isinstance(found, ApiError)
    assert found.status == status
