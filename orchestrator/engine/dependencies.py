"""The outcomes of the tasks that a task depends on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.task import Task


class Dependencies(Mapping[str, Completed]):
    """The outcomes of a task's dependencies. They are read once, at the first access.

    Args:
        read: Reads the outcomes of tasks, by their ids.
        task: The task.
    """

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Outcome]], task: Task) -> None:
        self.read = read
        self.ids = task.depends_on

    @functools.cached_property
    def _outcomes(self) -> dict[str, Completed]:
        outcomes = self.read(self.ids)
        return {task: outcome for task, outcome in outcomes.items() if isinstance(outcome, Completed)}

    def __getitem__(self, task_id: str) -> Completed:
        return self._outcomes[task_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)
