"""Properties that hold for every graph, and the few examples that explain them."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning import cycle_search, graph

Drawn = dict[str, list[str]]


def names(size: int) -> list[str]:
    return [f"T{number}" for number in range(size)]


@st.composite
def any_graphs(draw: st.DrawFn) -> Drawn:
    ids = names(draw(st.integers(1, 9)))
    return {task: draw(st.lists(st.sampled_from(ids), unique=True, max_size=4)) for task in ids}


@st.composite
def acyclic_graphs(draw: st.DrawFn) -> Drawn:
    ids = draw(st.permutations(names(draw(st.integers(1, 12)))))
    edges = {
        task: draw(st.lists(st.sampled_from(ids[:place]), unique=True, max_size=4)) if place else []
        for place, task in enumerate(ids)
    }
    return {task: edges[task] for task in draw(st.permutations(ids))}


def reached(start: str, edges: Drawn) -> set[str]:
    """The tasks behind a task, found the slow way."""
    found: set[str] = set()
    while new := {end for task in found | {start} for end in edges[task]} - found:
        found |= new
    return found


def heaviest(task: str, followers: Drawn, weights: dict[str, float]) -> float:
    return weights[task] + max((heaviest(next_, followers, weights) for next_ in followers[task]), default=0)


def without(edges: Drawn, removed: set[tuple[str, str]]) -> Drawn:
    return {task: [end for end in ends if (task, end) not in removed] for task, ends in edges.items()}


@given(acyclic_graphs())
def test_the_order_has_each_task_after_its_dependencies(edges: Drawn) -> None:
    ordered = graph.order(edges)

    assert sorted(ordered) == sorted(edges)
    assert all(ordered.index(end) < ordered.index(task) for task in edges for end in edges[task])


@given(acyclic_graphs())
def test_a_level_is_one_more_than_the_highest_below(edges: Drawn) -> None:
    level = graph.levels(edges)

    assert all(level[task] == 1 + max((level[end] for end in edges[task]), default=0) for task in edges)


@given(any_graphs())
def test_an_order_is_complete_exactly_where_there_is_no_cycle(edges: Drawn) -> None:
    assert (len(graph.order(edges)) == len(edges)) == (cycle_search.cycles(edges) == [])


def test_preference_decides_among_the_tasks_that_could_be_next() -> None:
    # Given two free tasks and one that waits for the second
    edges: Drawn = {"T1": [], "T2": [], "T3": ["T2"]}

    # When the second and what waits for it are preferred
    ordered = graph.order(edges, {"T1": 9, "T2": 1, "T3": 2})

    # Then both go before the first
    assert ordered == ["T2", "T3", "T1"]


@given(acyclic_graphs(), st.randoms(use_true_random=False))
def test_the_critical_path_is_the_heaviest(edges: Drawn, chance: random.Random) -> None:
    weights = {task: float(chance.randint(1, 9)) for task in edges}
    followers = graph.dependents(edges)
    left = graph.remaining(edges, graph.order(edges), weights)

    path = graph.critical_path(followers, left)

    assert left == {task: heaviest(task, followers, weights) for task in edges}
    assert sum(weights[task] for task in path) == max(left.values())
    assert all(start in edges[end] for start, end in itertools.pairwise(path))


@given(acyclic_graphs())
def test_bottlenecks_are_those_that_block_most(edges: Drawn) -> None:
    followers, ordered = graph.dependents(edges), graph.order(edges)

    found = graph.bottlenecks(followers, ordered, graph.levels(edges, followers))

    assert all(blocks == len(reached(task, followers)) for task, blocks in found)
    most = sorted((len(reached(task, followers)) for task in edges), reverse=True)[:3]
    assert [blocks for _, blocks in found] == most


def test_bottlenecks_are_counted_exactly_even_when_effort_runs_out() -> None:
    # Given two layers, each task of the second depending on all of the first
    edges: Drawn = {f"A{place}": [] for place in range(5)}
    edges |= {f"B{place}": list(edges) for place in range(5)}
    followers, ordered = graph.dependents(edges), graph.order(edges)

    # When there is effort for one walk only
    found = graph.bottlenecks(followers, ordered, graph.levels(edges, followers), effort=1)

    # Then one task is named, with its exact count
    assert found == [("A0", 5)]


@given(any_graphs())
def test_every_cycle_found_is_one(edges: Drawn) -> None:
    for cycle in cycle_search.cycles(edges):
        assert len(set(cycle)) == len(cycle)
        assert all(end in edges[task] for task, end in cycle_search.edges_of(cycle))
        assert cycle[0] == min(cycle, key=list(edges).index)


@given(any_graphs())
def test_the_cycles_cover_every_edge_that_is_on_one_and_each_adds_an_edge(edges: Drawn) -> None:
    covered: set[tuple[str, str]] = set()
    by_length = sorted(cycle_search.cycles(edges), key=len)
    for cycle in by_length:
        assert not covered.issuperset(cycle_search.edges_of(cycle))
        covered |= set(cycle_search.edges_of(cycle))

    assert covered == {
        (task, end) for task in edges for end in edges[task] if task in reached(end, edges) | {end}
    }


@given(acyclic_graphs())
def test_a_graph_without_cycles_has_none(edges: Drawn) -> None:
    assert cycle_search.cycles(edges) == []
    assert cycle_search.knots(edges) == []


@given(any_graphs(), st.sampled_from([0, 100, 10**6]))
def test_removing_the_proposed_edges_leaves_no_cycle(edges: Drawn, effort: int) -> None:
    found = cycle_search.cycles(edges)

    chosen = cycle_search.cuts(edges, found, effort=effort)

    assert cycle_search.cycles(without(edges, {edge for edge, _ in chosen})) == []
    assert bool(chosen) == bool(found)
    assert sum(breaks for _, breaks in chosen) >= len(found)


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True), max_size=12))
def test_the_breaker_that_is_in_most_of_the_cycles_left_is_chosen_again_and_again(
    rings: list[list[int]],
) -> None:
    left, chosen = rings, []
    while left:
        chosen += Counter(item for ring in left for item in ring).most_common(1)
        left = [ring for ring in left if chosen[-1][0] not in ring]

    assert cycle_search.breakers(rings) == chosen


@given(any_graphs())
def test_the_same_graph_gives_the_same_answer(edges: Drawn) -> None:
    again = {task: list(ends) for task, ends in edges.items()}

    assert cycle_search.cycles(edges) == cycle_search.cycles(again)
    assert graph.order(edges) == graph.order(again)


def test_two_cycles_that_share_an_edge_are_both_found_and_the_shared_edge_is_removed_first() -> None:
    # Given two cycles along T1 → T2
    edges = {"T1": ["T2"], "T2": ["T3", "T4"], "T3": ["T1"], "T4": ["T1"]}

    # When
    found = cycle_search.cycles(edges)

    # Then
    assert found == [["T1", "T2", "T3"], ["T1", "T2", "T4"]]
    assert cycle_search.cuts(edges, found) == [(("T1", "T2"), 2)]
    assert cycle_search.breakers(found) == [("T1", 2)]


def test_of_a_large_knot_some_cycles_are_found_with_little_effort() -> None:
    # Given 300 tasks that each depend on the next three
    edges = {f"T{place}": [f"T{(place + step) % 300}" for step in (1, 2, 3)] for place in range(300)}

    # When there is effort for a single search
    found = cycle_search.cycles(edges, effort=1)

    # Then its cycles are shown
    assert 1 <= len(found) <= 3
    assert all(end in edges[task] for cycle in found for task, end in cycle_search.edges_of(cycle))


@pytest.mark.parametrize("closed", [False, True], ids=["line", "ring"])
def test_a_line_and_a_ring_of_100_000_tasks_do_not_recurse(closed: bool) -> None:
    ids = names(100_000)
    edges: Drawn = {task: [before] for before, task in itertools.pairwise(ids)}
    edges = {ids[0]: [ids[-1]] if closed else [], **edges}

    if closed:
        (cycle,) = cycle_search.cycles(edges)
        assert sorted(cycle) == sorted(ids)
        assert cycle_search.cuts(edges, [cycle]) == [((ids[0], ids[-1]), 1)]
    else:
        ordered = graph.order(edges)
        left = graph.remaining(edges, ordered, dict.fromkeys(ids, 1.0))
        assert graph.critical_path(graph.dependents(edges), left) == ordered == ids
        assert cycle_search.knots(edges) == []


def test_what_waits_behind_a_task_is_named_once_nearest_first() -> None:
    diamond = {"A": [], "B": ["A"], "C": ["A"], "D": ["B", "C"], "E": []}

    assert graph.behind("A", graph.dependents(diamond)) == ["B", "C", "D"]
