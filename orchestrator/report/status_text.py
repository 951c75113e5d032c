"""The status of a feature, a batch or a task, in a line or a word.

Moments and durations are in seconds; `now` is on the same clock as the moments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from orchestrator.model import durations
from orchestrator.model.commands import BatchProgress
from orchestrator.model.feature import Strategy
from orchestrator.model.flows import STOPPED
from orchestrator.model.outcome import Blocked, Completed, Failed, Outcome, RetryLater
from orchestrator.model.progress import Progress, TaskState, running_longest
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import dollars
from orchestrator.model.words import SHOWN, count, one_line


def progress_line(progress: Progress) -> str:
    """How far a feature is.

    Example:
        'in-development, batch 2 of 3, 5/8 tasks complete (62%), 2 in flight'
    """
    skipped = f", {progress.skipped:,} skipped" if progress.skipped else ""
    parts = [
        f"{progress.status}",
        f"batch {progress.batch:,} of {progress.batches:,}" if progress.batch else "no batch started",
        f"{progress.completed:,}/{progress.total:,} tasks complete{skipped} ({progress.percent}%)",
    ]
    return ", ".join([*parts, *waiting(progress)])


def waiting(progress: Progress) -> list[str]:
    """The numbers of tasks that are under way, that wait (and for what), and that stopped.

    Example:
        ['2 in flight', '1 in review', 'paused', '1 failed']
    """
    under_way = {
        "in flight": progress.in_flight,
        "queued": progress.queued,
        "waiting for a limit": sum(progress.limited.values()),
        "waiting for a retry": progress.delayed,
        "waiting for a specialist": progress.unassigned,
        "in review": progress.counts.get(TaskStatus.IN_REVIEW, 0),
    }
    stopped = {str(status): progress.counts.get(status, 0) for status in STOPPED}
    paused = ["paused"] if progress.is_paused else []
    return [*counted(under_way), *paused, *counted(stopped)]


def counted(counts: Mapping[str, int]) -> list[str]:
    """Numbers in words, those that are not 0.

    Example:
        >>> counted({"in flight": 2, "queued": 0})
        ['2 in flight']
    """
    return [f"{number:,} {what}" for what, number in counts.items() if number]


def process_line(progress: Progress, processes: int) -> str:
    """Say that launched tasks wait because the workers run fewer at once than the cap allows; "" if that is not so.

    Parameters:
        processes: How many tasks the workers of their queues run at once.
    """
    if not processes or not progress.launched or processes >= progress.in_flight:
        return ""
    return (
        f"{progress.launched:,} of {count(progress.in_flight, 'launched task')} wait for a process: "
        f"the workers run {processes:,} at once, and the cap is {progress.cap:,}"
    )


def batch_line(progress: Progress, number: int, total: int) -> str:
    """How far one batch is; `total` is how many tasks it has.

    Example:
        'Batch 1: 3/5 tasks complete (60%)'
    """
    if number > progress.batch and not progress.status.is_over:
        if progress.strategy is Strategy.DATAFLOW:
            return f"Batch {number}: {count(total, 'task')}, each starting when its own dependencies are complete"
        return f"Batch {number}: {count(total, 'task')}, waiting for batch {number - 1}"
    if number > progress.batch:
        return f"Batch {number}: {count(total, 'task')}, never started"
    resolved = progress.batch_resolved if number == progress.batch else total
    counts = progress.batch_counts if number == progress.batch else {}
    blocked, failed = counts.get(TaskStatus.BLOCKED, 0), counts.get(TaskStatus.FAILED, 0)
    return BatchProgress(number, total, resolved, blocked, failed).line()


_WORDS = {TaskStatus.IN_PROGRESS: "running", TaskStatus.PENDING: "waiting"}
_PHASES = {
    "unassigned": "unassigned",
    "": "waiting",
    "waiting": "waiting",
    "queued": "queued",
    "limited": "queued",
    "launched": "launched",
    "delayed": "retrying",
    "ending": "waiting",
}


def word(state: TaskState) -> str:
    """The state of a task in one word: running, completed, failed, blocked, waiting, queued, launched, retrying…"""
    if state.status is TaskStatus.PENDING:
        return _PHASES[state.phase]
    if state.status is TaskStatus.CANCELLED and state.resolved:
        return "skipped"
    return _WORDS.get(state.status, str(state.status))


INTEREST = (
    "failed", "blocked", "in-review", "unassigned", "on-hold", "deferred", "running", "testing", "changes-requested",
    "retrying", "launched", "queued", "waiting", "completed", "cancelled", "skipped",
)  # fmt: skip
"""Words of tasks, those that need a look first."""


def place(word: str) -> int:
    """How far down a list a word is; before all others those that this version does not know.

    Example:
        >>> place("failed"), place("running"), place("unheard-of")
        (0, 6, -1)
    """
    return INTEREST.index(word) if word in INTEREST else -1


def urgency(state: TaskState) -> int:
    """How far down a list a task is: those that need a look come first."""
    return place(word(state))


def is_stopped(state: TaskState) -> bool:
    """It is failed or blocked, and waits for a person."""
    return state.status in STOPPED


def spent(state: TaskState, now: float) -> float | None:
    """Seconds that the attempt has taken, so far or in all; None if none has started, or the task is skipped."""
    is_skipped = state.status is TaskStatus.CANCELLED and state.resolved
    if state.started is None or state.status is TaskStatus.PENDING or is_skipped:
        return None
    is_running = state.status is TaskStatus.IN_PROGRESS or state.phase == "ending"
    end = now if is_running else state.finished
    return None if end is None else max(0.0, end - state.started)


def reason(outcome: Outcome | None) -> str:
    """Why an attempt ended as it did, on one line: "failing-tests: exit code 1"."""
    match outcome:
        case Failed(cause=cause, reason=text):
            return f"{cause}: {one_line(text)}"
        case Blocked(kind=kind, reason=text):
            return f"{kind}: {one_line(text)}"
        case Completed(summary=text, warnings=warnings):
            warned = [f"warning: {warning}" for warning in warnings]
            return one_line("; ".join(part for part in (text, *warned) if part))
        case RetryLater(reason=text):
            return one_line(text)
        case _:
            return ""


def why(state: TaskState, progress: Progress, now: float, said: str = "") -> str:
    """Say why a task waits, how far it is, or how it ended (`said`), in a few words; "" if its status says it all."""
    if state.phase == "ending" and state.status is not TaskStatus.PENDING:
        return f"attempt {state.attempt} is ending"
    if state.status is TaskStatus.PENDING or state.phase:
        return _waits_for(state, progress, now)
    if state.status is TaskStatus.IN_PROGRESS:
        return ", ".join(filter(None, [state.tier, cost(state), note(state)]))
    return ", ".join(filter(None, [cost(state), said]))


def cost(state: TaskState) -> str:
    """What the agents of a task have cost so far; "" if no agent has cost anything.

    Example:
        '$0.31'
    """
    return "" if state.cost is None else dollars(state.cost)


def _waits_for(state: TaskState, progress: Progress, now: float) -> str:
    if progress.is_paused and state.phase in ("queued", "limited", "delayed"):
        return "the feature is paused"
    match state.phase:
        case "queued":
            return f"waiting for a slot ({progress.in_flight} of {progress.cap} in use)"
        case "limited":
            from orchestrator.planning import limits

            return f"waiting for {limits.title(state.limit)}"
        case "launched":
            return "waiting to be taken"
        case "ending":
            return f"waiting until attempt {state.attempt} has ended"
        case "unassigned":
            return "no specialist matches: assign one"
        case "delayed":
            left = max(0.0, (state.due or now) - now)
            return f"retry in {durations.write(left)}" if left >= 1 else "retry is due"
    if progress.is_paused:
        return "the feature is paused"
    if progress.awaits_launch and state.batch == progress.batch + 1:
        return "waiting for launch"
    if state.waits:
        return f"waiting for {count(state.waits, 'task')} it depends on"
    return f"waiting for batch {state.batch - 1}" if state.batch > 1 else "waiting to be launched"


def note(state: TaskState) -> str:
    """The progress that a running task reports.

    Example:
        '40%, compiling'
    """
    return noted(state.percent, state.note)


def noted(percent: float | None, text: str) -> str:
    """A note about progress on one line.

    Example:
        >>> noted(40.0, "compiling"), noted(None, "linking")
        ('40%, compiling', 'linking')
    """
    share = "" if percent is None else f"{percent:g}%"
    return ", ".join(part for part in (share, one_line(text)) if part)


def gates_state(name: str) -> TaskState:
    """The failed gates of a feature as if they were a task; `name` is @testing or @validating."""
    title = f"the gates of the feature ({name.removeprefix('@')})"
    # Not validated: the id is none that a task of a feature can have.
    return TaskState.model_construct(id=name, title=title, specialist="", status=TaskStatus.FAILED, batch=0)


def overdue_line(batch: int, ran: float, expected: float) -> str:
    """How far a batch is over its time; it ran for seconds, and was expected to run for seconds.

    Example:
        >>> overdue_line(2, ran=2700, expected=1800)
        'Batch 2 running 50% over estimated time (45m vs 30m)'
    """
    if not expected:
        return f"Batch {batch} running {durations.write(ran)}, estimated at nothing"
    over = round(100 * (ran / expected - 1))
    times = f"({durations.write(ran)} vs {durations.write(expected)})"
    return f"Batch {batch} running {over}% over estimated time {times}"


def overdue_lines(
    progress: Progress, states: Sequence[TaskState], now: float, output_ages: Mapping[str, float]
) -> list[str]:
    """Describe an open batch that is overdue: how late it is, its running tasks, and the others.

    Of many that run, those that have done so for longest are shown.

    Parameters:
        states: Of the open batch.
        now: On the clock of the moments.
        output_ages: Seconds since a task last wrote something, if that is known.
    """
    if not progress.is_overdue or progress.batch_due is None:
        return []
    lines = [overdue_line(progress.batch, progress.batch_ran, progress.batch_due)]
    unfinished = [
        state for state in states if not state.resolved and state.status is not TaskStatus.COMPLETED
    ]
    shown = running_longest(unfinished)[:SHOWN]
    for state in shown:
        facts = [f"{word(state)} for {durations.write(spent(state, now) or 0)}", _last_progress(state, now)]
        age = output_ages.get(state.id)
        facts.append("no output yet" if age is None else f"last output {durations.write(age)} ago")
        lines.append(f"  {state.label}: {', '.join(facts)}")
    others = Counter(map(word, unfinished)) - Counter(map(word, shown))
    if others:
        lines.append(f"  {'and ' if shown else ''}{', '.join(counted(others))}")
    return lines


def _last_progress(state: TaskState, now: float) -> str:
    if not note(state) or state.noted is None:
        return "no progress reported"
    return f"{note(state)} ({durations.write(max(0.0, now - state.noted))} ago)"
