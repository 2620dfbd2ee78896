"""A mail server that keeps what it gets, with TLS, sign-in and faults where a test wants them.

`python -m tests.unit.mail.sink` runs one as a process: it prints its port, then each
mail as a line of JSON. Started that way it ends with its standard input.
"""

from __future__ import annotations

import datetime
import email
import ipaddress
import json
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class _Session(socketserver.StreamRequestHandler):
    def setup(self) -> None:
        sink: Sink = self.server  # type: ignore[assignment]
        self.sink = sink
        self.verb = "CONNECT"
        if sink.tls == "implicit":
            self.request = sink.secured(self.request)
        super().setup()

    def handle(self) -> None:
        if not self._faults("CONNECT"):
            self._say("220 sink ready")
        while line := self.rfile.readline():
            command = line.decode().strip()
            self.sink.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if not self._faults(verb) and not self._answer(verb, command):
                return

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def _faults(self, verb: str) -> bool:
        """Refuse, fall silent, hang up or drip where that is wanted at this command."""
        sink = self.sink
        if verb in sink.silent:
            sink.stuck.set()
            sink.released.wait(30)
            return False
        if verb in sink.dripping:
            sink.stuck.set()
            while not sink.released.wait(0.02):
                self.wfile.write(b"2")
        elif verb in sink.cut:
            self.request.shutdown(socket.SHUT_RDWR)
        elif verb in sink.refused:
            self._say("550 no")
        else:
            return False
        return True

    def _answer(self, verb: str, command: str) -> bool:
        """Answer a command; False ends the session."""
        sink = self.sink
        if verb == "EHLO":
            offered = [*sink.extensions, "SMTPUTF8"]
            is_open = not isinstance(self.request, ssl.SSLSocket)
            if sink.tls == "starttls" and is_open:
                offered.insert(0, "STARTTLS")
            self._say(*(f"250-{line}" for line in ("sink", *offered[:-1])), f"250 {offered[-1]}")
        elif verb == "STARTTLS":
            self._say("220 go on")
            self.request = sink.secured(self.request)
            socketserver.StreamRequestHandler.setup(self)
        elif verb == "DATA":
            self._say("354 go on")
            return self._take()
        elif verb == "AUTH":
            if command.upper().endswith("LOGIN"):
                self._ask("VXNlcm5hbWU6")
            if command.upper().startswith("AUTH LOGIN"):
                self._ask("UGFzc3dvcmQ6")
            self._say("235 welcome")
        else:
            self._say("221 bye" if verb == "QUIT" else "250 fine")
        return verb != "QUIT"

    def _take(self) -> bool:
        """Read a mail; False where its client has hung up instead of ending it."""
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            # A dot that begins a line is sent twice (RFC 5321, 4.5.2).
            lines.append(line.removeprefix(b"."))
        self.sink.take(b"".join(lines))
        self._say("250 taken")
        return True

    def _ask(self, prompt: str) -> None:
        self._say(f"334 {prompt}")
        self.sink.commands.append(self.rfile.readline().decode().strip())

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


class Sink(socketserver.ThreadingTCPServer):
    """`extensions` is what it offers; `tls` is "", "starttls" or "implicit".

    Faults are sets of commands ("CONNECT" is the greeting): `refused` get an error,
    `silent` no answer until `released` is set, `dripping` an answer without an end,
    `cut` lose their connection. `stuck` is set once somebody waits.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, context: ssl.SSLContext | None = None, tls: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.tls = tls
        self._context = context
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.extensions: list[str] = []
        self.refused: set[str] = set()
        self.silent: set[str] = set()
        self.dripping: set[str] = set()
        self.cut: set[str] = set()
        self.stuck, self.released, self.arrived = threading.Event(), threading.Event(), threading.Event()
        self.on_mail: Callable[[bytes], None] = self.mails.append

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def take(self, mail: bytes) -> None:
        self.on_mail(mail)
        self.arrived.set()

    def secured(self, connection: Any) -> ssl.SSLSocket:
        assert self._context is not None
        return self._context.wrap_socket(connection, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of what is tested."""

    def parsed(self) -> list[EmailMessage]:
        return [email.message_from_bytes(mail, policy=policy.default) for mail in self.mails]


@contextmanager
def running_sink(context: ssl.SSLContext | None = None, tls: str = "") -> Iterator[Sink]:
    with Sink(context, tls) as sink:
        thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            sink.released.set()
            sink.shutdown()
            thread.join()


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the context of a server at 127.0.0.1, and the file with the certificate that its clients must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sink")])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "sink.pem", folder / "sink.key"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


def _print(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _print_mail(mail: bytes) -> None:
    parsed = email.message_from_bytes(mail, policy=policy.default)
    html, text = parsed.get_body(("html",)), parsed.get_body(("plain",))
    _print(
        {
            "from": str(parsed["From"]),
            "to": str(parsed["To"]),
            "subject": str(parsed["Subject"]),
            "html": html.get_content() if html is not None else "",
            "text": text.get_content() if text is not None else "",
        }
    )


if __name__ == "__main__":
    with running_sink() as running:
        running.on_mail = _print_mail
        _print({"port": running.port})
        sys.stdin.read()
