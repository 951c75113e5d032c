"""The figures of a run, for people and for programs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from chaos import checker
from chaos.checker import STARTS, Violation
from chaos.history import History, Story, Strike
from orchestrator.model.event import Event
from orchestrator.model.fields import Model
from orchestrator.model.flows import WORKING
from orchestrator.model.task import TaskStatus

KILLS = (
    "kill-worker",
    "kill-main-process",
    "kill-all-workers",
    "kill-child",
    "wrong-clock",
    "full-disk-of-worker",
)
"""The faults after which another worker has to take over the attempts of a process."""

SLOWEST = 5
"""How many stories a report has."""

LOSS_LAWS = ("nothing_is_lost", "ends_or_waits", "work_was_done", "no_slot_leaks")
"""The laws whose violation means a loss."""


class Recovery(Model):
    """How long the tasks of killed processes waited, in seconds by the clock of Redis."""

    held: int
    """Attempts that killed processes held."""
    restarted: int
    """How many of their tasks were started again without a person. The others failed, or were given up."""
    noticed: float | None = None
    """Median, from the kill until the loss was noticed."""
    typical: float | None = None
    """Median, from the kill until the next attempt started."""
    worst: float | None = None
    slowest: tuple[str, ...] = ()
    """The stories of those that waited longest."""


class Report(Model):
    """The figures of a run."""

    system: str
    seed: int
    features: int
    tasks: int
    faults: Mapping[str, int]
    executions: int
    completed: int
    repeated: int
    """Executions beyond those that the scripts of the tasks and people asked for."""
    stopped_as_lost: int | None = None
    """Attempts that were taken from a worker."""
    by_strain: int | None = None
    """How many of them no fault explains, but the load of the machine (see `strain`)."""
    messages_found: int | None = None
    """Launches that were published again."""
    lost: int
    """Violations that mean a loss; for plain Celery, tasks that were not done at the end."""
    recovery: Recovery
    violations: tuple[str, ...] | None = None
    """None: nobody looked for them."""


def report(history: History, violations: Sequence[Violation]) -> Report:
    """The figures of a history."""
    events = [event for story in history.stories for event in story.events]
    lost = list(checker.losses(history))
    begun = {(effect.feature, effect.task, effect.attempt) for effect in checker.begun(history)}
    return Report(
        system="task orchestrator",
        seed=history.seed,
        features=len(history.enqueued),
        tasks=sum(len(story.feature.tasks) for story in history.stories),
        faults=dict(sorted(Counter(strike.fault for strike in history.strikes).items())),
        executions=len(checker.begun(history)),
        completed=sum(bool(event.task) and event.target == TaskStatus.COMPLETED for event in events),
        repeated=sum((story.id, event.task, event.attempt) in begun for story, event in lost),
        stopped_as_lost=len(lost),
        by_strain=len(checker.by_strain(history)),
        messages_found=sum(event.event == "message_lost" for event in events),
        lost=sum(violation.law in LOSS_LAWS for violation in violations),
        recovery=recovery(history),
        violations=tuple(map(str, violations)),
    )


def recovery(history: History) -> Recovery:
    """How long the tasks of killed processes took to start again."""
    kills = [strike for strike in history.strikes if strike.fault in KILLS]
    noticed, waits, held = list[float](), list[tuple[float, str]](), 0
    for story in history.stories:
        for place, event in enumerate(story.events):
            if event.event not in STARTS:
                continue
            end = next((e for e in story.events[place:] if e.task == event.task and _ends(e)), None)
            kill = _that_hit(kills, event.worker, event.time, end.time if end else None)
            if not kill or not end or end.cause not in checker.TAKEN_BACK:
                continue
            held += 1
            noticed.append(end.time - kill.began)
            again = _next_start(story, place, event.task)
            if end.target == TaskStatus.PENDING and again is not None:
                waits.append((again - kill.began, _tell(history, story, kill, end, again)))
    waits.sort(reverse=True)
    seconds = [wait for wait, _ in waits]
    return Recovery(
        held=held,
        restarted=len(waits),
        noticed=round(median(noticed), 3) if noticed else None,
        typical=round(median(seconds), 3) if waits else None,
        worst=round(max(seconds), 3) if waits else None,
        slowest=tuple(text for _, text in waits[:SLOWEST]),
    )


def table(reports: Sequence[Report]) -> str:
    """Reports side by side, a line for each figure."""
    rows = [("", *(each.system for each in reports))]
    rows += [
        (label, *(_shown(getattr(each, name)) for each in reports))
        for label, name in (
            ("seed", "seed"),
            ("features", "features"),
            ("tasks", "tasks"),
            ("executions", "executions"),
            ("tasks completed", "completed"),
            ("lost", "lost"),
            ("repeated executions", "repeated"),
            ("attempts taken from a worker", "stopped_as_lost"),
            ("  for want of a processor", "by_strain"),
            ("messages found again", "messages_found"),
        )
    ]
    rows += [
        (label, *(_shown(getattr(each.recovery, name)) for each in reports))
        for label, name in (
            ("held by killed processes", "held"),
            ("  started again", "restarted"),
            ("  noticed after, median s", "noticed"),
            ("  started after, median s", "typical"),
            ("  started after, worst s", "worst"),
        )
    ]
    rows.append(("faults", *(str(sum(each.faults.values())) for each in reports)))
    kinds = sorted({kind for each in reports for kind in each.faults})
    rows += [(f"  {kind}", *(_shown(each.faults.get(kind, 0)) for each in reports)) for kind in kinds]
    broken = (None if each.violations is None else len(each.violations) for each in reports)
    rows.append(("violations", *map(_shown, broken)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _ends(event: object) -> bool:
    return getattr(event, "source", "") in WORKING and getattr(event, "target", "") not in (*WORKING, "")


def _that_hit(kills: Sequence[Strike], worker: str, started: float, ended: float | None) -> Strike | None:
    """The first kill of this worker while the attempt ran."""
    return next(
        (
            kill
            for kill in sorted(kills, key=lambda strike: strike.began)
            if worker in kill.workers and started <= kill.began and (ended is None or kill.began <= ended)
        ),
        None,
    )


def _tell(history: History, story: Story, kill: Strike, end: Event, again: float) -> str:
    """The story from the kill until the next attempt started, in seconds after the kill."""
    moments = [(end.time, "noticed"), (again, "started")]
    moments += [
        (event.time, "launched")
        for event in story.events
        if event.task == end.task and event.event == "task_launched" and end.time <= event.time <= again
    ]
    moments += [
        (strike.began, strike.fault) for strike in history.strikes if kill.began < strike.began < again
    ]
    told = ", ".join(f"{what} {moment - kill.began:.1f}" for moment, what in sorted(moments))
    return f"{story.id}:{end.task} {kill.fault}: {told}"


def _next_start(story: Story, place: int, task: str) -> float | None:
    return next((e.time for e in story.events[place + 1 :] if e.task == task and e.event in STARTS), None)
