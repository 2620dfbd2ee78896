"""Drives Chromium through ChromeDriver, which speaks WebDriver: JSON over HTTP, so that no package is needed.

Knows no page. Both programs come from the system (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.e2e.server import free_port

T = TypeVar("T")

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_READY_WITHIN_S = 30.0
_FLAGS = (
    "--headless",
    # Containers and root have no sandbox of their own; the pages are ours.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # A browser that asks nobody but the server under test.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserError(Exception):
    """The browser refused a command, or what was waited for did not happen."""


def missing() -> str:
    """Return which program is not there, "" if both are."""
    return " and ".join(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


class Browser:
    """One window."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = ""

    def start(self, profile: str) -> None:
        """Open the window. Raises BrowserError."""
        options = {"binary": shutil.which("chromium"), "args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "dismiss and notify",
        }
        answer = self._send("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session = "/" + answer["sessionId"]

    def quit(self) -> None:
        """Close the window."""
        self._send("DELETE", "")

    def open(self, url: str) -> None:
        """Load a page."""
        self._send("POST", "/url", {"url": url})

    def run(self, script: str, *args: object) -> Any:
        """Run the body of a function in the page and return what it returns."""
        return self._send("POST", "/execute/sync", {"script": script, "args": args})

    def devtools(self, command: str, **params: object) -> Any:
        """Run a command of the DevTools protocol."""
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def log(self) -> list[str]:
        """Return what the console and the network have said since the last call."""
        return [entry["message"] for entry in self._send("POST", "/se/log", {"type": "browser"})]

    def click(self, selector: str) -> None:
        """Click an element as a person would: it must be visible."""
        self._send("POST", f"/element/{self._find(selector)}/click", {})

    def fill(self, selector: str, text: str) -> None:
        """Replace the content of a field by typing."""
        element = self._find(selector)
        self._send("POST", f"/element/{element}/clear", {})
        self._send("POST", f"/element/{element}/value", {"text": text})

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select."""
        self.click(f"{selector} option[value='{value}']")

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        shown: str = self._send("GET", f"/element/{self._find(selector)}/text")
        return shown

    def texts(self, selector: str) -> list[str]:
        """Return what all such elements hold, also where they are scrolled or folded away."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )
        return found

    def until(self, probe: Callable[[], T], *, within_s: float = 15.0) -> T:
        """Return the first true value of `probe`. Raises BrowserError with the last one."""
        deadline = time.monotonic() + within_s
        while not (value := probe()):
            if time.monotonic() > deadline:
                raise BrowserError(f"still {value!r} after {within_s:g} s; console: {self.log()}")
            time.sleep(0.02)
        return value

    def _find(self, selector: str) -> str:
        found: str = self._send("POST", "/element", {"using": "css selector", "value": selector})[_ELEMENT]
        return found

    def _send(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/session{self._session}{path}", payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            connection.close()
        if answer.status != 200:
            raise BrowserError(f"{method} {path}: {value['message']}")
        return value


@contextmanager
def window() -> Iterator[Browser]:
    """Run a browser with an empty profile until the block ends. Raises BrowserError."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rowcast-browser-") as profile:
        driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--log-level=OFF"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            browser = Browser(port)
            _start(browser, driver, profile)
            try:
                yield browser
            finally:
                browser.quit()
        finally:
            driver.terminate()
            driver.wait()


def _start(browser: Browser, driver: subprocess.Popen[bytes], profile: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            browser.start(profile)
        except ConnectionError:
            if driver.poll() is not None or time.monotonic() > deadline:
                raise BrowserError(f"chromedriver does not answer; its status: {driver.poll()}") from None
            time.sleep(0.02)
        else:
            return
