"""How long real work takes, beside the bound that no schedule can beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.graphs import mixed
from benchmarks.measurement import Figure, Row, Target, interleaved
from benchmarks.options import Options
from benchmarks.rig import Rig
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.plan import Plan
from orchestrator.planning import planner

TASKS, CAP = 200, 8


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Tasks that sleep for log-normal times, through a worker with a process for each slot."""
    with rig.worker("sleep", CAP):
        sum_over = "the sum over batches of max(longest, work / cap)"
        yield _row(rig, options, Strategy.BATCHED, sum_of_bounds, sum_over, 1.08)
        yield _row(rig, options, Strategy.DATAFLOW, bound, "max(critical path, work / cap)", 1.03)


def bound(plan: Plan) -> float:
    """No schedule under the cap is shorter: the critical path, or all the work over all the slots."""
    return max(plan.critical_seconds, plan.total_seconds / plan.cap)


def sum_of_bounds(plan: Plan) -> float:
    """No schedule that ends each batch before the next is shorter."""
    weights = {task.id: task.weight for task in plan.feature.tasks}
    return sum(
        max(max(times), sum(times) / plan.cap)
        for batch in plan.batches
        for times in [[weights[task] for task in batch.tasks]]
    )


def _row(
    rig: Rig,
    options: Options,
    strategy: Strategy,
    least: Callable[[Plan], float],
    meaning: str,
    target: float,
) -> Row:
    feature = Feature.model_validate(mixed(TASKS, cap=CAP).model_dump(mode="json") | {"strategy": strategy})
    plan = planner.plan(feature)
    (ours,) = interleaved(options.runs, lambda: rig.run(feature))
    planned = plan.expected_seconds / least(plan)
    return Row(
        f"makespan, {strategy}, {TASKS} tasks, cap {CAP}",
        Figure(strategy, ours, "s"),
        Figure(meaning, (least(plan),), "s", is_computed=True),
        Target("at most", target),
        note=f"the plan itself, without any overhead, is {planned:.3f} of the bound",
    )
