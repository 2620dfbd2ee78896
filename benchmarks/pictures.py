"""benchmarks/growth.svg: the growth tables as charts, the reference dashed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks import growth, plot
from benchmarks.scenarios import Scenario

_UNIT = "CPU per event, us, logarithmic"
_SHORT = {
    "public": "empty rule",
    "authed": 'auth.id != ""',
    "owner": "owner = auth.id",
    "team": "team = auth.team",
    "owner_and": "owner && n > 1",
    "member": "relation hop",
    "filter": "client filter",
    "ids": "one record",
}


def picture(found: Mapping[str, growth.Growth]) -> str:
    """Return the SVG. `found` is by the name of the server, ours first."""
    panels: list[plot.Chart | plot.Bars] = [
        plot.Chart(f"By number of {axis.name}", _UNIT, list(_lines(axis, found))) for axis in growth.AXES
    ]
    values = {
        _SHORT[kind]: [_cost(rows, scenario) for rows in found.values()] for kind, scenario in growth.BY_RULE.items()
    }
    panels.append(plot.Bars("By kind of rule", _UNIT, list(found), values))
    return plot.svg(panels, title="CPU per event by streams, accounts, topics and kind of rule")


def _lines(axis: growth.Axis, found: Mapping[str, growth.Growth]) -> Iterator[plot.Line]:
    for color, (kind, points) in enumerate(axis.lines.items()):
        for place, (name, rows) in enumerate(found.items()):
            costs = {value: row.cpu_us_per_event for value, row in rows.line(points).items() if row.cpu_us_per_event}
            if costs:
                yield plot.Line(f"{_SHORT[kind]}, {name}", color, costs, is_dashed=place > 0)


def _cost(rows: growth.Growth, scenario: Scenario) -> float | None:
    row = rows.rows.get(scenario)
    return row.cpu_us_per_event or None if row else None
