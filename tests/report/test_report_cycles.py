"""Text for people about tasks that wait for each other."""

from __future__ import annotations

from orchestrator.planning import cycle_report
from tests.model.factories import feature, task


def test_a_very_long_cycle_shows_its_beginning() -> None:
    cycle = [f"T{at}" for at in range(100)]

    shown = cycle_report.cycle_text(cycle, {name: name for name in cycle})

    assert shown.startswith("T0 → T1 → ")
    assert shown.endswith("T11 → 88 tasks more → T0")


def test_of_very_many_cycles_the_first_are_named_to_programs_and_every_edge_that_has_to_go() -> None:
    # Given 150 pairs of tasks that wait for each other
    pairs = [(f"A{at}", f"B{at}") for at in range(150)]
    made = feature(*(task(one, other) for pair in pairs for one, other in (pair, pair[::-1])))

    facts = cycle_report.circular(made, {one.id: one.depends_on for one in made.tasks}).facts

    assert (len(facts["paths"]), facts["left_out"]) == (100, {"paths": 50})
    assert len(facts["remove"]) == 150
