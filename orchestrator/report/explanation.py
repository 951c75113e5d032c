"""Why a task is in its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.contract import needs
from orchestrator.model import durations
from orchestrator.model.fields import Model
from orchestrator.model.flows import WORKING
from orchestrator.model.task import Task, TaskStatus
from orchestrator.model.words import SHOWN, by_agent, count, one_line, some
from orchestrator.planning import limits
from orchestrator.planning.limits import Limit
from orchestrator.report import next_steps
from orchestrator.report.status_text import (
    batch_line,
    is_stopped,
    note,
    process_line,
    reason,
    spent,
    why,
    word,
)
from orchestrator.state.workers import Worker, processes

if TYPE_CHECKING:
    from orchestrator.model.outcome import Outcome
    from orchestrator.model.plan import Route
    from orchestrator.model.progress import Progress, TaskState
    from orchestrator.planning.sketch import Sketch

SHOWN_HOLDERS = 3
"""For how many tasks that hold a batch open the commands are given."""


class Explanation(Model):
    """Why a task is in its status: the answer, what it rests on, and what to type."""

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
    listeners: Mapping[str, Sequence[Worker]] | None = None,
    limit: Limit | None = None,
    before: Sketch | None = None,
    claimed: bool = False,
) -> Explanation:
    """Explain where a task stands.

    Parameters:
        task: As it was enqueued.
        state: Where it stands.
        progress: Of its feature.
        others: The states of its dependencies, and of those that hold a slot or the open batch, by id; of many, some.
        now: On the clock of the moments.
        outcome: How its last attempt ended.
        route: Where its work is sent, and why.
        listeners: Each queue with the workers that take from it; None if they were not asked.
        limit: The limit that it waits for, as it stands; None if it waits for none.
        before: How long it took in earlier features of the same title; None if that is not known.
        claimed: An agent elsewhere does its work, once it has claimed it.

    Example:
        print(explain(task, state, progress, others=states, now=time.time()).answer)
    """
    story = _Story(task, state, progress, others, now, outcome, route, listeners, limit, before, claimed)
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
    listeners: Mapping[str, Sequence[Worker]] | None
    limit: Limit | None
    before: Sketch | None
    claimed: bool

    @property
    def name(self) -> str:
        return self.state.label

    def tell(self) -> Told:
        answer, details, commands = self._tell()
        if self.state.phase == "ending" and self.state.status is not TaskStatus.PENDING:
            details = [f"{self._ending()}; it holds its slot until then", *details]
        return answer, details, commands

    def _ending(self) -> str:
        return f"Attempt {self.state.attempt} was taken from {self.state.worker}, and has not ended yet"

    def _tell(self) -> Told:
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
            case TaskStatus.CANCELLED if self.state.phase == "ending":
                waits = "What depends on it waits at least until its attempt has ended."
                return f"{self.name} is cancelled. {waits}", [], []
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
        return list(next_steps.commands(self.progress.id, self.state))

    def _pending(self) -> Told:
        match self.state.phase:
            case "queued":
                return self._queued()
            case "limited":
                return self._limited()
            case "launched":
                return self._launched()
            case "delayed":
                return self._delayed()
            case "ending":
                waits = (
                    f"{self.name} waits until attempt {self.state.attempt} has ended, and starts again then."
                )
                return waits, [self._ending()], []
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
            line
            for other in found
            if is_stopped(other)
            for line in next_steps.commands(self.progress.id, other)
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
        details += self._listed(
            "Holding it open", holders, self.progress.batch_total - self.progress.batch_resolved
        )
        commands = [
            line for other in holders[:SHOWN_HOLDERS] for line in next_steps.commands(self.progress.id, other)
        ]
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
            if other.status in WORKING or other.phase in ("launched", "ending")
        ]
        if progress.is_paused:
            resume = f"orchestrator resume {progress.id}"
            return f"{self.name} is ready, and its feature is paused.", [], [resume]
        details = self._listed("Has a slot", holders, progress.in_flight)
        slots = f"{progress.in_flight} of {count(progress.cap, 'slot')} in use"
        if progress.in_flight < progress.cap:
            return (
                f"{self.name} is ready, and a slot is free ({slots}): a worker launches it at its next look.",
                [],
                [],
            )
        return f"{self.name} is ready and waits for a slot: {slots}, {progress.queued} queued.", details, []

    def _limited(self) -> Told:
        limit = self.limit or Limit(name=self.state.limit)
        if self.progress.is_paused:
            resume = f"orchestrator resume {self.progress.id}"
            return f"{self.name} waits for {limit.title}, and its feature is paused.", [], [resume]
        needs = limits.needed(self.task, limit.name)
        if limits.is_of_files(limit.name) and limit.holders:
            holder = limit.holders[0].task
            return f"{self.name} waits until {holder} has ended: both touch the same files.", [], []
        details = [f"Held by {one.task} of {one.feature}" for one in limit.holders[:SHOWN]]
        if len(limit.holders) > SHOWN:
            details.append(f"and by {count(len(limit.holders) - SHOWN, 'more task')}")
        if limit.waiting > 1:
            waiting = f"{count(limit.waiting, 'task')} of {count(limit.features, 'feature')}"
            details.append(f"Waiting for it: {waiting}")
        answer = f"{self.name} waits for {limit.title}: {limits.usage(limit)}{needs}."
        if limit.next_token is not None:
            due = f"in {durations.write(limit.next_token)}" if limit.next_token else "now"
            answer = f"{self.name} waits for {limit.title}: {limit.amount}, the next is due {due}."
        elif limits.is_too_little(limit, self.task):
            more = f"orchestrator limits set {limit.name} N"
            answer = f"{self.name} waits for {limit.title}: there is less of it than it needs"
            return f"{answer} ({limits.usage(limit)}){needs}.", details, [more]
        return answer, details, []

    def _delayed(self) -> Told:
        left = max(0.0, (self.state.due or self.now) - self.now)
        due = f"in {durations.write(left)}" if left >= 1 else "now"
        details = [f"The last attempt: {reason(self.outcome)}"] if reason(self.outcome) else []
        if self.state.retried:
            details.append(f"Retry {self.state.retried} of {self.task.retries.max}")
        return f"{self.name} waits for its next attempt, which is due {due}.", details, []

    def _launched(self) -> Told:
        if self.claimed:
            specialist = self.route.specialist if self.route else self.state.specialist
            return (
                f"{self.name} has its slot, and waits for an agent that claims it (orchestrator mcp --tools worker).",
                [f"Attempt {self.state.attempt}, for an agent of {specialist}"],
                ["orchestrator mcp --tools worker", f"orchestrator claim --specialist {specialist}"],
            )
        queue = self.route.queue if self.route else ""
        sent = f"sent to the queue {queue}" if queue else "sent to its queue"
        if self.listeners is not None and queue and not self.listeners.get(queue):
            return (
                f"{self.name} has its slot and was {sent}, but no worker takes from that queue.",
                [],
                ["orchestrator up", f"celery -A orchestrator worker -Q {queue}"],
            )
        return (
            f"{self.name} has its slot, was {sent}, and waits for a worker (attempt {self.state.attempt}).",
            self._busy_workers((self.listeners or {}).get(queue, ()), queue),
            [] if queue else [f"orchestrator watch {self.progress.id}"],  # it asks the app for the queue
        )

    def _busy_workers(self, takers: Sequence[Worker], queue: str) -> list[str]:
        if not takers:
            return []
        names = some([worker.name for worker in takers])
        if short := process_line(self.progress, processes(takers)):
            return [f"Workers on {queue}: {names}", short]
        return [f"Workers on {queue}: {names}; they are busy with other work"]

    def _running(self) -> Told:
        since = durations.write(spent(self.state, self.now) or 0)
        tier = f", tier {self.state.tier}" if self.state.tier else ""
        details = [f"Worker {self.state.worker}, attempt {self.state.attempt}{tier}"]
        if note(self.state):
            ago = (
                f" ({durations.write(max(0.0, self.now - self.state.noted))} ago)" if self.state.noted else ""
            )
            details.append(f"It says: {note(self.state)}{ago}")
        if self.task.estimate:
            details.append(f"Estimated at {durations.write(self.task.estimate)}")
        if self.before:
            details.append(f"In earlier features of this title it took {self.before.text}")
        return f"{self.name} has been running for {since}.", details, []

    def _stopped(self) -> Told:
        found = needs.of_state(self.progress.id, self.state, self.outcome)
        cause = f" ({found.cause})" if found.cause else ""
        said = one_line(found.reason) or "no reason was given"
        details = [f"Attempt {self.state.attempt} on {self.state.worker}"] if self.state.worker else []
        if self.state.retried:
            details.append(f"Tried again {count(self.state.retried, 'time')} of {self.task.retries.max}")
        details += [f"| {line}" for line in found.tail.splitlines()]
        commands = [action.command for action in found.actions]
        return f"{self.name} is {self.state.status}{cause}: {said}", details, commands

    def _completed(self) -> Told:
        took = spent(self.state, self.now)
        said = f": {reason(self.outcome)}" if reason(self.outcome) else "."
        time = f" in {durations.write(took)}" if took is not None else ""
        return (
            f"{self.name} is completed{time}{said}",
            [f"Attempt {self.state.attempt} on {self.state.worker}"],
            [],
        )

    def _listed(self, what: str, others: Sequence[TaskState], number: int) -> list[str]:
        """Some of many tasks, with their statuses."""
        lines = [f"{what}: {other.label}: {self._standing(other)}" for other in others[:SHOWN]]
        more = max(number, len(others)) - len(lines)
        return lines + ([f"and {count(more, 'more task')}"] if more > 0 else [])

    def _standing(self, other: TaskState) -> str:
        said = why(other, self.progress, self.now)
        return word(other) + (f" ({said})" if said else "")

    def dependencies(self) -> list[str]:
        """The tasks it depends on, with where they stand; of many, those that are not complete first."""
        found = [self.others[task] for task in self.task.depends_on if task in self.others]
        found.sort(key=lambda other: other.status is TaskStatus.COMPLETED)
        lines = [f"Depends on {other.label}: {self._standing(other)}" for other in found[:SHOWN]]
        more = len(found) - SHOWN
        return lines + ([f"Depends on {count(more, 'more task')}"] if more > 0 else [])

    def routing(self) -> list[str]:
        """Say who gets the task, and why."""
        if self.route is None:
            return []
        tier = f", model tier {self.route.model_tier}" if self.route.model_tier else ""
        queue = f", queue {self.route.queue}" if self.route.queue else ""
        agent = by_agent(self.route.runtime, self.route.ladder)
        return [f"Route: {self.route.title} ({self.route.reason}){queue}{tier}{agent}"]
