"""A mail server that keeps what it gets."""

from __future__ import annotations

import email
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from typing import Any


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        sink: Any = self.server
        self._say("220 sink ready")
        while line := self.rfile.readline():
            command = line.decode().strip()
            sink.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "EHLO":
                self._say("250-sink")
                for extension in sink.extensions:
                    self._say(f"250-{extension}")
                self._say("250 SMTPUTF8")
            elif verb == "DATA":
                self._say("354 go on")
                sink.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self._say("250 taken")
            elif verb in sink.refused:
                self._say("550 no")
            elif verb == "AUTH" and len(command.split()) == 2:
                for prompt in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                    self._say(f"334 {prompt}")
                    sink.commands.append(self.rfile.readline().decode().strip())
                self._say("235 welcome")
            else:
                self._say("235 welcome" if verb == "AUTH" else "221 bye" if verb == "QUIT" else "250 fine")
                if verb == "QUIT":
                    return

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class Sink(socketserver.ThreadingTCPServer):
    """`refused` are the commands that fail, `extensions` what it offers."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.refused: set[str] = set()
        self.extensions: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def parsed(self) -> list[EmailMessage]:
        return [email.message_from_bytes(mail, policy=policy.default) for mail in self.mails]


@contextmanager
def running_sink() -> Iterator[Sink]:
    with Sink() as sink:
        thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join()
