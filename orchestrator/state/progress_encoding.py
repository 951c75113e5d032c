"""Reads where tasks and features stand from the values in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.model.feature import FeatureStatus, Strategy
from orchestrator.model.flows import TAKEN_UP
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.task import Task, TaskStatus
from orchestrator.model.usage import MICRO
from orchestrator.state import schema
from orchestrator.state.constants import AWAIT_A_PERSON


def parse_state(
    task: Task,
    state: Mapping[str, Any],
    *,
    specialist: str,
    batch: int,
    phase: str,
    due: float | None,
    waits: int,
    limit: str,
    is_cancelled: bool,
) -> TaskState:
    """The state of a task.

    Args:
        task: The task as it was enqueued.
        state: Its entry in the hash `states`; empty if it has none.
        specialist: Its specialist.
        batch: The number of its batch.
        phase: Its phase while no worker holds it.
        due: When its next attempt is due, as a Unix time.
        waits: How many of its dependencies are unresolved.
        limit: The limit that it waits for.
        is_cancelled: Its feature was cancelled or given up.
    """
    status = schema.word(TaskStatus, state.get("status", TaskStatus.PENDING))
    if status is TaskStatus.PENDING and is_cancelled:
        status = TaskStatus.CANCELLED
    return TaskState(
        id=task.id,
        title=task.name,
        specialist=specialist,
        status=status,
        phase="ending" if state.get("ending") else phase if status in TAKEN_UP else "",
        attempt=state.get("attempt", 0),
        batch=batch,
        depends_on=task.depends_on,
        retried=state.get("retried", 0),
        lost=state.get("lost", 0),
        resolved=bool(state.get("resolved")),
        escalated=bool(state.get("escalated")),
        rung=state.get("rung", 0),
        cost=state["cost"] / MICRO if state.get("cost") else None,
        started=_moment(state.get("started")),
        finished=_moment(state.get("finished")),
        due=due,
        waits=waits,
        limit=limit,
        worker=state.get("worker", ""),
        percent=state.get("percent"),
        note=state.get("note") or "",
        noted=_moment(state.get("noted")),
    )


def _moment(milliseconds: float | str | None) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000


def parse_progress(feature_id: str, found: Mapping[str, Any]) -> Progress:
    """How far a feature is, from the answer of feature_summary.lua."""
    meta, batch = found["meta"], found["batch"]
    status = schema.word(FeatureStatus, meta["status"])
    return Progress(
        id=feature_id,
        title=meta["title"],
        status=status,
        strategy=schema.word(Strategy, meta["strategy"]),
        cap=meta["cap"],
        auto_launch=meta["auto_launch"],
        total=meta["total"],
        counts=_without_zeros(found["counts"]),
        in_flight=found["in_flight"],
        launched=found["launched"],
        queued=found["queued"],
        delayed=found["delayed"],
        unassigned=found["unassigned"],
        limited=dict(found["limited"]),
        gates_failed=found.get("gates") or "",
        flow=meta["flow"],
        is_paused=meta.get("paused") == "1",
        stops=tuple(map(int, filter(None, meta.get("stops", "").split(",")))),
        overdue=int(meta.get("overdue", 0)),
        batch_started=_moment(meta.get("batch_started")),
        batch_ran=float(meta.get("ran", 0)) / 1000,
        batch_due=_due(batch, int(meta["cap"])),
        batch=meta["batch"],
        batches=meta["batches"],
        batch_total=batch["total"],
        batch_resolved=batch["resolved"],
        batch_counts=_without_zeros(found["batch_counts"]),
        created=float(meta["created"]) / 1000,
        started=_moment(meta.get("started")),
        finished=_moment(meta.get("finished")),
        resolved=found["resolved"],
        expected_end=_expected_end(status, found),
    )


_MOVING = (FeatureStatus.PLANNING, FeatureStatus.IN_DEVELOPMENT)


def _expected_end(status: FeatureStatus, found: Mapping[str, Any]) -> float | None:
    """The end of the feature by its plan; None if that is not known.

    It is not known if some duration is unknown, if the batch is late, or if a person has to act first.
    """
    meta, batch = found["meta"], found["batch"]
    stops = map(int, filter(None, meta.get("stops", "").split(",")))
    is_stopped = any(number > int(meta["batch"]) for number in stops) or (
        meta["auto_launch"] != "1" and int(meta["batch"]) < int(meta["batches"])
    )
    counts = found["counts"]
    is_cancelled = counts.get("cancelled", 0) > found["resolved"] - counts.get(
        "completed", 0
    )  # and not skipped
    awaits_a_person = found["unassigned"] or is_cancelled or any(map(counts.get, AWAIT_A_PERSON))
    if status not in _MOVING or meta.get("paused") == "1" or is_stopped or awaits_a_person:
        return None
    due = _due(batch, int(meta["cap"]))
    if due is None or batch.get("after") is None or not meta.get("batch_started"):
        return None
    now, ran = found["now"] / 1000, float(meta.get("ran", 0)) / 1000
    since = max(float(meta.get("watched", 0)), float(meta["batch_started"])) / 1000
    left = due - ran - (now - since)
    is_open = batch["resolved"] < batch["total"]
    return None if is_open and left <= 0 else now + max(0.0, left) + float(batch["after"])


def _due(batch: Mapping[str, Any], cap: int) -> float | None:
    """The moment at which the open batch should end: later than planned if the cap was lowered (see overdue.lua)."""
    return batch["due"] * max(1.0, batch["cap"] / cap) if "due" in batch else None


def _without_zeros(counts: Mapping[str, int]) -> Mapping[TaskStatus, int]:
    return {schema.word(TaskStatus, status): count for status, count in counts.items() if count}
