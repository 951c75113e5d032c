"""Answers, made from what is known of features, plans and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from orchestrator.contract import (
    answer,
    feature_answers,
    machine_answers,
    plan_answers,
    task_answers,
)
from orchestrator.contract.compact import moment
from orchestrator.model import errors, flows
from orchestrator.model.event import Event
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.plan import Plan, Route
from orchestrator.model.progress import Progress, TaskState, Unreadable
from orchestrator.model.task import Task, TaskStatus
from orchestrator.planning import routing
from orchestrator.planning.limits import Limit
from orchestrator.planning.sketch import Sketch
from orchestrator.report import status_text
from orchestrator.report.explanation import Explanation

T = TypeVar("T")

LIMIT = 10
"""So much of each list is in an answer, where --limit does not say how much."""

SHOWN_BEHIND = 5


def page(items: Sequence[T], limit: int, after: str, key: Any) -> tuple[Sequence[T], int, str]:
    """A part of a list.

    Args:
        items: All of it.
        limit: At most so many.
        after: The key of the last item of the part before; "" for the first.
        key: Names an item.

    Returns:
        The part, how many are left after it, and the key of its last item ("" where nothing is left).

    Raises:
        BadCursor: No item has the key `after`.

    Example:
        >>> page(["a", "b", "c"], 1, "a", str)
        (['b'], 1, 'b')
    """
    start = next((place + 1 for place, item in enumerate(items) if key(item) == after), 0) if after else 0
    if after and not start:
        raise errors.BadCursor(cursor=after)
    part = items[start : start + limit]
    left = len(items) - start - len(part)
    return part, left, key(part[-1]) if left and part else ""


def left_out(**lists: int) -> dict[str, int]:
    """How many of each list are left out; what is whole is not named."""
    return {name: number for name, number in lists.items() if number}


def specialist(title: str, titles: Mapping[str, str]) -> answer.Specialist | None:
    """A specialist by its title or name; `titles` has the title of each name."""
    if not title:
        return None
    name = next((name for name, known in titles.items() if title in (known, name)), title)
    return answer.Specialist(name=name, title=titles.get(name, title))


def task_line(
    state: TaskState, open_batch: int, now: float, said: str = "", titles: Mapping[str, str] | None = None
) -> feature_answers.TaskLine:
    """Where a task stands, in short."""
    took = status_text.spent(state, now)
    return feature_answers.TaskLine(
        task=state.id,
        title="" if state.title == state.id else state.title,
        status="skipped" if state.status is TaskStatus.CANCELLED and state.resolved else str(state.status),
        phase="" if state.phase == "waiting" else state.phase,
        batch=0 if state.batch == open_batch else state.batch,
        attempt=max(1, state.attempt),
        seconds=None if took is None else round(took, 1),
        percent=state.percent if state.status in flows.WORKING else None,
        note=state.note if state.status in flows.WORKING else "",
        said=said,
        specialist=specialist(state.specialist, titles or {}),
        worker=state.worker,
        started=moment(state.started),
        finished=moment(state.finished),
        depends_on=state.depends_on,
    )


def feature(
    progress: Progress,
    now: float,
    *,
    states: Sequence[TaskState] = (),
    hidden: int = 0,
    needs: Sequence[answer.Need] = (),
    said: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    limit: int = LIMIT,
    after: str = "",
    **more: Any,
) -> feature_answers.FeatureAnswer:
    """Where a feature stands.

    Args:
        progress: Its counters.
        now: On the clock of the moments.
        states: Of its tasks, those that may be shown; what needs a look comes first where not all are.
        hidden: How many tasks there are beside these.
        needs: What it waits for.
        said: What the last attempt of a task left to say.
        titles: The title of each specialist.
        limit: At most so many of each list.
        after: The last task of the part before.
        more: Further fields.
    """
    part, left, cursor = page(states, limit, after, lambda state: state.id)
    told = said or {}
    started, end = progress.started or progress.created, progress.finished or now
    expected = progress.expected_end if (progress.expected_end or 0) > now else None
    return feature_answers.FeatureAnswer(
        feature=progress.id,
        title=progress.title,
        status=str(progress.status),
        strategy=progress.strategy,
        cap=progress.cap,
        flow=progress.flow,
        batch=progress.batch,
        batches=progress.batches,
        total=progress.total,
        completed=progress.completed,
        skipped=progress.skipped,
        stopped=progress.stopped,
        in_flight=progress.in_flight,
        queued=progress.queued,
        limited=progress.limited,
        delayed=progress.delayed,
        unassigned=progress.unassigned,
        paused=progress.is_paused,
        overdue=progress.is_overdue and not progress.status.is_over,
        counts={str(status): number for status, number in progress.counts.items() if number},
        seconds=round(max(0.0, end - started), 1),
        created=moment(progress.created),
        started=moment(progress.started),
        finished=moment(progress.finished),
        expected_end=moment(expected),
        tasks=tuple(task_line(one, progress.batch, now, told.get(one.id, ""), titles) for one in part),
        needs=tuple(needs[:limit]),
        left_out=left_out(tasks=left + hidden, needs=max(0, len(needs) - limit)),
        after=cursor,
        **more,
    )


def feature_line(
    found: Progress | Unreadable, needs: Sequence[answer.Need] = ()
) -> feature_answers.FeatureLine:
    """A feature in a list."""
    if isinstance(found, Unreadable):
        return feature_answers.FeatureLine(
            feature=found.id, title=found.title, status=found.status, unreadable=found.unreadable
        )
    return feature_answers.FeatureLine(
        feature=found.id,
        title=found.title,
        status=str(found.status),
        batch=found.batch,
        batches=found.batches,
        total=found.total,
        completed=found.completed,
        skipped=found.skipped,
        stopped=found.stopped,
        in_flight=found.in_flight,
        created=moment(found.created),
        needs=tuple(needs),
    )


def explained(
    found: Explanation, needs: Sequence[answer.Need], route: Route | None, before: Sketch | None = None
) -> task_answers.Explained:
    """Why a task stands where it stands. What it waits for that somebody has to do stands in the needs."""
    return task_answers.Explained(
        feature=found.feature,
        task=found.task,
        title="" if found.title == found.task else found.title,
        status=str(found.status),
        phase=found.phase,
        answer=found.answer,
        details=tuple(line for line in found.details if not line.startswith(TOLD_APART)),
        before=task_answers.Before(**before._asdict()) if before else None,
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


def standing_of(progress: Progress) -> feature_answers.Standing:
    """How far a feature is."""
    return feature_answers.Standing(
        feature=progress.id,
        status=str(progress.status),
        batch=progress.batch,
        batches=progress.batches,
        completed=progress.completed,
        skipped=progress.skipped,
        total=progress.total,
        in_flight=progress.in_flight,
        stopped=progress.stopped,
    )


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
        wait=int(event.wait) / 1000 if event.wait else None,
        total=event.total or 0,
        in_flight=event.in_flight or 0,
        waiting=event.waiting or 0,
        ran=None if event.ran is None else event.ran / 1000,
        expected=None if event.expected is None else event.expected / 1000,
    )


def _handed_to(event: Event) -> answer.Specialist | None:
    """Who gets the task from this event on; none where that does not change."""
    name = {"task_escalated": event.specialist, "specialist_assigned": event.cause}.get(event.event)
    return answer.Specialist(name=name) if name else None


TOLD_WITH_WORKER = ("worker_lost", "work_handed_back")
"""Events of which the worker is the point; of the others, `task ID TASK` names him."""

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
"""The status that an event leads to as a rule."""


def route_groups(routes: Mapping[str, Route], limit: int = LIMIT) -> tuple[plan_answers.RouteGroup, ...]:
    """Who gets each task and why, with the tasks of one specialist and reason together."""
    return tuple(route_group(route, tasks, limit) for route, tasks in routing.grouped(routes))


def routes(found: Mapping[str, Route], limit: int = LIMIT, after: str = "") -> plan_answers.Routes:
    """Who gets each task, and why; `after` is the number of the last group of the part before."""
    groups = list(enumerate(route_groups(found, limit), 1))
    part, left, cursor = page(groups, limit, after, lambda numbered: str(numbered[0]))
    return plan_answers.Routes(
        routes=tuple(group for _, group in part), left_out=left_out(routes=left), after=cursor
    )


def fallback(routes: Mapping[str, Route]) -> tuple[plan_answers.RouteGroup, ...]:
    """The tasks that the default does because no tag matches."""
    return route_groups({task: route for task, route in routes.items() if route.rule == "default"})


def route_group(route: Route, tasks: Sequence[str] = (), limit: int = LIMIT) -> plan_answers.RouteGroup:
    """A route, with the tasks that take it. The tag that matched is reason enough where it was the only one."""
    is_plain = route.rule == "tag" and "(" not in route.reason
    return plan_answers.RouteGroup(
        specialist=answer.Specialist(name=route.specialist, title=route.title) if route.specialist else None,
        queue="" if route.queue == route.specialist else route.queue,
        model_tier=route.model_tier or "",
        rule="" if route.rule == "tag" else route.rule,
        tag=route.tag or "",
        reason="" if is_plain else route.reason,
        total=len(tasks) if len(tasks) > limit else 0,
        tasks=tuple(tasks[:limit]),
        suggestions=route.suggestions[:SHOWN_BEHIND],
    )


def recommended(
    route: Route, domains: Mapping[str, str], near: Sequence[str] = ()
) -> plan_answers.Recommended:
    """Who gets one task. Where no tag matches, also which tags would (see `routing.domains`, `routing.near`)."""
    is_matched = route.rule not in ("default", "nobody")
    group = route_group(route)
    return plan_answers.Recommended(
        specialist=group.specialist,
        queue=group.queue,
        model_tier=group.model_tier,
        rule=group.rule,
        tag=group.tag,
        domains={} if is_matched else domains,
        near=() if is_matched else tuple(near),
    )


def gate_warnings(outcomes: Mapping[str, Outcome]) -> tuple[feature_answers.GateWarning, ...]:
    """What the gates of a feature found that let it through all the same; `outcomes` are theirs, by "@stage"."""
    return tuple(
        feature_answers.GateWarning(gate=gate.name, stage=gate.stage, reason=gate.reason)
        for outcome in outcomes.values()
        if isinstance(outcome, Completed)
        for gate in outcome.gates
        if not gate.passed
    )[:LIMIT]


def plan(
    planned: Plan, routes: Mapping[str, Route], limit: int = LIMIT, after: str = ""
) -> plan_answers.Planned:
    """What would run when, and who would do it."""
    batches, left, cursor = page(planned.batches, limit, after, lambda batch: str(batch.number))
    groups = route_groups(routes, limit)
    path, known = planned.critical_path, planned.known
    return plan_answers.Planned(
        title=planned.feature.title,
        strategy=planned.strategy,
        requested=planned.requested,
        cap=planned.cap,
        total=len(planned.feature.tasks),
        sources=plan_answers.Sources(
            written=planned.written, learned=len(planned.learned), unknown=planned.unknown
        ),
        **({} if planned.is_guess else _seconds(planned)),
        batches=tuple(
            plan_answers.PlannedBatch(
                batch=batch.number,
                tasks=batch.tasks[:limit],
                total=len(batch.tasks) if len(batch.tasks) > limit else 0,
                seconds=batch.expected if known.issuperset(batch.tasks) else None,
                sub_batches=len(batch.sub_batches),
            )
            for batch in batches
        ),
        critical_path=path[:limit],
        bottlenecks=tuple(
            plan_answers.Blocking(task=one.task, blocks=one.blocks) for one in planned.bottlenecks[:limit]
        ),
        routes=groups[:limit],
        left_out=left_out(
            batches=left,
            critical_path=max(0, len(path) - limit),
            bottlenecks=max(0, len(planned.bottlenecks) - limit),
            routes=max(0, len(groups) - limit),
        ),
        after=cursor,
    )


def _seconds(planned: Plan) -> dict[str, float]:
    return {
        "seconds": planned.expected_seconds,
        "total_seconds": planned.total_seconds,
        "critical_seconds": planned.critical_seconds,
        "expected_batched": planned.expected_batched,
        "expected_dataflow": planned.expected_dataflow,
        "barrier_percent": planned.barrier_percent,
    }


def brief(task: Task) -> task_answers.Brief:
    """What a task was asked to do."""
    return task_answers.Brief(
        **{
            name: getattr(task, name)
            for name in (
                "description", "tags", "depends_on", "complexity", "estimate", "timeout", "idempotent", "resources",
                "params",
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


def limit_line(limit: Limit, most: int = LIMIT) -> machine_answers.LimitLine:
    """A limit as it stands."""
    holders: Iterable[Any] = islice(limit.holders, most)
    return machine_answers.LimitLine(
        limit=limit.name,
        amount=limit.amount,
        in_use=limit.in_use,
        waiting=limit.waiting,
        features=limit.features,
        next_token=limit.next_token,
        holders=tuple(
            machine_answers.Holder(feature=one.feature, task=one.task, units=one.units) for one in holders
        ),
    )
