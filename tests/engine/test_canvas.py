"""A plan as a canvas: what it asks of Celery, and what it cannot carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from orchestrator.config.schema.limits import Parallelism
from orchestrator.config.schema.quality_gates import Gate, QualityGates, StageGates
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.engine import canvas
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.planning import planner
from tests.engine.brokers import app_with
from tests.model import factories
from tests.model.factories import task

WHO = "implementation-specialist"


def canvas_of(feature: Feature, **settings: Any) -> Any:
    return canvas.chain_of_groups(planner.plan(feature), app_with("memory://", **settings))


def test_what_it_cannot_carry_is_refused_by_name() -> None:
    feature = factories.feature(
        task("T1", resources={"gpu": 1}), task("T2", "T1", idempotent=False), task("T3", tags=["refactor"])
    )
    gates = QualityGates(
        enabled=True,
        task_gates=StageGates(testing=(Gate(name="lint", command=("true",)),)),
        feature_gates=StageGates(completion=(Gate(name="all", command=("true",)),)),
    )
    with pytest.raises(errors.NotInACanvas) as refused:
        canvas_of(
            feature,
            quality_gates=gates,
            resources={"gpu": 1},
            parallelism=Parallelism(auto_launch=False, max_parallel_total=3),
            specialists={
                WHO: SpecialistSettings(concurrency=2, rate="3/m"),
                "other": SpecialistSettings(concurrency=1),
            },
        )

    text = str(refused.value)
    for line in (
        "resources: T1",
        "idempotent: false: T2",
        "quality gates: T1, T2, T3",
        "quality gates of the feature",
        "parallelism.auto_launch: false",
        "the limit total",
        f"the limit specialist:{WHO}",
        f"the limit rate:{WHO}",
    ):
        assert f"  - {line}\n" in text
    assert "other" not in text


def test_a_review_is_refused_by_name() -> None:
    mapping = {"tasks": {"flow_mappings": [{"tags": ["api"], "flow": "with_review"}]}}
    with pytest.raises(errors.NotInACanvas, match="a review: T1"):
        canvas_of(factories.feature(task("T1", tags=["api"]), task("T2")), status_progression=mapping)


def test_each_step_is_given_what_it_and_later_ones_need_and_no_more() -> None:
    feature = factories.feature(
        task("A"), task("B", "A"), task("C", "A"), task("D", "B"), task("E", "A", "D")
    )
    asked = [tuple(step["args"]) for step in gathers(canvas_of(feature))]
    assert asked == [(["A"], ["A"]), (["", "B", "C"], ["A", "B"]), (["", "D"], ["A", "D"])]


def test_arguments_are_shown_as_ids() -> None:
    long = task("A", title="x" * 150, params={"x": "y\n" * 900})
    (first, *_) = canvas_of(factories.feature(long, task("B", "A"))).tasks
    assert first["options"]["argsrepr"] == "('standalone', 'A')"


def gathers(part: Any) -> Iterator[Any]:
    """The gathering tasks. Celery puts some into the body of a chord, after a group."""
    if isinstance(part, Mapping):
        if part.get("task") == canvas.BARRIER and part["args"]:
            yield part
        part = part.values()
    if not isinstance(part, str):
        for inner in part if isinstance(part, Iterable) else ():
            yield from gathers(inner)


@pytest.mark.parametrize(
    ("results", "names", "needed", "gathered"),
    [
        ({"status": "completed"}, ["A"], ["A"], {"A": {"status": "completed"}}),
        (["a", "b"], ["A", "B"], ["B"], {"B": "b"}),
        ([{"A": "a"}, "b"], ["", "B"], None, ["a", "b"]),
        (["a", "b"], None, None, ["a", "b"]),
    ],
)
def test_a_group_is_gathered(results: Any, names: Any, needed: Any, gathered: Any) -> None:
    assert canvas.gather(results, names, needed) == gathered
