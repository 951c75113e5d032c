"""The state of a feature at one moment, limited to the parts to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.model.task import TaskStatus
from orchestrator.report import next_steps, status_text

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.contract.feature_answers import Standstill
    from orchestrator.model.outcome import Outcome
    from orchestrator.model.progress import Progress, TaskState

SMALL = 60
"""The largest feature whose tasks are all read."""

NEIGHBOURS = 3
"""In a larger feature the open batch is read, and the sizes of this many batches on either side."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a feature at one moment.

    Args:
        progress: Its counters.
        sizes: How many tasks a batch has, by its number; not of all batches of a large feature.
        states: Where the tasks stand: of a small feature all, of a large one those of the open batch.
        said: The last words of each task's last attempt, by the task's id.
        gates: How the gates of the feature ended, by their names, if they have run.
        is_whole: Nothing was left out.
        notice: A warning for people who watch.
    """

    progress: Progress
    sizes: Mapping[int, int]
    states: tuple[TaskState, ...]
    said: Mapping[str, str]
    is_whole: bool
    gates: Mapping[str, Outcome] = field(default_factory=dict)
    notice: str = ""

    def of_batch(self, number: int) -> list[TaskState]:
        """The states that are known of a batch."""
        return [state for state in self.states if state.batch == number]

    @property
    def standstill(self) -> Standstill | None:
        """The tasks that stand still, if all tasks are known."""
        return next_steps.standstill(self.progress, self.states) if self.is_whole else None


class Reader:
    """Takes snapshots of one feature. Parts that cannot change any more are read once."""

    def __init__(self, client: Client, handle: Handle, *, whole: bool = False) -> None:
        self.client = client
        self.handle = handle
        self.whole = whole
        self.sizes: dict[int, int] = {}
        self.said: dict[tuple[str, int], str] = {}

    def take(self, notice: str = "") -> Snapshot:
        """Read where the feature stands now."""
        progress = self.handle.progress()
        is_whole = self.whole or progress.total <= SMALL
        states = self.handle.states(None if is_whole else [max(1, progress.batch)])
        near = range(
            max(1, progress.batch - NEIGHBOURS), min(progress.batches, progress.batch + NEIGHBOURS) + 1
        )
        return Snapshot(
            progress=progress,
            sizes=self._sizes(range(1, progress.batches + 1) if is_whole else near),
            states=tuple(states),
            said=self._say(states),
            is_whole=is_whole,
            gates=gate_outcomes(self.client, progress),
            notice=notice,
        )

    def _sizes(self, numbers: Iterable[int]) -> dict[int, int]:
        for number in numbers:
            if number not in self.sizes:
                self.sizes[number] = len(self.client.store.features.batch(self.handle.id, number))
        return {number: self.sizes[number] for number in numbers}

    def _say(self, states: Iterable[TaskState]) -> dict[str, str]:
        ended = {
            state.id: state.attempt
            for state in states
            if status_text.is_stopped(state) or state.status is TaskStatus.COMPLETED
        }
        new = [task for task, attempt in ended.items() if (task, attempt) not in self.said]
        outcomes = self.client.store.tasks.outcomes(self.handle.id, new)
        for task in new:
            self.said[task, ended[task]] = status_text.reason(outcomes.get(task))
        return {task: self.said[task, attempt] for task, attempt in ended.items()}


def gate_outcomes(client: Client, progress: Progress) -> dict[str, Outcome]:
    """The outcomes of the feature's gates, by name such as "@testing", if they may have run."""
    return client.store.tasks.gate_outcomes(progress.id) if progress.is_at_gates else {}
