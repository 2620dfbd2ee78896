"""The inspector in headless Chromium, over the sample data of the demo.

Skipped where Chromium or ChromeDriver is not installed; in CI their lack is a failure.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator

import pytest

from examples.demo.client import Client
from examples.demo.data import ACCOUNTS, PASSWORD, SUPERUSER, Sample, seed
from examples.demo.writer import Writer
from tests.e2e.browser import Browser, missing, window
from tests.e2e.client import Api, EventStream
from tests.e2e.server import Server, running, upsert_superuser

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

HTML = "<img src=x onerror=\"document.title='hacked'\"><b>bold</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if lack := missing():
        assert not os.environ.get("CI"), f"{lack} must be installed for the tests in CI"
        pytest.skip(f"{lack} is not installed (Debian: apt-get install chromium chromium-driver)")
    with window() as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Client, Sample]]:
    """A server with the sample data, a superuser's client, and the ids of the data."""
    data_dir = tmp_path_factory.mktemp("demo") / "pb_data"
    upsert_superuser("rowcast", data_dir, SUPERUSER)
    with running("rowcast", data_dir) as server:
        client = Client(server.url.removeprefix("http://"))
        client.sign_in("_superusers", *SUPERUSER)
        yield server, client, seed(client)
        client.close()


@pytest.fixture
def page(browser: Browser, demo: tuple[Server, Client, Sample]) -> Iterator[Browser]:
    """The inspector as a guest; whatever it does, its console stays empty and it asks nobody but the server."""
    browser.log()
    url = demo[0].url
    browser.open(f"{url}/_/realtime")
    yield browser
    said = browser.log()
    asked: list[str] = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    browser.open("about:blank")
    # What a test provokes (a refused sign-in, a cut) is told by the network; the page itself says nothing.
    assert not [line for line in said if "Failed to load resource" not in line and "net::ERR" not in line]
    assert asked
    assert not [name for name in asked if not name.startswith(f"{url}/")]


def sign_in(page: Browser, collection: str, identity: str, password: str = PASSWORD) -> None:
    page.fill("#sign-in [name=collection]", collection)
    page.fill("#sign-in [name=identity]", identity)
    page.fill("#sign-in [name=password]", password)
    page.click("#sign-in button")
    # The page moves the focus once it knows; until then nothing else may be typed.
    page.until(lambda: page.text("#who") != "guest" or page.texts("#sign-in .problem:not([hidden])"))


def add_topic(page: Browser, topic: str, *, leave: bool = False, **options: str) -> None:
    page.fill("#topic [name=topic]", topic)
    if leave or options:
        page.run("document.querySelector('#topic details').open = true")
    for name, value in options.items():
        page.fill(f"#topic [name={name}]", value)
    if leave:
        page.click("#topic [name=leave]")
    before = len(page.texts("#topics li"))
    page.click("#topic button")
    page.until(lambda: len(page.texts("#topics li")) == before + 1)
    page.until(lambda: page.run("return !document.querySelector('#topic button').disabled"))


def open_stream(page: Browser, mode: str = "cursor") -> None:
    page.click(f"#stream [value={mode}]")
    page.click("#open")
    page.until(lambda: page.text("#state") == "open")


def write(page: Browser, action: str, collection: str, body: object = None, record_id: str = "") -> None:
    page.choose("#write [name=action]", action)
    page.fill("#write [name=collection]", collection)
    if record_id:
        page.fill("#write [name=id]", record_id)
    if body is not None:
        page.fill("#write [name=body]", body if isinstance(body, str) else json.dumps(body))
    page.click("#write button")
    page.until(lambda: page.text("#written") or page.texts("#write .problem:not([hidden])"))


def events(page: Browser) -> list[tuple[str, str]]:
    """Action and record of the events in the list, the oldest first."""
    rows = page.run(
        """
        const text = (row, part) => row.querySelector(part).textContent;
        const events = [...document.querySelectorAll("#events .event")];
        return events.map((row) => [text(row, ".action"), text(row, ".record")]);
        """
    )
    return [(action, record) for action, record in reversed(rows)]


def notes(page: Browser) -> list[str]:
    return page.texts("#events .note .record")[::-1]


def colored_pixels(page: Browser, name: str) -> int:
    """How many pixels of the chart have one of the page's colours."""
    found: int = page.run(
        """
        const chart = document.getElementById("chart");
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [chart.width, chart.height + 1];
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(chart, 0, 1);
        context.fillStyle = getComputedStyle(chart).getPropertyValue("--" + arguments[0]);
        context.fillRect(0, 0, 1, 1);
        const wanted = context.getImageData(0, 0, 1, 1).data;
        const { data } = context.getImageData(0, 1, chart.width, chart.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) {
            count += [0, 1, 2, 3].every((part) => data[i + part] === wanted[part]) ? 1 : 0;
        }
        return count;
        """,
        name,
    )
    return found


def test_an_account_signs_in_and_sees_what_its_rules_allow(page: Browser, demo: tuple[Server, Client, Sample]) -> None:
    _, client, sample = demo
    assert page.text("#who") == "guest"
    sign_in(page, "users", ACCOUNTS[0], "wrong password")
    assert page.text("#sign-in .problem") == "Failed to authenticate. (400)"
    sign_in(page, "users", ACCOUNTS[0])
    assert page.text("#who") == f"{ACCOUNTS[0]} (users)"
    add_topic(page, "notes/*")
    open_stream(page)
    for number, user in enumerate(sample.users):
        client.create("notes", owner=user, text=f"number {number}")
    client.create("notes", owner=sample.users[0], text="last")
    page.until(lambda: len(events(page)) == 2)
    assert ["number 0" in events(page)[0][1], "last" in events(page)[1][1]] == [True, True]
    assert page.text("#figure-streams") == "–"
    assert page.run("return document.getElementById('clients').hidden")

    page.click("#guest")
    page.until(lambda: page.text("#state") == "open" and page.text("#who") == "guest")
    add_topic(page, "announcements/*")
    client.create("notes", owner=sample.users[0], text="not for guests")
    client.create("announcements", text="for everybody")
    page.until(lambda: len(events(page)) == 3)
    assert "for everybody" in events(page)[2][1]


def test_a_write_from_the_page_arrives_with_its_latency(page: Browser, demo: tuple[Server, Client, Sample]) -> None:
    room = demo[2].rooms[0]
    sign_in(page, "_superusers", *SUPERUSER)
    add_topic(page, "posts/*", filter="likes > 3", fields="id,title,likes", leave=True)
    open_stream(page)
    write(page, "create", "posts", {"title": "unseen", "room": room, "likes": 1})
    write(page, "create", "posts", {"title": "seen", "room": room, "likes": 5})
    record_id = page.run("return document.querySelector('#write [name=id]').value")
    write(page, "update", "posts", {"likes": 6}, record_id)
    write(page, "update", "posts", {"likes": 2}, record_id)
    write(page, "delete", "posts", record_id=record_id)
    page.until(lambda: len(events(page)) == 3)
    assert [action for action, _ in events(page)] == ["create", "update", "leave"]
    assert all(record.startswith(record_id) for _, record in events(page))
    latencies = page.texts("#events .latency[data-from=write]")
    assert len(latencies) == 3
    assert all(text.endswith(" ms") for text in latencies)
    assert page.texts("#events .topic")[0] == "posts/* · filter likes > 3 · fields id,title,likes · leave"

    write(page, "create", "posts", "{broken")
    assert page.text("#write .problem").startswith("The record is not JSON")
    write(page, "create", "posts", {"likes": 5})
    assert "title: Cannot be blank." in page.text("#write .problem")


def test_records_are_text_and_never_html(page: Browser) -> None:
    sign_in(page, "_superusers", *SUPERUSER)
    add_topic(page, "announcements/*")
    add_topic(page, f"announcements/{HTML}")
    open_stream(page)
    write(page, "create", "announcements", {"text": HTML})
    page.until(lambda: events(page))
    page.click("#events summary")
    shown = page.until(lambda: page.texts("#events pre"))
    assert json.loads(shown[0])["record"]["text"] == HTML
    assert HTML in events(page)[0][1]
    assert page.run("return document.querySelectorAll('main img, main b').length") == 0
    assert page.run("return document.title") == "rowcast realtime"
    # Even a mistake in the page could not make HTML of it: the browser refuses.
    refused = "try { document.body.innerHTML = '<b>x</b>'; return 'taken'; } catch (error) { return error.name; }"
    assert page.run(refused) == "TypeError"
    page.log()


def test_the_chart_draws_events_and_streams(page: Browser, demo: tuple[Server, Client, Sample]) -> None:
    _, client, sample = demo
    assert colored_pixels(page, "events") == 0
    sign_in(page, "_superusers", *SUPERUSER)
    add_topic(page, "posts/*")
    add_topic(page, "comments/*")
    add_topic(page, "announcements/*")
    open_stream(page)
    writer = Writer(client, sample, random=random.Random(1))  # noqa: S311 - picks what is written
    for _ in range(30):
        writer.write()
    page.until(lambda: page.text("#figure-total") == "31")
    page.until(lambda: colored_pixels(page, "events") > 50)
    page.until(lambda: page.text("#figure-streams") == "1" and colored_pixels(page, "streams") > 5)
    label = page.run("return document.getElementById('chart').getAttribute('aria-label')")
    assert "31 events in the last minute" in label
    assert page.until(lambda: page.text("#figure-median").endswith(" ms"))


@pytest.mark.parametrize(
    ("mode", "told"), [("cursor", ["before", "meanwhile", "after"]), ("plain", ["before", "after"])]
)
def test_a_cut_stream_comes_back(
    page: Browser, demo: tuple[Server, Client, Sample], mode: str, told: list[str]
) -> None:
    client = demo[1]
    add_topic(page, "announcements/*", fields="text")
    open_stream(page, mode)
    client.create("announcements", text="before")
    page.until(lambda: events(page))
    page.fill("#cut-seconds", "1")
    page.click("#cut")
    assert page.text("#state") == "cut for 1 s"
    client.create("announcements", text="meanwhile")
    page.until(lambda: page.text("#state") == ("open · resumed: true" if mode == "cursor" else "open"))
    client.create("announcements", text="after")
    page.until(lambda: len(events(page)) >= len(told))
    assert [record for _, record in events(page)] == [f"text: {text}" for text in told]
    assert ("resumed: true" in notes(page)[-1]) == (mode == "cursor")


def test_a_superuser_kicks_streams(page: Browser, demo: tuple[Server, Client, Sample]) -> None:
    other = EventStream(Api(demo[0].url), ["announcements/*"])
    sign_in(page, "_superusers", *SUPERUSER)
    add_topic(page, "announcements/*")
    open_stream(page)
    row = f"#clients tr[data-id='{other.client_id}']"
    page.until(lambda: page.texts(f"{row} td"))
    assert page.texts(f"{row} td")[1:3] == ["guest", "announcements/*"]
    page.click(f"{row} button")
    other.rest()
    page.until(lambda: not page.texts(row))

    # Its own stream comes back by itself, and has lost nothing.
    own = page.until(lambda: [text for text in page.texts("#clients tbody tr") if "(this page)" in text])
    assert len(own) == 1
    page.click("#clients tbody button")
    page.until(lambda: page.text("#state") == "open · resumed: true", within_s=30)


def test_it_fits_a_phone(page: Browser) -> None:
    sign_in(page, "_superusers", *SUPERUSER)
    add_topic(page, "announcements/*", filter="text != '" + "x" * 200 + "'")
    open_stream(page)
    write(page, "create", "announcements", {"text": "long" * 100})
    page.until(lambda: events(page) and page.texts("#clients tbody tr"))
    page.devtools("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    try:
        assert page.run("return document.documentElement.scrollWidth") == 360
        buttons = "[...document.querySelectorAll('button')].filter((button) => button.offsetParent)"
        assert page.run(f"return {buttons}.filter((button) => button.offsetHeight < 24).length") == 0
    finally:
        page.devtools("Emulation.clearDeviceMetricsOverride")


def test_every_field_has_a_name(page: Browser) -> None:
    nameless = """
        return [...document.querySelectorAll("input, select, textarea, button")]
            .filter((field) => !field.labels?.length && !field.textContent.trim() && !field.ariaLabel).length
    """
    assert page.run(nameless) == 0


def test_a_page_that_is_left_has_no_stream_and_resumes_when_it_is_back(
    page: Browser, demo: tuple[Server, Client, Sample]
) -> None:
    client = demo[1]
    add_topic(page, "announcements/*", fields="text")
    open_stream(page)
    # Whether a browser really keeps a page for the way back depends on its memory; this is what it tells the page.
    page.run("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    page.until(lambda: client.send("GET", "/api/realtime/clients")["total"] == 0)
    client.create("announcements", text="meanwhile")
    page.run("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.until(lambda: events(page))
    assert events(page) == [("create", "text: meanwhile")]
