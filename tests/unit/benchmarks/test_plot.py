from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks import growth, plot
from benchmarks.scenarios import SCENARIOS, Scenario

_SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_is_well_formed_and_stays_in_its_frame() -> None:
    chart = plot.Chart(
        "by <x>", "us", [plot.Line("a & b", 0, {10: 5.0, 1_000: 50_000.0}), plot.Line("c", 1, {10: 7.0})]
    )
    bars = plot.Bars("kinds", "us", ["ours", "theirs"], {"one": [10.0, 90_000.0], "two": [3.0, None]})

    root = ElementTree.fromstring(plot.svg([chart, bars], title="growth"))  # noqa: S314 - our own text

    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{_SVG}circle")]
    assert len(dots) == 3
    assert all(0 < x < 460 and 0 < y < 330 for x, y in dots)
    assert dots[0][1] > dots[1][1], "more is higher"
    assert len([bar for bar in root.iter(f"{_SVG}rect") if "bar" in bar.attrib["class"]]) == 3 + 2


def test_nothing_measured_is_said() -> None:
    assert plot.svg([plot.Chart("t", "us", []), plot.Bars("t", "us", [], {})], title="t").count("not measured") == 2


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario("", "public", streams=7), [7, 7, 7]),
        (Scenario("", "owner", streams=7, accounts=3), [3, 2, 2, 3]),
        (Scenario("", "owner_and", streams=7, accounts=3), [0, 0, 2, 3]),
        (Scenario("", "team", streams=30, accounts=20), [3, 3]),
        (Scenario("", "member", streams=10, accounts=5), [6, 6]),
        (Scenario("", "filter", streams=25), [3, 3, 3, 3, 3, 2]),
        (Scenario("", "ids", streams=9), [1, 1]),
    ],
)
def test_hearers_follow_the_rule(scenario: Scenario, expected: list[int]) -> None:
    assert [scenario.hearers(event) for event in range(len(expected))] == expected


def test_points_are_measured_once_and_have_names_of_their_own() -> None:
    points = list(growth.points(most_streams=9_000))
    assert len(points) == len(set(points)) == len({point.name for point in points})
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
