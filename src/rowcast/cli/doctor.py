"""`rowcast doctor`: looks at a data directory, its machine and a running server, and says what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rowcast.cli.options import config_of, shared

if TYPE_CHECKING:
    from rowcast.doctor.findings import Finding

_COLORS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--url", default="", help="Check the server at this address from outside as well.")
@click.option(
    "--streams", type=click.IntRange(min=1), default=10_000, show_default=True, help="Streams to have room for."
)
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=1, max=600), default=30, show_default=True,
    help="How many seconds an idle stream is watched.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--fix", is_flag=True, help="Delete unfinished files and thumbs of files that are gone.")
@shared
def doctor(url: str, streams: int, wait_s: float, *, as_json: bool, fix: bool, **options: object) -> None:
    """Check a data directory, this machine and, with --url, a running server.

    Ends with 0 where all is well, 1 with warnings, 2 with problems. Changes nothing without --fix.
    """
    from rowcast.doctor.examine import directory
    from rowcast.doctor.findings import exit_status
    from rowcast.doctor.outside import Outside

    path = Path(config_of(options).data_dir)
    findings: list[Finding] = []
    try:
        outside = Outside(url, wait_s=wait_s) if url else None
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    # Without a directory here, the server is that of another machine.
    if outside is None or path.exists():
        for finding in directory(path, streams=streams, fix=fix):
            findings.append(finding)
            _show(finding, as_json=as_json)
    if outside is not None:
        for finding in outside.findings():
            findings.append(finding)
            _show(finding, as_json=as_json)
    if as_json:
        import msgspec

        status = max((finding.level for finding in findings), key=tuple(_COLORS).index, default="ok")
        click.echo(msgspec.json.format(msgspec.json.encode({"status": status, "findings": findings}), indent=2))
    click.get_current_context().exit(exit_status(findings))


def _show(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        return
    click.secho(f"{finding.level:<8}", fg=_COLORS[finding.level], nl=False)
    click.echo(f" {finding.check}: {finding.text}")
    if finding.mend:
        click.echo(f"         → {finding.mend}")
