"""Features as answers of `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.contract import answer, feature_answers
from orchestrator.contract.compact import moment
from orchestrator.model import flows
from orchestrator.model.progress import Progress, TaskState, Unreadable
from orchestrator.model.task import TaskStatus
from orchestrator.report import status_text
from orchestrator.report.json_page import LIMIT, left_out, page


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
        cost=state.cost,
        tier=state.tier if state.status in flows.WORKING else "",
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
        needs: Its needs.
        said: The last words of each task's last attempt.
        titles: The title of each specialist.
        limit: The most entries of each list.
        after: The last task of the part before.
        more: Further fields.
    """
    part, left, cursor = page(states, limit, after, lambda state: state.id)
    told = said or {}
    started, end = progress.started or progress.created, progress.finished or now
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
        expected_end=_expected_end(progress, now),
        tasks=tuple(task_line(one, progress.batch, now, told.get(one.id, ""), titles) for one in part),
        needs=tuple(needs[:limit]),
        left_out=left_out(tasks=left + hidden, needs=max(0, len(needs) - limit)),
        after=cursor,
        **more,
    )


def _expected_end(progress: Progress, now: float) -> str:
    """The moment at which a feature should end; "" if that is unknown, or past."""
    return moment(progress.expected_end) if (progress.expected_end or 0) > now else ""


def feature_line(
    found: Progress | Unreadable, now: float, needs: Sequence[answer.Need] = ()
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
        expected_end=_expected_end(found, now),
        needs=tuple(needs),
    )


def feature_progress(progress: Progress) -> feature_answers.ProgressAnswer:
    """How far a feature is."""
    return feature_answers.ProgressAnswer(
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
