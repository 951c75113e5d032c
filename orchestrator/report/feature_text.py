"""The status of a feature as lines for a pipe or a file: no more than a reader needs, and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.model import durations
from orchestrator.report.status_text import batch_line, counted, spent, waiting, why, word

if TYPE_CHECKING:
    from orchestrator.model.progress import Progress, TaskState

SHOWN = 12
"""How many tasks have their own line; the others are counted by status."""

CALM = ("waiting", "queued", "completed", "skipped", "cancelled")
"""Tasks in one of these need no look."""


def feature_lines(
    progress: Progress,
    states: Sequence[TaskState],
    now: float,
    said: Mapping[str, str],
    sizes: Mapping[int, int],
    *,
    whole: bool = False,
) -> list[str]:
    """A feature as plain lines.

    Parameters:
        states: The tasks that are known of it.
        now: On the clock of the moments.
        said: The last words of each task's last attempt, by the task's id.
        sizes: How many tasks a batch has, of those that have a line.
        whole: Every task has a line.

    Example:
        Login (login-1): in-development, batch 1/2, 1/3 tasks, 1 in flight
        T2 Implement API: running 12s, 40%, compiling
    """
    shown = list(states) if whole or len(states) <= SHOWN else _notable(states)
    hidden = Counter(map(word, states)) - Counter(map(word, shown))
    hidden += Counter({"in other batches": progress.total - len(states)})
    return [
        _head(progress, now),
        *_rows(progress, shown, now, said, sizes),
        *([f"and {', '.join(counted(hidden))}"] if hidden else []),
    ]


def short_line(progress: Progress) -> str:
    """How far a feature is, as short as it can be said.

    Example:
        'in-development, batch 2/3, 5/8 tasks, 2 in flight'
    """
    counts = {"in flight": progress.in_flight, "stopped": progress.stopped}
    return ", ".join([*_place(progress), *counted(counts)])


def _place(progress: Progress) -> list[str]:
    tasks = f"{progress.completed:,}/{progress.total:,} tasks"
    batch = [f"batch {progress.batch:,}/{progress.batches:,}"] if progress.batches > 1 else []
    return [str(progress.status), *batch, tasks, *counted({"skipped": progress.skipped})]


def _head(progress: Progress, now: float) -> str:
    left = progress.expected_end - now if progress.expected_end else 0.0
    shown = round(left, -1) if left < 600 else round(left / 60) * 60
    ends = [f"ends in about {durations.write(shown)}"] if shown > 0 else []
    facts = [*_place(progress), *waiting(progress), *ends]
    return f"{progress.title} ({progress.id}): {', '.join(facts)}"


def _notable(states: Sequence[TaskState]) -> list[TaskState]:
    """The stopped and running tasks of a batch too large for a line each."""
    ordered = sorted(states, key=lambda state: CALM.index(word(state)) + 1 if word(state) in CALM else 0)
    kept = {state.id for state in ordered[:SHOWN] if word(state) not in CALM}
    return [state for state in states if state.id in kept]


def _rows(
    progress: Progress,
    states: Sequence[TaskState],
    now: float,
    said: Mapping[str, str],
    sizes: Mapping[int, int],
) -> Iterator[str]:
    for place, state in enumerate(states):
        is_first = place == 0 or state.batch != states[place - 1].batch
        if is_first and progress.batches > 1 and state.batch in sizes:
            yield batch_line(progress, state.batch, sizes[state.batch])
        took = spent(state, now)
        time = "" if took is None else f" {durations.write(took if took < 1 else round(took))}"
        reason = why(state, progress, now, said.get(state.id, ""))
        known = f"{word(state)}{time}"
        yield f"{state.label}: " + (
            reason if reason.startswith(known) else ", ".join(filter(None, [known, reason]))
        )
