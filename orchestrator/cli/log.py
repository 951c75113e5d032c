"""A feature's events as plain lines, for pipes, files and CI."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from orchestrator.model import durations, identifiers
from orchestrator.model.event import Event
from orchestrator.model.flows import STOPPED
from orchestrator.model.outcome import Outcome
from orchestrator.model.progress import Progress, TaskState
from orchestrator.report import status_text
from orchestrator.report.events import event_line, gone_line

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle

ENDINGS = (
    "implementation_complete",
    "tests_passed",
    "tests_failed",
    "blocker_detected",
    "work_failed",
    "retry_scheduled",
    "task_escalated",
    "task_cancelled",
)


class Log:
    """Writes the log of one feature: a line for each event that tells something new.

    Args:
        client: Reads names, outcomes and counters.
        handle: The feature.
        write: Called with each line, without a line break.
    """

    def __init__(self, client: Client, handle: Handle, write: Callable[[str], object]) -> None:
        self.client = client
        self.handle = handle
        self.write = write
        self.tasks: dict[str, TaskState] = {}
        self.started: dict[str, float] = {}
        self.retries: Counter[str] = Counter()
        self.sizes: dict[int, int] = {}

    def line(self, moment: float, text: str) -> None:
        """Write a line with its time of day."""
        self.write(f"{time.strftime('%H:%M:%S', time.localtime(moment))}  {text}")

    def begin(self, *, from_start: bool) -> None:
        """Write where the feature stands.

        Args:
            from_start: All its events follow. False: read the earlier ones from the states.
        """
        progress = self.handle.progress()
        self.line(time.time(), f"{progress.title} ({progress.id}): {status_text.progress_line(progress)}")
        if progress.batch:
            self._learn(progress.batch)
        if from_start and (gone := self.handle.events_gone()):
            self.write(gone_line(gone, self.client.settings.limits.events))
        if not from_start:
            self.retries.update({state.id: state.retried for state in self.tasks.values()})

    def add(self, events: Iterable[Event]) -> None:
        """Write the lines of some events, and how far their batch is after them."""
        events = list(events)
        outcomes = self._outcomes(events)
        for event in events:
            self._add(event, outcomes.get(event.task))
        if any(event.target in ("completed", "blocked", "failed") and event.task for event in events):
            progress = self.handle.progress()
            stands = progress.batch_resolved + sum(progress.batch_counts.get(status, 0) for status in STOPPED)
            if stands and progress.batch_resolved < progress.batch_total:
                self._tally(events[-1].time, progress, progress.batch)

    def _add(self, event: Event, outcome: Outcome | None) -> None:
        if event.event == "batch_opened" and event.batch:
            if event.batch > 1:
                self._tally(event.time, self.handle.progress(), event.batch - 1)
            self._learn(event.batch)
        if event.event == "work_started":
            self.started[event.task] = event.time
        if event.event in ("retry_requested", "blocker_resolved"):
            del self.retries[event.task]
        if event.event == "all_tasks_complete":
            progress = self.handle.progress()
            self._tally(event.time, progress, progress.batches)
        state = self._state(event.task) if event.task else None
        text = event_line(
            event,
            state.label if state else "",
            specialist=self._who(event, state),
            seconds=self._seconds(event),
            outcome=outcome,
            next_try=self._next_try(event),
            size=self._size(event.batch) if event.batch else 0,
        )
        if text:
            self.line(event.time, text)

    def _tally(self, moment: float, progress: Progress, number: int) -> None:
        self.line(moment, status_text.batch_line(progress, number, self._size(number)))

    def _outcomes(self, events: list[Event]) -> dict[str, Outcome]:
        ended = dict.fromkeys(event.task for event in events if event.event in ENDINGS)
        return self.client.store.tasks.outcomes(self.handle.id, list(ended))

    def _learn(self, number: int) -> None:
        for state in self.handle.states([number]):
            self.tasks[state.id] = state
            if state.started and state.id not in self.started:
                self.started[state.id] = state.started

    def _who(self, event: Event, state: TaskState | None) -> str:
        """The title of the specialist of an event. Those of an older version do not name it."""
        if not event.specialist:
            return state.specialist if state else ""
        return self.client.settings.title(event.specialist)

    def _state(self, task: str) -> TaskState:
        if identifiers.is_gates(task):
            return status_text.gates_state(task)
        if task not in self.tasks:  # of a batch before the one that was open when the watching began
            found = self.client.store.tasks.find(self.handle.id, task)
            self.tasks[task] = TaskState(id=task, title=found.name, specialist="", batch=0)
        return self.tasks[task]

    def _size(self, number: int) -> int:
        if number not in self.sizes:
            self.sizes[number] = len(self.client.store.features.batch(self.handle.id, number))
        return self.sizes[number]

    def _seconds(self, event: Event) -> float | None:
        started = self.started.get(event.task)
        return event.time - started if started and event.event in ENDINGS else None

    def _next_try(self, event: Event) -> str:
        if event.event != "retry_scheduled":
            return ""
        wait = f" in {durations.write(int(event.wait) / 1000)}" if event.wait else ""
        if event.cause in ("retry-later", "rate-limit"):
            return f"tries again{wait}"
        if event.note:  # another try of an agent at the same tier, which no retry counts
            return event.note
        self.retries[event.task] += 1
        most = self.client.store.tasks.find(self.handle.id, event.task).retries.max
        return f"retry {self.retries[event.task]} of {most}{wait}"
