"""Replays recorded requests of the reference against `rowcast serve`, and tells what differs.

The recordings are not part of this repository. They are looked for in the
folder that ROWCAST_CONFORMANCE names, else in ../shared/conformance; their own
runner (replay.py there) starts the servers and compares the answers.
`make conformance` runs this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import postgres
from tests.e2e.server import Kind, command

ROOT = Path(__file__).parents[2]

_NOTED_JOB = "rowcast:cron:"

EXCEPTIONS = Path(__file__).parent / "exceptions.json"
"""Scenarios that rowcast answers differently on purpose: {id: reason}."""

MAX_EXCEPTIONS = 9

GROUPS: Mapping[str, Sequence[str]] = {
    "records": ("record_crud_test.go",),
    "system records": (
        "record_crud_auth_origin_test.go",
        "record_crud_external_auth_test.go",
        "record_crud_mfa_test.go",
        "record_crud_otp_test.go",
        "record_crud_superuser_test.go",
    ),
    "collections and settings": ("collection_test.go", "collection_import_test.go", "settings_test.go"),
    "realtime": ("realtime_test.go", "extra_realtime"),
    "auth": (
        "record_auth_with_password_test.go",
        "record_auth_refresh_test.go",
        "record_auth_impersonate_test.go",
        "record_auth_methods_test.go",
    ),
    "one-time passwords": (
        "extra_auth_flow",
        "record_auth_otp_request_test.go",
        "record_auth_with_otp_test.go",
    ),
    "mails": (
        "record_auth_verification_request_test.go",
        "record_auth_verification_confirm_test.go",
        "record_auth_password_reset_request_test.go",
        "record_auth_password_reset_confirm_test.go",
        "record_auth_email_change_request_test.go",
        "record_auth_email_change_confirm_test.go",
    ),
    "oauth2": ("record_auth_with_oauth2_test.go", "record_auth_with_oauth2_redirect_test.go"),
    "operators": ("cron_test.go", "logs_test.go", "sql_test.go", "extra_rate_limit"),
    "files and backups": ("file_test.go", "backup_test.go"),
    "edge and batches": ("health_test.go", "middlewares_test.go", "extensions_test.go", "batch_test.go"),
}
"""All sources of the recordings, in groups that may run side by side and start some twenty to fifty servers each."""

_LIMIT_S = 1_500


def recordings() -> Path | None:
    """Return the folder of the recordings, None where there is none."""
    folder = Path(os.environ.get("ROWCAST_CONFORMANCE") or ROOT.parent / "shared" / "conformance")
    return folder if (folder / "replay.py").is_file() else None


def sources(folder: Path) -> set[str]:
    """Return the sources of all scenarios that can be replayed."""
    scenarios = json.loads((folder / "index.json").read_text())
    return {str(scenario["source"]) for scenario in scenarios if scenario["portable"]}


def exceptions() -> dict[str, str]:
    """Return the known exceptions, {id: reason}."""
    known: dict[str, str] = json.loads(EXCEPTIONS.read_text())
    return known


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one scenario went: what was wrong with the answer, with its exact form, and with what was stored."""

    id: str
    source: str
    errors: tuple[str, ...]
    strict_errors: tuple[str, ...]
    after_errors: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether the answer is the recorded one, also by the strict comparison, and so is what was stored."""
        return not self.errors and not self.strict_errors and not self.after_errors


def replay(folder: Path, wanted: Sequence[str], *, kind: Kind = "rowcast", jobs: int = 1) -> list[Outcome]:
    """Run the scenarios of some sources and return their outcomes, by id. Raises RuntimeError if the runner fails."""
    dev_mode = ["--dev=false"] if kind == "reference" else []
    program = [*command(kind), "serve"]
    environment = dict(os.environ)
    checks = ["--check-after"]
    if kind == "postgres":
        # What is stored then is in no file that the runner could look into.
        program, checks = [sys.executable, "-m", "tests.conformance.postgres_server"], []
        environment |= {"PYTHONPATH": str(ROOT), "ROWCAST_POSTGRES": postgres.server_url()}
    start = shlex.join([*program, *dev_mode, "--dir"]) + " {data} --http 127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="rowcast-conformance-") as scratch:
        report = Path(scratch) / "report.json"
        options = [option for source in wanted for option in ("--source", source)]
        run = subprocess.run(
            [
                *(sys.executable, str(folder / "replay.py"), "--start", start, "--strict", *checks),
                *("--json", str(report), "--jobs", str(jobs), "--tmp", scratch, *options),
            ],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        if not report.is_file():
            raise RuntimeError(f"the runner ended with {run.returncode}:\n{run.stdout}")
        return [_outcome(result) for result in json.loads(report.read_text())["results"]]


def _outcome(result: Mapping[str, Any]) -> Outcome:
    return Outcome(
        id=result["id"],
        source=result["source"],
        errors=tuple(result["errors"]),
        strict_errors=tuple(result["strict_errors"]),
        # A job may have run meanwhile, at a full hour; that is noted once for all processes.
        after_errors=tuple(error for error in result["after_errors"] if _NOTED_JOB not in error),
    )


def counts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a table: per source, how many there are, and how many pass by each comparison."""
    yield f"{'source':<44}{'scenarios':>10}{'pass':>7}{'strict':>8}{'stored':>8}"
    for source in [*dict.fromkeys(outcome.source for outcome in outcomes), "all"]:
        of_source = [outcome for outcome in outcomes if source in ("all", outcome.source)]
        passed = [outcome for outcome in of_source if not outcome.errors]
        strict = sum(not outcome.strict_errors for outcome in passed)
        stored = sum(not outcome.after_errors for outcome in passed)
        yield f"{source:<44}{len(of_source):>10}{len(passed):>7}{strict:>8}{stored:>8}"


def main() -> int:
    """Replay everything and print what came of it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.replay", description=__doc__)
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="replay this group alone")
    parser.add_argument("--db", action="store_true", help="serve each data directory from a PostgreSQL database")
    parser.add_argument("--reference", action="store_true", help="run what ROWCAST_REFERENCE names instead")
    options = parser.parse_args()
    folder = recordings()
    if folder is None:
        print("skipped: no recordings in ../shared/conformance, and ROWCAST_CONFORMANCE names none")
        return 0
    asked = [source for group in options.group or GROUPS for source in GROUPS[group]]
    kind: Kind = "reference" if options.reference else "postgres" if options.db else "rowcast"
    outcomes = replay(folder, asked, kind=kind, jobs=2)
    print("\n".join(counts(outcomes)))
    known = exceptions()
    status = 0
    for outcome in outcomes:
        if outcome.is_right and outcome.id in known and kind == "rowcast":
            print(f"\n{outcome.id} passes now: take it from {EXCEPTIONS.name}")
            status = 1
        elif not outcome.is_right and outcome.id not in known:
            print("\n    ".join([f"\n{outcome.id}", *outcome.errors, *outcome.strict_errors, *outcome.after_errors]))
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
