"""Judges a run of agents: which laws it broke. Pure: it reads what the agents wrote and what is left, and nothing else.

A law is a function that yields a feature, a task and what is wrong there. A violation has the law's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from chaos.checker import Violation
from chaos.history import Strike
from orchestrator.model.fields import Model
from orchestrator.model.usage import MICRO

K = TypeVar("K")

LOSS = 1.0
"""Seconds of usage that may be lost with a killed attempt."""


class Said(Model):
    """What an attempt has used of a model so far, as its agent wrote it into its own log."""

    time: float
    """Seconds since the epoch."""
    micro: int
    """Millionths of a dollar, since the attempt began."""


class Mark(Model):
    """The usage of one attempt with one model: what its agent said, and what the store has."""

    feature: str
    task: str
    attempt: int
    model: str
    said: tuple[Said, ...] = ()
    stored: int = 0
    """Millionths of a dollar."""
    killed: bool = False
    """The agent or its worker was killed: the last that it said may be lost."""
    silent: float = 0.0
    """Seconds before its end in which nobody could store anything, because Redis was away or its worker was frozen."""


class Life(Model):
    """One process of an agent."""

    feature: str
    task: str
    pid: int
    folder: str
    began: float
    ended: float | None = None
    """None: it wrote no end."""
    saw: tuple[int, ...] = ()
    """Other agents that it found alive in its folder."""


class Work(Model):
    """What became of a task."""

    feature: str
    task: str
    completed: bool = False
    budget: int | None = None
    """Millionths of a dollar that it may cost, all attempts together; None: it has no budget."""
    reason: str = ""
    """Why it stopped, and what to do next."""
    next_step: str = ""
    commits: tuple[str, ...] = ()
    """The hashes of its agents' commits."""
    wrote: tuple[tuple[str, str], ...] = ()
    """Lines that its agents wrote, each with the path of its file."""


class Result(Model):
    """What is left of a feature in the repository."""

    feature: str
    integrated: frozenset[str] = frozenset()
    """The commits that its integration branch has."""
    merged: tuple[str, ...] = ()
    """The attempts of the commits that brought work into it, "task#number", one for each commit."""
    tree: Mapping[str, str] = {}
    """The files of its integration branch, by path."""


class AgentHistory(Model):
    """A run of agents, as a value."""

    marks: tuple[Mark, ...] = ()
    lives: tuple[Life, ...] = ()
    works: tuple[Work, ...] = ()
    results: tuple[Result, ...] = ()
    reachable: frozenset[str] = frozenset()
    """All commits that a ref leads to."""
    budgets: Mapping[str, int] = {}
    """Millionths of a dollar that a feature may cost; a feature without a budget is not here."""
    in_flight: int = 1
    """The most agents that run at once."""
    still_alive: tuple[int, ...] = ()
    """Processes of agents that live after the end."""


Law = Callable[[AgentHistory], Iterator[tuple[str, str, str]]]


def check(history: AgentHistory) -> list[Violation]:
    """Every violation. A good run has none."""
    return [
        Violation(law=law.__name__, feature=feature, task=task, what=what)
        for law in LAWS
        for feature, task, what in law(history)
    ]


def usage_counts_once(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """The store has what the agents said: never more, and less only by the last second of a killed attempt."""
    for mark in history.marks:
        most = max((said.micro for said in mark.said), default=0)
        name = f"attempt {mark.attempt} with {mark.model}"
        if mark.stored > most:
            yield mark.feature, mark.task, f"{name} is stored as {mark.stored}, and its agent said {most}"
        elif mark.stored < (least := _sure(mark) if mark.killed else most):
            yield mark.feature, mark.task, f"{name} is stored as {mark.stored}, and {least} was sure"


def _sure(mark: Mark) -> int:
    """What must be stored although the attempt was killed: all but one report and the last second."""
    said = sorted(mark.said, key=lambda one: one.time)
    return max((one.micro for one in said[:-1] if one.time <= said[-1].time - LOSS - mark.silent), default=0)


def budgets_hold(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """A feature costs at most its budget and one report of each agent in flight."""
    spent, largest = _spending(history, lambda mark: mark.feature)
    for feature, budget in history.budgets.items():
        most = budget + history.in_flight * largest[feature]
        if spent[feature] > most:
            yield feature, "", f"it cost {spent[feature]}, and at most {most} was allowed"


def budgets_of_tasks_hold(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """A task costs at most its budget and one report."""
    spent, largest = _spending(history, lambda mark: (mark.feature, mark.task))
    for work in history.works:
        task = (work.feature, work.task)
        if work.budget is not None and spent[task] > (most := work.budget + largest[task]):
            yield *task, f"it cost {spent[task]}, and at most {most} was allowed"


def _spending(history: AgentHistory, of: Callable[[Mark], K]) -> tuple[Counter[K], Counter[K]]:
    """What was spent, and the largest report, of each feature or task."""
    spent, largest = Counter[K](), Counter[K]()
    for mark in history.marks:
        who, before = of(mark), 0
        spent[who] += mark.stored
        for said in sorted(mark.said, key=lambda one: one.time):
            largest[who] = max(largest[who], said.micro - before)
            before = said.micro
    return spent, largest


def no_commit_is_lost(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """A ref leads to every commit that an agent made."""
    for work in history.works:
        for commit in work.commits:
            if commit not in history.reachable:
                yield work.feature, work.task, f"no ref leads to {commit}"


def completed_is_integrated(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """The integration branch has the commits and the lines of each completed task, and got them once."""
    results = {result.feature: result for result in history.results}
    for work in history.works:
        result = results.get(work.feature, Result(feature=work.feature))
        merges = Counter(one for one in result.merged if one.partition("#")[0] == work.task)
        for attempt, times in merges.items():
            if times > 1:
                yield work.feature, work.task, f"{attempt} was integrated {times} times"
        if not work.completed:
            continue
        if work.wrote and not merges:
            yield work.feature, work.task, "is completed, and was not integrated"
        for commit in work.commits:
            if commit not in result.integrated:
                yield work.feature, work.task, f"is completed, and {commit} is not in the integration branch"
        for path, line in work.wrote:
            if line not in result.tree.get(path, "").splitlines():
                yield work.feature, work.task, f"is completed, and its line is not in {path}"


def one_agent_in_a_folder(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """No two agents live in one folder at the same time."""
    last = dict[str, Life]()
    for life in sorted(history.lives, key=lambda one: one.began):
        for other in life.saw:
            yield life.feature, life.task, f"agent {life.pid} saw {other} alive in {life.folder}"
        before = last.get(life.folder)
        # Who wrote no end was killed at an unknown moment: then only what the next one saw tells.
        if before and before.ended is not None and life.began < before.ended:
            yield life.feature, life.task, f"agents {before.pid} and {life.pid} lived in {life.folder}"
        if before is None or (life.ended or life.began) >= (before.ended or before.began):
            last[life.folder] = life


def nothing_is_stuck(history: AgentHistory) -> Iterator[tuple[str, str, str]]:
    """A task is completed, or has a reason and a next step; and no agent lives on."""
    for work in history.works:
        if not work.completed and not (work.reason and work.next_step):
            yield work.feature, work.task, "stopped, without a reason and a next step"
    for pid in history.still_alive:
        yield "", "", f"agent {pid} lives after the end"


LAWS: tuple[Law, ...] = (
    usage_counts_once,
    budgets_hold,
    budgets_of_tasks_hold,
    no_commit_is_lost,
    completed_is_integrated,
    one_agent_in_a_folder,
    nothing_is_stuck,
)


def table(history: AgentHistory, strikes: Sequence[Strike], violations: Sequence[Violation]) -> str:
    """The figures of a run, a line for each."""
    said = sum(max((one.micro for one in mark.said), default=0) for mark in history.marks)
    stored = sum(mark.stored for mark in history.marks)
    figures: dict[str, object] = {
        "features": len({work.feature for work in history.works}),
        "tasks": len(history.works),
        "tasks completed": sum(work.completed for work in history.works),
        "runs of an agent": len(history.lives),
        "  that wrote no end": sum(life.ended is None for life in history.lives),
        "commits": sum(len(work.commits) for work in history.works),
        "integrated": sum(len(result.merged) for result in history.results),
        "dollars, as the agents said": f"{said / MICRO:,.2f}",
        "dollars, as stored": f"{stored / MICRO:,.2f}",
        "faults": len(strikes),
        **{f"  {name}": count for name, count in sorted(Counter(one.fault for one in strikes).items())},
        "violations": len(violations),
    }
    width = max(map(len, figures))
    return "\n".join(f"{name.ljust(width)}  {value!s:>8}" for name, value in figures.items())
