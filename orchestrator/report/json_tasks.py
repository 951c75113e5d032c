"""Tasks and their events as answers of `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.contract import answer, task_answers
from orchestrator.contract.compact import moment
from orchestrator.model.event import Event
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.report.json_page import LIMIT

if TYPE_CHECKING:
    from orchestrator.model.plan import Route
    from orchestrator.model.task import Task
    from orchestrator.planning.sketch import Sketch
    from orchestrator.report.explanation import Explanation


def explained(
    found: Explanation, needs: Sequence[answer.Need], route: Route | None, before: Sketch | None = None
) -> task_answers.ExplainAnswer:
    """Why a task is in its status. If somebody has to act, the needs say how."""
    from orchestrator.report.json_plans import route_group

    return task_answers.ExplainAnswer(
        feature=found.feature,
        task=found.task,
        title="" if found.title == found.task else found.title,
        status=str(found.status),
        phase=found.phase,
        answer=found.answer,
        details=tuple(line for line in found.details if not line.startswith(TOLD_APART)),
        before=task_answers.EarlierRuns(**before._asdict()) if before else None,
        needs=tuple(needs[:LIMIT]),
        next=_others(found.next, needs),
        route=route_group(route) if route else None,
    )


def _others(commands: Sequence[str], needs: Sequence[answer.Need]) -> tuple[str, ...]:
    """Commands that are no action of a need."""
    told = {action.command for need in needs for action in need.actions}
    return tuple(command for command in commands if command not in told)


TOLD_APART = ("| ", "Route: ", "In earlier features ")
"""Details that have fields of their own."""


def event_line(event: Event) -> task_answers.EventLine:
    """An event as it is stored."""
    return task_answers.EventLine(
        id=event.id,
        time=moment(event.time),
        event=event.event,
        task=event.task,
        source=event.source,
        status="" if event.target in IMPLIED.get(event.event, ()) else event.target,
        attempt=event.attempt or 1,
        batch=0 if event.task else event.batch or 0,
        worker=event.worker if event.event in TOLD_WITH_WORKER else "",
        specialist=_handed_to(event),
        cause="" if event.event == "specialist_assigned" else event.cause,
        percent=event.percent,
        note=event.note,
        by=event.by,
        wait=int(event.wait) / 1000 if event.wait else None,
        total=event.total or 0,
        in_flight=event.in_flight or 0,
        waiting=event.waiting or 0,
        ran=None if event.ran is None else event.ran / 1000,
        expected=None if event.expected is None else event.expected / 1000,
    )


def _handed_to(event: Event) -> answer.Specialist | None:
    """The specialist of the task from this event on; None if that does not change."""
    name = {"task_escalated": event.specialist, "specialist_assigned": event.cause}.get(event.event)
    return answer.Specialist(name=name) if name else None


TOLD_WITH_WORKER = ("worker_lost", "work_handed_back")
"""Events that are about the worker. For other events, `task ID TASK` names it."""

IMPLIED: Mapping[str, tuple[str, ...]] = {
    "work_started": ("in-progress",),
    "implementation_complete": ("completed",),
    "tests_passed": ("completed",),
    "work_failed": ("failed",),
    "blocker_detected": ("blocked",),
    "task_held": ("on-hold",),
    "task_deferred": ("deferred",),
    "task_cancelled": ("cancelled",),
    "feature_enqueued": ("planning",),
    "first_task_started": ("in-development",),
    "feature_cancelled": ("cancelled",),
    "feature_failed": ("failed",),
}
"""The status that an event usually leads to."""


def brief(task: Task) -> task_answers.TaskSpec:
    """The definition of a task."""
    return task_answers.TaskSpec(
        **{
            name: getattr(task, name)
            for name in (
                "description", "tags", "depends_on", "complexity", "estimate", "timeout", "idempotent", "resources",
                "touches", "params",
            )
        },
        priority=str(task.priority),
        retries=task.retries.max,
        run=task.run or (),
    )  # fmt: skip


def outcome(found: Outcome | None) -> task_answers.OutcomeAnswer | None:
    """How an attempt ended."""
    if found is None:
        return None
    return task_answers.OutcomeAnswer(
        status=found.status,
        summary=getattr(found, "summary", ""),
        cause=str(getattr(found, "cause", "")),
        kind=str(getattr(found, "kind", "")),
        reason=getattr(found, "reason", ""),
        result=found.result if isinstance(found, Completed) else None,
        tail=found.tail,
        gates=tuple(gate.name for gate in getattr(found, "gates", ()) if not gate.passed),
    )
