"""Serves a data directory from PostgreSQL: copies it into a new database first, which goes with the server.

The arguments are those of `rowcast serve`, `--dir` first. Takes the place of the command for the runner.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests import postgres

_ROWCAST = str(Path(sys.executable).parent / "rowcast")


def main() -> int:
    """Run the server until it is told to stop; returns its exit status."""
    folder = sys.argv[sys.argv.index("--dir") + 1]
    url = postgres.new_database()
    stopped = threading.Event()
    server: list[subprocess.Popen[bytes]] = []

    def stop(*_: object) -> None:
        stopped.set()
        for process in server:
            process.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        subprocess.run([_ROWCAST, "copy", "--quiet", "--from", folder, "--to", url], check=True)
        if stopped.is_set():
            return 0
        server.append(subprocess.Popen([_ROWCAST, "serve", *sys.argv[1:], "--db", url], env=os.environ))
        return server[0].wait()
    finally:
        postgres.drop_database(url)


if __name__ == "__main__":
    sys.exit(main())
