"""Puts the states of tasks together from the keys in which they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.model.feature import FeatureStatus
from orchestrator.state import encoding, progress_encoding
from orchestrator.state.encoding import Place

if TYPE_CHECKING:
    from orchestrator.model.progress import TaskState
    from orchestrator.state.keys import FeatureKeys
    from orchestrator.state.script_runner import ScriptRunner


@dataclass(frozen=True)
class StoredStates:
    """The waits and holds of tasks, which are stored in other keys than their states."""

    ready: Iterable[str]
    slots: Iterable[tuple[str, float]]
    delayed: Iterable[tuple[str, float]]
    unassigned: Iterable[str]
    waits: Mapping[str, str]
    awaited: Mapping[str, str]

    def states(
        self,
        members: Mapping[str, int],
        tasks: Mapping[str, str],
        states: Mapping[str, str | None],
        places: Mapping[str, str | None],
        status: str,
    ) -> Iterator[TaskState]:
        """The states of tasks, given as {task: its batch}."""
        phases = dict.fromkeys(self.ready, "queued")
        phases |= {task: "launched" if leased <= 0 else "" for task, leased in self.slots}
        due = {task: moment / 1000 for task, moment in self.delayed}
        phases |= dict.fromkeys(due, "delayed") | dict.fromkeys(self.unassigned, "unassigned")
        phases |= dict.fromkeys(self.awaited, "limited")
        for task, batch in members.items():
            yield progress_encoding.parse_state(
                encoding.parse_task(tasks[task], task),
                json.loads(states.get(task) or "{}"),
                specialist=Place.parse(places.get(task)).specialist,
                batch=batch,
                phase=phases.get(task, "waiting"),
                due=due.get(task),
                waits=int(self.waits.get(task, 0)),
                limit=self.awaited.get(task, ""),
                is_cancelled=status in (FeatureStatus.CANCELLED, FeatureStatus.FAILED),
            )


def awaited_limits(
    runner: ScriptRunner, keys: FeatureKeys, waiting: Mapping[str, str], of: Sequence[str] | None = None
) -> dict[str, str]:
    """Each task that waits for a limit, with the limit: of some tasks, else of all."""
    names = [place.split(" ")[0] for place in waiting.values()]
    pipeline = runner.client.pipeline(transaction=False)
    for kind in waiting:
        if of is None:
            pipeline.zrange(keys.waiting_of(kind), 0, -1)
        for task in of or ():
            pipeline.zscore(keys.waiting_of(kind), task)
    found = pipeline.execute() if waiting else []
    if of is not None:
        size = len(of)
        found = [pair(of, found[at * size : (at + 1) * size]) for at in range(len(names))]
    return {task: limit for limit, tasks in zip(names, found, strict=True) for task in tasks}


def pair(ids: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Each id that has a value, with that value."""
    return {task: value for task, value in zip(ids, values, strict=True) if value is not None}
