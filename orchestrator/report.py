"""What people read about a plan, and about a feature that runs: values → lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator import durations, errors, graph
from orchestrator.flows import TaskEvent
from orchestrator.lifecycle import BatchTally
from orchestrator.models import (
    Batch,
    Blocked,
    Completed,
    Event,
    Failed,
    Feature,
    FeatureStatus,
    Model,
    Outcome,
    Plan,
    Progress,
    RetryLater,
    Route,
    Strategy,
    Task,
    TaskState,
    TaskStatus,
)

SHOWN_TASKS = 12
SHOWN_BATCHES = 40
SHOWN_CYCLES = 10
SHOWN_SPLITS = 3
SHOWN_TAIL = 10
"""Lines of a stopped task's output that stand in a report; the log has the rest."""


def label(task: Task) -> str:
    """How a list names a task: id and title, or the id where there is no other title.

    Example:
        >>> label(Task(id="T1", title="Create schema")), label(Task(id="T2"))
        ('T1 Create schema', 'T2')
    """
    return task.id if task.name == task.id else f"{task.id} {task.title}"


def some(names: Sequence[str], most: int = SHOWN_TASKS, separator: str = ", ") -> str:
    """The first of the names, and how many more there are.

    Example:
        >>> some(["T1", "T2", "T3", "T4"], most=2)
        'T1, T2 and 2 more'
    """
    more = len(names) - most
    return separator.join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def count(number: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> count(1, "task"), count(1200, "task")
        ('1 task', '1,200 tasks')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def plan_lines(plan: Plan) -> list[str]:
    """A plan as a person reads it: batches, critical path, times, bottlenecks, what runs in parallel.

    Example:
        >>> from orchestrator.planner import plan
        >>> login = Feature(title="Login", tasks=[Task(id="T1", estimate="5m"), Task(id="T2", estimate="5m")])
        >>> print("\\n".join(plan_lines(plan(login))))
        Login: 2 tasks in 1 batch, strategy batched, at most 5 tasks at once
        <BLANKLINE>
        Batch 1: T1, T2  (parallel, 5m)
        <BLANKLINE>
        Critical path: T1 (5m)
        Expected 5m against 10m one after the other: 50% less
        Parallel: batch 1 runs 2 side by side
    """
    names = {task.id: label(task) for task in plan.feature.tasks}
    return [
        _heading(plan),
        "",
        *_batch_lines(plan, names),
        "",
        _critical_path(plan),
        _times(plan),
        *_barrier(plan),
        *_bottlenecks(plan, names),
        _opportunities(plan),
    ]


def _heading(plan: Plan) -> str:
    size = f"{count(len(plan.feature.tasks), 'task')} in {_batches_text(len(plan.batches))}"
    cap = f"at most {count(plan.cap, 'task')} at once"
    return f"{plan.feature.title}: {size}, strategy {_strategy(plan)}, {cap}"


def _batches_text(number: int) -> str:
    return f"{number:,} batch" + ("" if number == 1 else "es")


def _strategy(plan: Plan) -> str:
    if plan.requested is not Strategy.AUTO:
        return plan.strategy
    reasons = {
        Strategy.SEQUENTIAL: "each task waits for the one before"
        if len(plan.feature.tasks) > 1
        else "there is one task",
        Strategy.PARALLEL: "no task depends on another",
        Strategy.BATCHED: "some tasks wait for others, and no batch is wider than the cap",
        Strategy.RESOURCE_AWARE: "a batch is wider than the cap",
    }
    return f"{plan.strategy} (chosen by auto: {reasons[plan.strategy]})"


def _batch_lines(plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    for batch in plan.batches[:SHOWN_BATCHES]:
        yield from _one_batch(batch, names)
    more = len(plan.batches) - SHOWN_BATCHES
    if more > 0:
        yield f"and {_batches_text(more).replace(' ', ' more ', 1)}"


def _one_batch(batch: Batch, names: Mapping[str, str]) -> Iterator[str]:
    time = durations.write(batch.expected)
    how = f"parallel, {time}" if batch.parallel else time
    if not batch.sub_batches:
        yield f"Batch {batch.number}: {_named(batch.tasks, names)}  ({how})"
        return
    yield f"Batch {batch.number}: {count(len(batch.tasks), 'task')} in {len(batch.sub_batches):,} sub-batches  ({how})"
    for part in batch.sub_batches[:SHOWN_TASKS]:
        yield f"  {part.label}: {_named(part.tasks, names)}"
    more = len(batch.sub_batches) - SHOWN_TASKS
    if more > 0:
        yield f"  and {more:,} more"


def _named(tasks: Sequence[str], names: Mapping[str, str]) -> str:
    return some([names[task] for task in tasks[:SHOWN_TASKS]] + list(tasks[SHOWN_TASKS:]))


def _critical_path(plan: Plan) -> str:
    return f"Critical path: {some(plan.critical_path, separator=' → ')} ({durations.write(plan.critical_seconds)})"


def _times(plan: Plan) -> str:
    total, expected = durations.write(plan.total_seconds), durations.write(plan.expected_seconds)
    about = "≈ " if plan.is_guess else ""
    text = f"Expected {about}{expected} against {about}{total} one after the other: "
    text += f"{plan.saving_percent}% less" if plan.saving_percent else "no time saved"
    return text + (" (tasks without an estimate are guessed from their complexity)" if plan.is_guess else "")


def _barrier(plan: Plan) -> Iterator[str]:
    """What a batch that waits for the one before it costs, where there is more than one."""
    if not any(task.depends_on for task in plan.feature.tasks):
        return
    batched, dataflow = durations.write(plan.expected_batched), durations.write(plan.expected_dataflow)
    about = "≈ " if plan.is_guess else ""
    percent = plan.barrier_percent
    cost = f"costs {percent}%" if percent > 0 else f"saves {-percent}%" if percent < 0 else "costs nothing"
    yield f"Batched {about}{batched}, dataflow {about}{dataflow}: the barrier between batches {cost}"


def _bottlenecks(plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    if plan.bottlenecks:
        blocking = [f"{names[found.task]} blocks {found.blocks:,}" for found in plan.bottlenecks]
        yield f"Bottlenecks: {', '.join(blocking)}"


def _opportunities(plan: Plan) -> str:
    wide = [
        f"batch {batch.number} runs {min(len(batch.tasks), plan.cap):,} side by side"
        for batch in plan.batches
        if batch.parallel and plan.cap > 1
    ]
    return f"Parallel: {some(wide)}" if wide else "Parallel: nothing; every task runs alone"


def circular(feature: Feature, dependencies: graph.Graph) -> errors.CircularDependency:
    """The error for a feature whose tasks wait for each other: every independent cycle, and three ways out.

    Its facts besides the text, for programs: `paths` (each cycle as its ids), `remove` (edges), `split` (ids),
    `reorder` (ids).

    Parameters:
        dependencies: Each task id with the ids it depends on; at least one cycle is in it.
    """
    names = {task.id: _titled(task) for task in feature.tasks}
    found = graph.cycles(dependencies)
    cuts = graph.cuts(dependencies, found)
    splits = graph.breakers(found)
    first_cut = cuts[0][0]
    order = reordered(found, first_cut)
    return errors.CircularDependency(
        title=feature.title,
        count=_how_many(found, dependencies),
        cycles="\n".join(_cycle_lines(found, names)),
        remedies="\n".join(
            [
                'Read an arrow as "depends on". Ways out:',
                *_removals(cuts, len(found)),
                *_splits(splits, found),
                _reorder(order),
            ]
        ),
        paths=found,
        remove=[list(edge) for edge, _ in cuts],
        split=[task for task, _ in splits],
        reorder=order,
    )


def _titled(task: Task) -> str:
    return task.id if task.name == task.id else f"{task.id} ({task.title})"


def _how_many(found: Sequence[Sequence[str]], dependencies: graph.Graph) -> str:
    number = f"{len(found):,} circular " + ("dependency" if len(found) == 1 else "dependencies")
    tangled = sum(len(inside) for knot in graph.knots(dependencies) for inside in knot.values())
    seen = len({edge for cycle in found for edge in graph.edges_of(cycle)})
    return number if seen == tangled else f"at least {number}"


def _cycle_lines(found: Sequence[Sequence[str]], names: Mapping[str, str]) -> Iterator[str]:
    for cycle in found[:SHOWN_CYCLES]:
        yield f"  {cycle_text(cycle, names)}"
    if len(found) > SHOWN_CYCLES:
        yield f"  and {len(found) - SHOWN_CYCLES:,} more"


def cycle_text(cycle: Sequence[str], names: Mapping[str, str]) -> str:
    """A cycle as a path back to its start; of a very long one, its beginning.

    Example:
        >>> cycle_text(["T2", "T5"], {"T2": "T2 (Implement API)", "T5": "T5"})
        'T2 (Implement API) → T5 → T2'
    """
    shown = [names[task] for task in cycle[:SHOWN_TASKS]]
    more = len(cycle) - len(shown)
    return " → ".join([*shown, *([f"{count(more, 'task')} more"] if more > 0 else []), cycle[0]])


def _removals(cuts: Sequence[tuple[graph.Edge, int]], cycles: int) -> Iterator[str]:
    for place, ((task, dependency), breaks) in enumerate(cuts):
        start = "and remove" if place else "remove"
        share = f"{breaks} more" if place else f"{breaks} of {count(cycles, 'cycle')}"
        yield f'  - {start} "depends_on: {dependency}" from {task}: breaks {share}'
    if len(cuts) == graph.MOST_CUTS:
        yield "  - and plan again: there may be more to remove"


def _splits(splits: Sequence[tuple[str, int]], found: Sequence[Sequence[str]]) -> Iterator[str]:
    for task, _ in splits[:SHOWN_SPLITS]:
        edges = [edge for cycle in found if task in cycle for edge in graph.edges_of(cycle)]
        needs = list(dict.fromkeys(end for start, end in edges if start == task))
        needed_by = list(dict.fromkeys(start for start, end in edges if end == task))
        on = count(sum(task in cycle for cycle in found), "cycle")
        yield (
            f"  - split {task}, which is on {on}: one part that {some(needed_by)} can depend on, "
            f"and one that depends on {some(needs)}"
        )


def _reorder(order: Sequence[str]) -> str:
    return (
        f"  - reorder: {some(order, separator=', then ')}, so that {order[0]} does not wait for {order[-1]}"
    )


def reordered(found: Sequence[Sequence[str]], cut: graph.Edge) -> list[str]:
    """The tasks of the first cycle with that edge, in an order that works once the edge is removed.

    Example:
        >>> reordered([["T2", "T5", "T7"]], cut=("T2", "T5"))
        ['T2', 'T7', 'T5']
    """
    cycle = next(cycle for cycle in found if cut in graph.edges_of(cycle))
    at = cycle.index(cut[1])
    return [*cycle[at:], *cycle[:at]][::-1]


# A feature that runs. Moments and durations are in seconds; `now` is on the same clock as the moments.


def progress_line(progress: Progress) -> str:
    """How far a feature is.

    Example:
        'in-development, batch 2 of 3, 5/8 tasks complete (62%), 2 in flight'
    """
    parts = [
        f"{progress.status}",
        f"batch {progress.batch:,} of {progress.batches:,}" if progress.batch else "no batch started",
        f"{progress.completed:,}/{progress.total:,} tasks complete ({progress.percent}%)",
    ]
    waiting = {
        "in flight": progress.in_flight,
        "queued": progress.queued,
        "waiting for a retry": progress.delayed,
        "waiting for a specialist": progress.unassigned,
        "in review": progress.counts.get(TaskStatus.IN_REVIEW, 0),
    }
    parts += [f"{number:,} {what}" for what, number in waiting.items() if number]
    parts += ["paused"] if progress.is_paused else []
    parts += [f"{number:,} {status}" for status in _STOPPED if (number := progress.counts.get(status, 0))]
    return ", ".join(parts)


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
    return BatchTally(number, total, resolved, blocked, failed).line()


_STOPPED = (TaskStatus.FAILED, TaskStatus.BLOCKED)

_WORDS = {TaskStatus.IN_PROGRESS: "running", TaskStatus.PENDING: "waiting"}
_PHASES = {
    "unassigned": "unassigned",
    "": "waiting",
    "waiting": "waiting",
    "queued": "queued",
    "launched": "launched",
    "delayed": "retrying",
}


def word(state: TaskState) -> str:
    """Where a task stands, in one word: running, completed, failed, blocked, waiting, queued, launched, retrying…"""
    if state.status is TaskStatus.PENDING:
        return _PHASES[state.phase]
    if state.status is TaskStatus.CANCELLED and state.resolved:
        return "skipped"
    return _WORDS.get(state.status, str(state.status))


def is_stopped(state: TaskState) -> bool:
    """It is failed or blocked, and waits for a person."""
    return state.status in _STOPPED


def spent(state: TaskState, now: float) -> float | None:
    """Seconds that the attempt has taken, so far or in all; None where none has started."""
    if state.started is None or state.status is TaskStatus.PENDING:
        return None
    end = now if state.status is TaskStatus.IN_PROGRESS else state.finished
    return None if end is None else max(0.0, end - state.started)


def reason(outcome: Outcome | None) -> str:
    """Why an attempt ended as it did, on one line: "failing-tests: exit code 1"."""
    match outcome:
        case Failed(cause=cause, reason=text):
            return f"{cause}: {one_line(text)}"
        case Blocked(kind=kind, reason=text):
            return f"{kind}: {one_line(text)}"
        case Completed(summary=text, gates=gates):
            warned = [gate for gate in gates if not gate.passed]
            warnings = [f"warning: the gate {gate.name} did not pass: {gate.reason}" for gate in warned]
            return one_line("; ".join(part for part in (text, *warnings) if part))
        case RetryLater(reason=text):
            return one_line(text)
        case _:
            return ""


def one_line(text: str, most: int = 200) -> str:
    """A text with its line breaks as spaces, shortened to `most` characters.

    Example:
        >>> one_line("first\\n  second")
        'first second'
    """
    flat = " ".join(text[: most * 4].split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def why(state: TaskState, progress: Progress, now: float, said: str = "") -> str:
    """What a task waits for, or says, or how it ended (`said`), in a few words; "" where its status says it all."""
    if state.status is TaskStatus.PENDING:
        return _waits_for(state, progress, now)
    return note(state) if state.status is TaskStatus.IN_PROGRESS else said


def _waits_for(state: TaskState, progress: Progress, now: float) -> str:
    match state.phase:
        case "queued":
            return f"waiting for a slot ({progress.in_flight} of {progress.cap} in use)"
        case "launched":
            return "waiting for a worker"
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
    """What a running task says about its progress.

    Example:
        '40%, compiling'
    """
    percent = "" if state.percent is None else f"{state.percent:g}%"
    return ", ".join(part for part in (percent, one_line(state.note)) if part)


def named(state: TaskState) -> str:
    """How a list names a task, as `label` does."""
    return state.id if state.title == state.id else f"{state.id} {state.title}"


# Events


_ENDS: Mapping[str, tuple[str, ...]] = {
    TaskEvent.IMPLEMENTATION_COMPLETE: ("completed",),
    TaskEvent.TESTS_PASSED: ("completed",),
    TaskEvent.TESTS_FAILED: ("failed",),
    TaskEvent.TASK_ESCALATED: ("blocked",),
    TaskEvent.BLOCKER_DETECTED: ("blocked",),
    TaskEvent.WORK_FAILED: ("failed",),
    TaskEvent.RETRY_SCHEDULED: ("failed", "retry-later"),
    TaskEvent.TASK_CANCELLED: ("cancelled",),
}


def event_line(
    event: Event,
    name: str = "",
    *,
    specialist: str = "",
    seconds: float | None = None,
    outcome: Outcome | None = None,
    next_try: str = "",
    size: int = 0,
) -> str | None:
    """An event as a line of a log; None for one that only restates others.

    Parameters:
        name: How the task is called (`label`).
        specialist: The title of the task's specialist.
        seconds: How long the attempt that ended took.
        outcome: How the task's last attempt ended. One that does not fit the event (a later attempt has ended
            since) is passed over.
        next_try: When the next attempt is, such as "retry 1 of 2 in 2s".
        size: How many tasks the batch of the event has.

    Example:
        >>> started = Event(id="1-0", time=1.0, event="work_started", task="T1", attempt=1)
        >>> event_line(started, "T1 Create schema", specialist="Implementation Specialist")
        'T1 Create schema: started (Implementation Specialist, attempt 1)'
    """
    said = reason(outcome) if outcome and outcome.status in _ENDS.get(event.event, ()) else ""
    took = f" in {durations.write(seconds)}" if seconds is not None else ""
    who = f"{specialist}, " if specialist else ""
    why_not = f": {said}" if said else (f" ({event.cause})" if event.cause else "")
    comment = f": {one_line(event.note)}" if event.note else ""
    if event.event in (TaskEvent.IMPLEMENTATION_COMPLETE, TaskEvent.TESTS_PASSED) and name:
        return _moved_on(name, event, f"{took}" + (f": {said}" if said else ""))
    lines = {
        "batch_opened": f"Batch {event.batch} started: {count(size, 'task')}",
        "at_capacity": _at_capacity(event),
        "task_launched": f"Launched queued task: {name}" if event.cause == "queued" and name else None,
        "batch_overdue": overdue_line(event),
        "message_lost": f"{name}: its message seems lost; it was sent again",
        "specialist_awaited": f"{name}: no specialist matches its tags; it waits for one",
        "specialist_assigned": f"{name}: assigned to {event.cause}{comment}",
        "tasks_added": f"{count(event.total or 1, 'task')} added" + (f": {name}" if name else "") + comment,
        "dependencies_changed": f"{name}: depends on {event.cause} now{comment}",
        "cap_changed": f"At most {event.note} tasks at once from now on",
        TaskEvent.GATES_STARTED: f"{name}: its gates run ({who}attempt {event.attempt})",
        TaskEvent.TESTS_FAILED: f"{name}: failed its gates{took}" + _in_brackets(said, event.cause),
        TaskEvent.REVIEW_APPROVED: f"{name}: approved{comment}",
        TaskEvent.CHANGES_REQUESTED: f"{name}: changes requested{comment}",
        TaskEvent.TASK_ESCALATED: f"{name}: blocked{_in_brackets(said, event.cause)}; handed on to another specialist",
        TaskEvent.TASK_HELD: f"{name}: on hold{comment}",
        TaskEvent.TASK_RESUMED: f"{name}: resumed{comment}",
        TaskEvent.TASK_DEFERRED: f"{name}: deferred{comment}",
        TaskEvent.TASK_SKIPPED: f"{name}: skipped{comment}",
        "feature_paused": f"Feature paused{comment}",
        "feature_resumed": f"Feature resumed{comment}",
        "feature_approved": f"Feature approved{comment}",
        "feature_failed": f"Feature given up{comment}",
        "person_awaited": f"Nothing can run until a person acts: a {event.cause} is awaited",
        "progress": f"{name}: {_said(event)}",
        TaskEvent.WORK_STARTED: f"{name}: started ({who}attempt {event.attempt})",
        TaskEvent.BLOCKER_DETECTED: f"{name}: blocked{took}" + (_in_brackets(said, event.cause) or comment),
        TaskEvent.WORK_FAILED: f"{name}: failed{took}" + _in_brackets(said, event.cause),
        TaskEvent.RETRY_SCHEDULED: _tries_again(name, event, said, next_try),
        TaskEvent.WORKER_LOST: f"{name}: its worker {event.worker} was lost; it starts again",
        TaskEvent.WORK_HANDED_BACK: f"{name}: its worker {event.worker} ends and handed it back; it starts again",
        TaskEvent.RETRY_REQUESTED: f"{name}: retry requested{comment}",
        TaskEvent.BLOCKER_RESOLVED: f"{name}: unblocked{comment}",
        TaskEvent.TASK_CANCELLED: f"{name}: cancelled{took}{why_not or comment}",
        "launch_requested": "Launch of the next batch requested",
        "feature_cancelled": f"Feature cancelled{comment}",
        "all_tasks_complete": "All tasks complete",
    }
    return lines.get(event.event)


def _moved_on(name: str, event: Event, how: str) -> str | None:
    match event.target:
        case TaskStatus.COMPLETED:
            return f"{name}: completed{how}"
        case TaskStatus.IN_REVIEW:
            return f"{name}: done{how}; it waits for its review"
    return None  # in testing: its gates follow, or it is completed by the next event


def letters(place: int) -> str:
    """0 → a, 25 → z, 26 → aa: the columns of a spreadsheet."""
    text = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


def _at_capacity(event: Event) -> str:
    """The three lines of a batch that is wider than the cap, in one."""
    waiting, cap = event.waiting or 0, event.in_flight or 1
    last = -(-waiting // cap)
    parts = (
        f"Sub-batch {event.batch}b"
        if last == 1
        else f"Sub-batches {event.batch}b to {event.batch}{letters(last)}"
    )
    return (
        f"{count(cap, 'task')} in progress (max). Queueing {count(waiting, 'additional task')}. "
        f"{parts} queued ({count(waiting, 'task')} waiting for slots)"
    )


def overdue_line(event: Event) -> str:
    """ "Batch 2 running 50% over estimated time (45m vs 30m)"."""
    ran, expected = (event.ran or 0) / 1000, (event.expected or 0) / 1000
    over = round(100 * (ran / expected - 1)) if expected else 0
    times = f"({durations.write(ran)} vs {durations.write(expected)})"
    return f"Batch {event.batch} running {over}% over estimated time {times}"


def _said(event: Event) -> str:
    percent = f"{float(event.percent):g}%" if event.percent else ""
    return ", ".join(part for part in (percent, one_line(event.note)) if part)


def _in_brackets(said: str, cause: str) -> str:
    text = said.removeprefix(f"{cause}: ") if cause else said
    return (f" ({cause})" if cause else "") + (f": {text}" if text else "")


def _tries_again(name: str, event: Event, said: str, next_try: str) -> str:
    after = f"; {next_try}" if next_try else "; it is tried again"
    if event.cause == "retry-later":
        return f"{name}: not now" + (f": {said}" if said else "") + after
    return f"{name}: failed{_in_brackets(said, event.cause)}{after}"


# What stopped, and what to do about it


class Stopped(Model):
    """A task that waits for a person: why, what waits behind it, and what to type next."""

    task: str
    title: str
    status: TaskStatus
    cause: str
    reason: str
    attempt: int
    tail: str
    waiting: tuple[str, ...]
    next: tuple[str, ...]


def stopped(feature: str, state: TaskState, outcome: Outcome | None, waiting: Sequence[str] = ()) -> Stopped:
    """What is known of a failed or blocked task; `waiting` are the ids of the tasks behind it (`behind`)."""
    match outcome:
        case Failed(cause=cause):
            kind = str(cause)
        case Blocked(kind=what):
            kind = str(what)
        case _:
            kind = ""
    return Stopped(
        task=state.id,
        title=state.title,
        status=state.status,
        cause=kind,
        reason=getattr(outcome, "reason", ""),
        attempt=state.attempt,
        tail=getattr(outcome, "tail", ""),
        waiting=tuple(waiting),
        next=remedies(feature, state),
    )


def stopped_lines(found: Stopped) -> list[str]:
    """A stopped task as a person reads it: cause, reason, the end of its output, what waits, what to type."""
    name = found.task if found.title == found.task else f"{found.task} {found.title}"
    cause = f" ({found.cause})" if found.cause else ""
    attempts = f" after {count(found.attempt, 'attempt')}" if found.attempt > 1 else ""
    said = found.reason.splitlines() or ["no reason was given"]
    output = [line for line in found.tail.splitlines() if line.strip()][-SHOWN_TAIL:]
    waiting = f"  Waiting behind it: {some(found.waiting)}" if found.waiting else "  No task depends on it"
    suggestion = [f"  Suggestion: {SUGGESTIONS[found.cause]}"] if found.cause in SUGGESTIONS else []
    return [
        f"{name}: {found.status}{cause}{attempts}: {said[0]}",
        *(f"  {line}" for line in said[1:SHOWN_TAIL]),
        *(f"  | {line}" for line in output),
        *suggestion,
        waiting,
        *(f"  {'Next:' if place == 0 else '     '} {command}" for place, command in enumerate(found.next)),
    ]


def remedies(feature: str, state: TaskState) -> tuple[str, ...]:
    """What to type for a task that is stopped.

    Example:
        ('orchestrator retry login-1 T3', 'orchestrator logs login-1 T3')
    """
    where = f"{feature} {state.id}"
    if state.id.startswith("@"):
        return (f"orchestrator retry {where}",)
    logs, skip = f"orchestrator logs {where}", f'orchestrator skip {where} --because "…"'
    match state.status:
        case TaskStatus.FAILED:
            return (f"orchestrator retry {where}", logs, skip)
        case TaskStatus.BLOCKED:
            return (f'orchestrator unblock {where} --note "…"', logs, skip)
        case TaskStatus.IN_REVIEW:
            return (f"orchestrator approve {where}", f'orchestrator request-changes {where} --note "…"')
        case TaskStatus.ON_HOLD | TaskStatus.DEFERRED:
            return (f"orchestrator resume {where}", skip)
        case TaskStatus.CANCELLED if not state.resolved:
            return (skip,)
        case TaskStatus.PENDING if state.phase == "unassigned":
            return (f'orchestrator assign {where} "SPECIALIST"',)
        case _:
            return ()


SUGGESTIONS: Mapping[str, str] = {
    "external-dependency": "Contact whoever runs what it waits for; unblock it when that is there.",
    "technical": "Launch the Senior Engineer to investigate, or set error_handling.escalate_technical_to.",
    "missing-information": "Ask the stakeholders, and hand on what they say with --note.",
    "code-error": "Read the last lines of output, mend the code, and retry.",
    "failing-tests": "Mend what the tests found, and retry.",
    "dependency": "Install or configure what is missing where the worker runs, and retry.",
    "timeout": "Give it a longer timeout, or split the task, and retry.",
    "worker-lost": "Look at the worker's machine (memory, restarts) before it runs again.",
    "out-of-memory": "Give the worker more memory, or let the task use less, and retry.",
    "gate": "Mend what the gate found, and retry.",
}
"""What to do about a stopped task, by the kind of its obstacle or the cause of its failure."""


def behind(task_id: str, followers: graph.Graph) -> list[str]:
    """The tasks that wait for a task, directly or through others, nearest first.

    Parameters:
        followers: Each task id with the ids that depend on it (`graph.dependents`).

    Example:
        >>> behind("T1", {"T1": ["T2"], "T2": ["T3"], "T3": []})
        ['T2', 'T3']
    """
    found: dict[str, None] = {}
    nearest = [task_id]
    while nearest:
        nearest = list(
            dict.fromkeys(end for start in nearest for end in followers[start] if end not in found)
        )
        found.update(dict.fromkeys(nearest))
    return list(found)


# What needs a person


class Need(Model):
    """Something that waits for a person, and the command that answers it."""

    what: str
    command: str


def needs(progress: Progress, states: Sequence[TaskState] = ()) -> list[Need]:
    """All of a feature that waits for a person; `states` are those of its open batch, or all."""
    if progress.status.is_over:
        return []
    found = [
        Need(what=f"{named(state)}: {_needs(state)}", command=commands[0])
        for state in states
        if (commands := remedies(progress.id, state))
    ]
    if progress.gates_failed:
        stage = progress.gates_failed.removeprefix("@")
        retry = f"orchestrator retry {progress.id} {progress.gates_failed}"
        found.append(Need(what=f"the feature's gates ({stage}) did not pass", command=retry))
    if progress.status is FeatureStatus.PENDING_REVIEW:
        found.append(
            Need(what="the feature waits for its review", command=f"orchestrator approve {progress.id}")
        )
    if progress.is_paused:
        found.append(Need(what="the feature is paused", command=f"orchestrator resume {progress.id}"))
    elif progress.awaits_launch:
        following = f"batch {progress.batch + 1} waits to be launched"
        found.append(Need(what=following, command=f"orchestrator launch {progress.id}"))
    if progress.overdue and progress.in_flight:
        late = f"batch {progress.batch} is overdue"
        found.append(Need(what=late, command=f"orchestrator status {progress.id}"))
    return found


def _needs(state: TaskState) -> str:
    match state.status:
        case TaskStatus.IN_REVIEW:
            return "waits for a review"
        case TaskStatus.PENDING:
            return "waits for a specialist"
        case _:
            return str(state.status)


def gates_state(name: str) -> TaskState:
    """The failed gates of a feature as if they were a task; `name` is @testing or @validating."""
    title = f"the gates of the feature ({name.removeprefix('@')})"
    # Not validated: the id is none that a task of a feature can have.
    return TaskState.model_construct(id=name, title=title, specialist="", status=TaskStatus.FAILED, batch=0)


def overdue_lines(
    progress: Progress, states: Sequence[TaskState], now: float, output_ages: Mapping[str, float]
) -> list[str]:
    """What is known of an open batch that is overdue: how far over it is, and what each unfinished task does.

    Parameters:
        states: Of the open batch.
        now: On the clock of the moments.
        output_ages: Seconds since a task last wrote something, where that is known.
    """
    if not progress.overdue or not progress.batch_started or not progress.batch_expected:
        return []
    ran, expected = now - progress.batch_started, progress.batch_expected
    times = f"({durations.write(ran)} vs {durations.write(expected)})"
    over = round(100 * (ran / expected - 1))
    lines = [f"Batch {progress.batch} running {over}% over estimated time {times}"]
    for state in states:
        if state.resolved or state.status is TaskStatus.COMPLETED:
            continue
        facts = [word(state)]
        took = spent(state, now)
        if state.status in (TaskStatus.IN_PROGRESS, TaskStatus.TESTING) and took is not None:
            facts = [f"{word(state)} for {durations.write(took)}", _last_progress(state, now)]
            age = output_ages.get(state.id)
            facts.append("no output yet" if age is None else f"last output {durations.write(age)} ago")
        lines.append(f"  {named(state)}: {', '.join(facts)}")
    return lines


def _last_progress(state: TaskState, now: float) -> str:
    if not note(state) or state.noted is None:
        return "no progress reported"
    return f"{note(state)} ({durations.write(max(0.0, now - state.noted))} ago)"


# Why a task stands where it stands


class Explanation(Model):
    """Why a task stands where it stands: the answer, what it rests on, and what to type."""

    feature: str
    task: str
    title: str
    status: TaskStatus
    phase: str
    answer: str
    details: tuple[str, ...]
    next: tuple[str, ...]


def explain(
    task: Task,
    state: TaskState,
    progress: Progress,
    *,
    others: Mapping[str, TaskState],
    now: float,
    outcome: Outcome | None = None,
    route: Route | None = None,
    listeners: Mapping[str, Sequence[str]] | None = None,
) -> Explanation:
    """Explain where a task stands.

    Parameters:
        task: As it was enqueued.
        state: Where it stands.
        progress: Of its feature.
        others: The states of its dependencies and of all tasks in the open batch, by id.
        now: On the clock of the moments.
        outcome: How its last attempt ended.
        route: Where its work is sent, and why.
        listeners: Each queue with the workers that take from it; None where they were not asked.

    Example:
        print(explain(task, state, progress, others=states, now=time.time()).answer)
    """
    story = _Story(task, state, progress, others, now, outcome, route, listeners)
    answer, details, commands = story.tell()
    return Explanation(
        feature=progress.id,
        task=state.id,
        title=state.title,
        status=state.status,
        phase=state.phase,
        answer=answer,
        details=(*details, *story.dependencies(), *story.routing()),
        next=tuple(dict.fromkeys(commands)),
    )


Told = tuple[str, list[str], list[str]]
"""The answer, details, commands."""


@dataclass(frozen=True)
class _Story:
    task: Task
    state: TaskState
    progress: Progress
    others: Mapping[str, TaskState]
    now: float
    outcome: Outcome | None
    route: Route | None
    listeners: Mapping[str, Sequence[str]] | None

    @property
    def name(self) -> str:
        return named(self.state)

    def tell(self) -> Told:
        match self.state.status:
            case TaskStatus.PENDING:
                return self._pending()
            case TaskStatus.IN_PROGRESS:
                return self._running()
            case TaskStatus.FAILED | TaskStatus.BLOCKED:
                return self._stopped()
            case TaskStatus.COMPLETED:
                return self._completed()
            case TaskStatus.IN_REVIEW:
                said = [f"It says: {reason(self.outcome)}"] if reason(self.outcome) else []
                return f"{self.name} is done and waits for a person's review.", said, self._commands()
            case TaskStatus.TESTING | TaskStatus.CHANGES_REQUESTED if self.state.phase:
                return self._pending()
            case TaskStatus.TESTING:
                return self._running()
            case TaskStatus.ON_HOLD | TaskStatus.DEFERRED:
                return f"{self.name} is {self.state.status} until somebody resumes it.", [], self._commands()
            case TaskStatus.CANCELLED if self.state.resolved:
                return f"{self.name} was skipped; it counts as resolved.", [], []
            case TaskStatus.CANCELLED if not self.progress.status.is_over:
                waits = "What depends on it waits until it is skipped."
                return f"{self.name} is cancelled. {waits}", [], self._commands()
            case _:
                return (
                    f"{self.name} is {self.state.status}, and its feature is {self.progress.status}.",
                    [],
                    [],
                )

    def _commands(self) -> list[str]:
        return list(remedies(self.progress.id, self.state))

    def _pending(self) -> Told:
        match self.state.phase:
            case "queued":
                return self._queued()
            case "launched":
                return self._launched()
            case "delayed":
                return self._delayed()
        if self.state.phase == "unassigned":
            return f"{self.name} waits for a specialist: none matches its tags.", [], self._commands()
        if self.progress.is_paused:
            return (
                f"{self.name} waits: its feature is paused.",
                [],
                [f"orchestrator resume {self.progress.id}"],
            )
        if self.progress.awaits_launch and self.state.batch == self.progress.batch + 1:
            launch = f"orchestrator launch {self.progress.id}"
            return f"{self.name} waits for somebody to launch batch {self.state.batch}.", [], [launch]
        return self._behind_its_dependencies() if self.state.waits else self._behind_a_batch()

    def _behind_its_dependencies(self) -> Told:
        found = [self.others[task] for task in self.task.depends_on if task in self.others]
        commands = [
            line for other in found if is_stopped(other) for line in remedies(self.progress.id, other)
        ]
        number = count(len(self.task.depends_on), "task")
        return (
            f"{self.name} starts when the {number} it depends on are resolved: {self.state.waits} to go.",
            [],
            commands,
        )

    def _behind_a_batch(self) -> Told:
        number = self.progress.batch
        if not number:
            return f"{self.name} waits: no batch of the feature has been started yet.", [], []
        holders = [
            other
            for other in self.others.values()
            if other.batch == number and not other.resolved and other.status is not TaskStatus.COMPLETED
        ]
        holders.sort(key=lambda other: (not is_stopped(other), other.status is TaskStatus.PENDING))
        before = (
            f"batch {number} is"
            if number == self.state.batch - 1
            else f"batches {number} to {self.state.batch - 1} are"
        )
        details = [batch_line(self.progress, number, self.progress.batch_total)]
        details += [
            f"Holding it open: {named(other)}: {self._standing(other)}" for other in holders[:SHOWN_TASKS]
        ]
        if len(holders) > SHOWN_TASKS:
            details.append(f"and {count(len(holders) - SHOWN_TASKS, 'more task')}")
        commands = [line for other in holders[:SHOWN_SPLITS] for line in remedies(self.progress.id, other)]
        return (
            f"{self.name} is in batch {self.state.batch}, which opens when {before} complete.",
            details,
            commands,
        )

    def _queued(self) -> Told:
        progress = self.progress
        holders = [
            other
            for other in self.others.values()
            if other.status is TaskStatus.IN_PROGRESS or other.phase == "launched"
        ]
        details = [f"Has a slot: {named(other)}: {self._standing(other)}" for other in holders[:SHOWN_TASKS]]
        if len(holders) > SHOWN_TASKS:
            details.append(f"and {count(len(holders) - SHOWN_TASKS, 'more task')}")
        slots = f"{progress.in_flight} of {count(progress.cap, 'slot')} in use"
        if progress.in_flight < progress.cap:
            return (
                f"{self.name} is ready, and a slot is free ({slots}): a worker launches it at its next look.",
                [],
                [],
            )
        return f"{self.name} is ready and waits for a slot: {slots}, {progress.queued} queued.", details, []

    def _delayed(self) -> Told:
        left = max(0.0, (self.state.due or self.now) - self.now)
        due = f"in {durations.write(left)}" if left >= 1 else "now"
        details = [f"The last attempt: {reason(self.outcome)}"] if reason(self.outcome) else []
        if self.state.retried:
            details.append(f"Retry {self.state.retried} of {self.task.retries.max}")
        return f"{self.name} waits for its next attempt, which is due {due}.", details, []

    def _launched(self) -> Told:
        queue = self.route.queue if self.route else ""
        sent = f"sent to the queue {queue}" if queue else "sent to its queue"
        if self.listeners is not None and queue and not self.listeners.get(queue):
            return (
                f"{self.name} has its slot and was {sent}, but no worker takes from that queue.",
                [],
                ["orchestrator up", f"celery -A orchestrator worker -Q {queue}"],
            )
        workers = (self.listeners or {}).get(queue, ())
        details = (
            [f"Workers on {queue}: {some(workers, SHOWN_TASKS)}; they are busy with other work"]
            if workers
            else []
        )
        return (
            f"{self.name} has its slot, was {sent}, and waits for a worker (attempt {self.state.attempt}).",
            details,
            [],
        )

    def _running(self) -> Told:
        since = durations.write(spent(self.state, self.now) or 0)
        details = [f"Worker {self.state.worker}, attempt {self.state.attempt}"]
        if note(self.state):
            ago = (
                f" ({durations.write(max(0.0, self.now - self.state.noted))} ago)" if self.state.noted else ""
            )
            details.append(f"It says: {note(self.state)}{ago}")
        if self.task.estimate:
            details.append(f"Estimated at {durations.write(self.task.estimate)}")
        return f"{self.name} has been running for {since}.", details, []

    def _stopped(self) -> Told:
        found = stopped(self.progress.id, self.state, self.outcome)
        cause = f" ({found.cause})" if found.cause else ""
        said = one_line(found.reason) or "no reason was given"
        details = [f"Attempt {self.state.attempt} on {self.state.worker}"]
        if self.state.retried:
            details.append(f"Tried again {count(self.state.retried, 'time')} of {self.task.retries.max}")
        details += [f"| {line}" for line in found.tail.splitlines() if line.strip()][-SHOWN_TAIL:]
        return f"{self.name} is {self.state.status}{cause}: {said}", details, list(found.next)

    def _completed(self) -> Told:
        took = spent(self.state, self.now)
        said = f": {reason(self.outcome)}" if reason(self.outcome) else "."
        time = f" in {durations.write(took)}" if took is not None else ""
        return (
            f"{self.name} is completed{time}{said}",
            [f"Attempt {self.state.attempt} on {self.state.worker}"],
            [],
        )

    def _standing(self, other: TaskState) -> str:
        said = why(other, self.progress, self.now)
        return word(other) + (f" ({said})" if said else "")

    def dependencies(self) -> list[str]:
        """The tasks it depends on, with where they stand; of many, those that are not complete first."""
        found = [self.others[task] for task in self.task.depends_on if task in self.others]
        found.sort(key=lambda other: other.status is TaskStatus.COMPLETED)
        lines = [f"Depends on {named(other)}: {self._standing(other)}" for other in found[:SHOWN_TASKS]]
        more = len(found) - SHOWN_TASKS
        return lines + ([f"Depends on {count(more, 'more task')}"] if more > 0 else [])

    def routing(self) -> list[str]:
        """Who gets the task, and why."""
        if self.route is None:
            return []
        tier = f", model tier {self.route.model_tier}" if self.route.model_tier else ""
        return [f"Route: {self.route.title} ({self.route.reason}), queue {self.route.queue}{tier}"]
