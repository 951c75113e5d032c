"""The claim of a process, and the answer: an attempt that it started or took."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import from_json

from orchestrator.model.lifecycle import Attempts
from orchestrator.model.task import Task
from orchestrator.state import encoding
from orchestrator.state.script_runner import readable


class StartResult(NamedTuple):
    """The answer to a worker that wants to start an attempt; start.lua lists the values of `code`."""

    code: str
    task: Task | None = None
    head: Mapping[str, Any] = {}
    state: Mapping[str, Any] = {}
    feature_status: str = ""
    wait: float = 0.0
    """Seconds that the worker waits before it begins, because its specialist has a rate."""

    @property
    def status(self) -> str:
        """The task's status in this attempt: in-progress, or testing if only its gates are left to run."""
        return str(self.state["status"])

    @property
    def attempts(self) -> Attempts:
        """The earlier attempts at the task."""
        state = self.state
        return Attempts(
            int(state.get("retried", 0)),
            bool(state.get("escalated")),
            int(state.get("later", 0)),
            int(state.get("rung", 0)),
            int(state.get("tries", 0)),
        )


@dataclass(frozen=True)
class Claim:
    """The work that a process may take with the commit of an attempt.

    Args:
        queues: The queues in the order in which they are asked, each with the specialists whose messages it may take.
        worker: The name of its worker.
        lease: Seconds of the lease of the attempt that it takes.
        delivery: A name for this delivery. With the same one the process may ask again.
    """

    queues: Mapping[str, Sequence[str]]
    worker: str
    lease: float
    delivery: str

    @property
    def process(self) -> str:
        """The process that asks: the worker, and the id of the process, which is in the delivery."""
        return f"{self.worker}/{self.delivery.partition('-')[0]}"


class Taken(NamedTuple):
    """An attempt that was taken and begun with the commit of the one before."""

    queue: str
    message: str
    """Its message, as it stood in the queue."""
    id: tuple[str, str, int]
    """The feature, the task and the number of the attempt."""
    started: Sequence[Any]
    """The answer of start.lua."""

    def result(self) -> StartResult:
        """The start result of the attempt.

        Raises:
            UnreadableFeature: Its task cannot be read.
        """
        return read_start_result(self.id[0], self.id[1], self.started)


def read_start_result(feature_id: str, task_id: str, answer: Sequence[Any]) -> StartResult:
    """Read what start.lua answers."""
    code, *rest = answer
    if code != "started":
        return StartResult(code)
    task, head, state, status, wait = rest
    with readable(feature_id):
        return StartResult(
            code,
            encoding.parse_task(task, task_id) if task else None,
            _read_head(head),
            from_json(state),
            status,
            int(wait) / 1000,
        )


@functools.lru_cache(maxsize=256)  # the tasks of a feature have one head
def _read_head(text: str) -> Mapping[str, Any]:
    head = encoding.parse_head(text)
    return {**head, "tags": tuple(head.get("tags", ()))}


def read_taken(answer: Sequence[Any]) -> Taken:
    """Read what take_next.lua answers."""
    queue, message, feature_id, task_id, attempt, *started = answer
    return Taken(queue, message, (feature_id, task_id, int(attempt)), started)
