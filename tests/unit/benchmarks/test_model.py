"""The model of many nodes: its fit, its tables, and the simulation behind it."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import model, scale, simulate


def test_a_fit_finds_the_costs_that_made_the_figures() -> None:
    rows = [[1.0, 50.0, 2.0], [2.0, 1.0, 9.0], [5.0, 5.0, 1.0], [3.0, 30.0, 30.0]]
    costs = [300.0, 0.0, 12.5]
    wanted = [sum(cost * part for cost, part in zip(costs, row, strict=True)) for row in rows]
    assert model.least_squares(rows, wanted) == pytest.approx(costs, abs=1e-3)


def test_no_cost_is_below_zero() -> None:
    assert model.least_squares([[1.0, 1.0], [1.0, 2.0]], [2.0, 1.0]) == pytest.approx([1.5, 0.0])


def test_the_page_holds_the_tables_of_the_stored_figures() -> None:
    page = model.PAGE.read_text()
    assert model.put_into(page, model.stored()) == page


def test_the_results_hold_the_section_of_the_stored_figures() -> None:
    page = scale.RESULTS.read_text()
    assert scale.put_into(page, scale.section()) == page


def test_a_section_takes_the_place_of_the_one_before() -> None:
    section = f"{scale.HEAD}\n\nnew\n"
    assert scale.put_into("# Results\n\n## A\n\na\n", section) == f"# Results\n\n## A\n\na\n\n{section}"
    page = f"# Results\n\n{scale.HEAD}\n\nold\n\n### Part\n\nold\n\n## B\n\nb\n"
    assert scale.put_into(page, section) == f"# Results\n\n{section}\n## B\n\nb\n"


@pytest.mark.parametrize(("place", "hearers"), [(0, 1), (1, 10), (2, 10), (3, 200)])
def test_a_simulated_node_tells_whoever_may_hear(place: int, hearers: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one node all streams are on it: each change reaches all that it is for."""
    monkeypatch.setattr(simulate, "_MEMBERS", 10)
    shape = simulate.SHAPES[place]
    asked = simulate.Shape(shape.name, shape.rule, min(shape.hearers, 10), shape.topic, 3)
    found = asyncio.run(simulate.play(asked, streams=200, nodes=1))
    assert found.deliveries == hearers
    assert found.event_bytes > 200
