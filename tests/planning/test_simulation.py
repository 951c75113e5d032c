"""Schedules under a cap, played through without doing the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning import graph, simulation


def ends(
    depends_on: Mapping[str, Sequence[str]], weights: Mapping[str, float], cap: int, order: str = ""
) -> dict[str, float]:
    launch = order.split() or list(depends_on)
    return simulation.ends(depends_on, graph.dependents(depends_on), launch, weights, cap)


def test_a_task_starts_when_its_own_dependencies_have_ended_whatever_else_runs() -> None:
    # Given a short path beside a long task
    found = ends({"A": [], "long": [], "B": ["A"]}, {"A": 1, "long": 10, "B": 2}, cap=2)

    # Then B, on the second level, has ended before the first level has
    assert found == {"A": 1, "B": 3, "long": 10}
    assert list(found) == ["A", "B", "long"]


def test_of_those_that_may_start_the_first_of_the_launch_order_does() -> None:
    free: dict[str, list[str]] = {"A": [], "B": [], "C": []}

    assert list(ends(free, dict.fromkeys(free, 1.0), 1, "C A B")) == ["C", "A", "B"]


def test_what_ends_together_releases_together() -> None:
    # Given two that end at the same moment, and of what waits for them the one that is first in the order waits for
    # the second
    graph_ = {"A": [], "B": [], "after A": ["A"], "after B": ["B"]}
    order = ["after B", "after A", "A", "B"]

    found = simulation.ends(graph_, graph.dependents(graph_), order, dict.fromkeys(order, 1.0), 2)

    assert list(found) == ["A", "B", "after B", "after A"]


def test_an_empty_graph_ends_nothing() -> None:
    assert ends({}, {}, 3) == {}


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, float], int, list[str]]:
    names = [f"T{place}" for place in range(draw(st.integers(1, 12)))]
    depends_on = {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4)) if place else []
        for place, name in enumerate(names)
    }
    weights = {name: float(draw(st.integers(1, 9))) for name in names}
    return depends_on, weights, draw(st.integers(1, 4)), draw(st.permutations(names))


@given(cases())
def test_any_schedule_keeps_the_cap_and_the_dependencies_and_leaves_no_slot_idle(
    case: tuple[dict[str, list[str]], dict[str, float], int, list[str]],
) -> None:
    depends_on, weights, cap, order = case
    found = simulation.ends(depends_on, graph.dependents(depends_on), order, weights, cap)
    starts = {task: end - weights[task] for task, end in found.items()}
    last = max(found.values())

    assert found.keys() == depends_on.keys()
    for moment in range(int(last)):
        running = [task for task in found if starts[task] <= moment < found[task]]
        ready = [
            task
            for task in found
            if starts[task] > moment and all(found[end] <= moment for end in depends_on[task])
        ]
        assert len(running) <= cap
        assert not ready or len(running) == cap
    for task, dependencies in depends_on.items():
        assert all(found[dependency] <= starts[task] for dependency in dependencies)
    path = max(graph.remaining(depends_on, graph.order(depends_on), weights).values())
    # The bound of list scheduling (R. L. Graham, 1969)
    assert (
        max(path, sum(weights.values()) / cap) <= last <= sum(weights.values()) / cap + path * (cap - 1) / cap
    )
