"""Serves the sample data set from a new data directory: `python -m examples.demo`.

Makes the directory, a superuser and the data, says who can sign in, and keeps the
server until it is interrupted. A writer goes on changing records for a while.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from examples.demo.client import Client, RefusedError
from examples.demo.data import ACCOUNTS, PASSWORD, SUPERUSER, seed
from examples.demo.writer import Writer

_READY_WITHIN_S = 30.0
_COMMAND = str(Path(sys.executable).parent / "rowcast")


def main() -> int:
    """Run the demo and return the status of its server."""
    options = _options()
    # Whoever ends the demo politely, the server and the directory go with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _directory(options.dir) as directory:
        subprocess.run([_COMMAND, "superuser", "upsert", *SUPERUSER, "--dir", directory], check=True)
        server = subprocess.Popen([_COMMAND, "serve", "--dir", directory, "--http", options.http])
        try:
            _until_ready(server, options.http)
            client = Client(options.http)
            client.sign_in("_superusers", *SUPERUSER)
            writer = Writer(client, seed(client), random=random.Random(1))
            _greet(options.http, options.write_for)
            threading.Thread(target=_write, args=(writer, options.write_for, options.rate), daemon=True).start()
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            # A terminal's interrupt has reached the server as well; asking twice does no harm.
            server.terminate()
            server.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="Serve a sample data set.")
    parser.add_argument("--http", default="127.0.0.1:8090", metavar="HOST:PORT", help="the address to listen at")
    parser.add_argument(
        "--dir", default="", help="a new data directory to keep; without it one that goes with the demo"
    )
    parser.add_argument(
        "--write-for", type=float, default=600, metavar="SECONDS", help="how long records go on changing (600; 0: not)"
    )
    parser.add_argument("--rate", type=float, default=2, metavar="N", help="writes per second (2)")
    options = parser.parse_args()
    if options.rate <= 0:
        parser.error("--rate must be above 0")
    if options.dir and Path(options.dir).exists():
        parser.error(f"{options.dir} exists; the demo fills a new directory")
    return options


@contextmanager
def _directory(wanted: str) -> Iterator[str]:
    if wanted:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="rowcast-demo-") as made:
        yield str(Path(made) / "pb_data")


def _until_ready(server: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(server.returncode)
        client = Client(address)
        try:
            client.send("GET", "/api/health")
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            client.close()
    raise SystemExit(f"the server did not answer at {address} within {_READY_WITHIN_S:g} s")


def _write(writer: Writer, seconds: float, per_s: float) -> None:
    # The server may stop, and who looks may delete what the writer wants to change: then it ends.
    with suppress(OSError, RefusedError):
        writer.run(seconds=seconds, per_s=per_s)


def _greet(address: str, write_for: float) -> None:
    lines = [
        "",
        f"Look at it:  http://{address}/_/realtime",
        "",
        f"  {'collection':<14}{'identity':<22}password",
        f"  {'_superusers':<14}{SUPERUSER[0]:<22}{SUPERUSER[1]}",
        *(f"  {'users':<14}{email:<22}{PASSWORD}" for email in ACCOUNTS),
        "",
        f"Records go on changing for {write_for:g} s. Ctrl-C ends the demo." if write_for else "Ctrl-C ends the demo.",
    ]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
