"""Writes and reads the values in Redis; `keys` describes the key of each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter

from orchestrator.model import calls
from orchestrator.model.event import Event
from orchestrator.model.outcome import OUTCOME, Blocked, Cancelled, Completed, Failed, Outcome, RetryLater
from orchestrator.model.progress import Tail
from orchestrator.model.task import Task
from orchestrator.planning import graph
from orchestrator.state import schema

if TYPE_CHECKING:
    from orchestrator.model.plan import Batch, Route, Schedule
    from orchestrator.planning.extension import Growth

HEAD = ("id", "title", "description", "tags", "base")
"""The fields of a feature without its tasks."""

NO_TASKS = "0" * 65
"""The tasks of no batch, in more digits than a compact hash keeps (hash-max-listpack-value).

So Redis finds a count by its name, and does not go through all of them.
"""

_TASK = TypeAdapter(Task)
_OUTCOMES = tuple(
    kind.model_fields["status"].default for kind in (Completed, Blocked, Failed, RetryLater, Cancelled)
)


class Place(NamedTuple):
    """The plan's entry for a task: its rank in the launch order, its batch, and its specialist ("": none yet)."""

    rank: int = 0
    batch: int = 0
    specialist: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Place:
        """Read an entry; a missing one belongs to batch 0, which means no batch.

        Example:
            >>> Place.parse("7:2:writer"), Place.parse(None).batch
            (Place(rank=7, batch=2, specialist='writer'), 0)
        """
        if not text:
            return cls()
        rank, batch, specialist = text.split(":", 2)
        return cls(int(rank), int(batch), specialist)


def describe_task(task: Task) -> str:
    """A task as it is stored."""
    # exclude_unset, not exclude_defaults: comparing with the defaults takes half as long again. And the serializer
    # itself, because model_dump_json adds a third.
    return _TASK.serializer.to_json(task, exclude_unset=True).decode()


def describe_tasks(tasks: Iterable[Task], locks: Mapping[str, Sequence[int]]) -> dict[str, str | bytes]:
    """Tasks as they are stored, by id; `locks`: those that some of them take (see `with_locks`)."""
    to_json = _TASK.serializer.to_json  # as in `describe_task`, without a call for each
    described: dict[str, str | bytes] = {task.id: to_json(task, exclude_unset=True) for task in tasks}
    for task, held in locks.items():
        described[task] = with_locks(described[task], held)
    return described


def with_locks(described: str | bytes, locks: Sequence[int]) -> str:
    """A task as it is stored, with the locks that it takes while it runs (see planning/exclusion.py)."""
    return json.dumps({**json.loads(described), "locks": list(locks)})


def describe_changed(task: Task, stored: str | None) -> str:
    """A changed task as it is stored; fields that a newer version wrote stay."""
    found = json.loads(stored or "{}")
    kept = {name: value for name, value in found.items() if name not in Task.model_fields}
    return json.dumps({**kept, **json.loads(describe_task(task))}) if kept else describe_task(task)


def parse_task(text: str | bytes, task_id: str) -> Task:
    """A task as it was enqueued.

    Raises:
        ValueError: It cannot be read, or it has another id than the one it is stored under.
    """
    task = schema.read(_TASK, text)
    if task.id != task_id:
        raise ValueError(f"under {task_id} there is a task of another id")
    return task


def describe_outcome(outcome: Outcome) -> str:
    """An outcome as it is stored."""
    return outcome.__pydantic_serializer__.to_json(outcome).decode()  # see describe_task


def parse_outcome(text: str | bytes) -> Outcome | None:
    """The outcome of an attempt; None if this version does not know its kind."""
    is_known = json.loads(text)["status"] in _OUTCOMES
    return schema.read(OUTCOME, text) if is_known else None


def parse_head(text: str | bytes) -> dict[str, Any]:
    """A feature without its tasks."""
    found = json.loads(text)
    return {name: found[name] for name in HEAD if name in found}


def describe_batches(
    batches: Iterable[Batch], routes: Mapping[str, Route], expected: float, cap: int
) -> tuple[dict[str, str], dict[str, str], dict[str, int | str]]:
    """Batches as they are stored.

    Args:
        batches: In order.
        routes: The specialist of each task.
        expected: Expected seconds of all batches together.
        cap: The cap of the plan.

    Returns:
        The fields of the hashes batches, plan and counts.
    """
    batches = list(batches)
    described, places, rank = {}, {}, 0
    totals: dict[str, int | str] = {"0:total": NO_TASKS}
    last_unknown = max((batch.number for batch in batches if batch.due is None), default=0)
    for batch in batches:
        adds = batch.expected if batch.adds is None else batch.adds
        expected = max(0.0, expected - adds)
        is_known = batch.number > last_unknown
        described[str(batch.number)] = _described(batch, expected if is_known else None, cap)
        totals[f"{batch.number}:total"] = len(batch.tasks)
        for task in batch.tasks:
            rank += 1
            places[task] = f"{rank}:{batch.number}:{routes[task].specialist}"
    return described, places, totals


def _described(batch: Batch, after: float | None, cap: int) -> str:
    """A batch as it is stored. `after`: seconds of all later batches; None if these or its own are not known."""
    adds = batch.expected if batch.adds is None else batch.adds
    fields: dict[str, Any] = {"tasks": batch.tasks}
    if after is not None:
        fields |= {"expected": round(adds, 3), "after": round(after, 3)}
    if batch.due is not None:
        fields |= {"due": round(batch.due, 3), "cap": cap}
    return json.dumps(fields)


def ranked(rank: int, place: str) -> str:
    """An entry of the plan with another rank in the launch order.

    Example:
        >>> ranked(1, "7:2:writer")
        '1:2:writer'
    """
    return f"{rank}:{place.split(':', 1)[1]}"


def describe_joins(plan: Schedule) -> dict[str, dict[str, Any]]:
    """The hashes `waits` and `dependents` of dataflow: how many tasks each waits for, and which wait for it, if any."""
    depends_on = {task.id: task.depends_on for task in plan.feature.tasks}
    waits = {task: len(dependencies) for task, dependencies in depends_on.items() if dependencies}
    dependents = {task: json.dumps(names) for task, names in graph.dependents(depends_on).items() if names}
    return {"waits": waits, "dependents": dependents} if waits else {}


def describe_growth(
    decided: Growth, routes: Mapping[str, Route], stored: Mapping[str, str | None]
) -> dict[str, Any]:
    """A growth as grow.lua reads it.

    Args:
        decided: The growth.
        routes: The specialists of the new tasks.
        stored: The changed tasks as they are stored now.
    """
    described, totals, after, is_known = {}, {}, 0.0, True
    for batch in reversed(decided.batches[max(0, decided.shape.open - 1) :]):
        is_known = is_known and batch.due is not None
        described[batch.number] = _described(batch, after if is_known else None, decided.shape.cap)
        totals[batch.number] = len(batch.tasks)
        after += batch.expected
    events = []
    if decided.added:
        single = decided.added[0].id if len(decided.added) == 1 else ""
        events.append(_recorded("tasks_added", total=len(decided.added), task=single, note=decided.note))
    for task in decided.changed:
        waits_for = ", ".join(task.depends_on)
        events.append(_recorded("dependencies_changed", task=task.id, cause=waits_for, note=decided.note))
    return {
        "unlaunched": decided.unlaunched,
        "added": len(decided.added),
        "tasks": {
            **{task.id: describe_task(task) for task in decided.added},
            **{task.id: describe_changed(task, stored.get(task.id)) for task in decided.changed},
        },
        "specialists": {task.id: routes[task.id].specialist for task in decided.added},
        "moved": decided.moved,
        "batches": described,
        "totals": totals,
        "ended": list(decided.ended),
        "schema": schema.needed(task.id for task in decided.added),
        "meta": {
            "total": len(decided.feature.tasks),
            "batches": len(decided.batches),
            "expected": decided.expected,
            "strategy": decided.strategy,
            **({"resourced": 1} if any(task.resources for task in decided.added) else {}),
        },
        "events": events,
    }


def describe_replacement(task: Task, stored: str | None, added: Sequence[Task]) -> dict[str, Any]:
    """Tasks that stand in the place of another one, as replace.lua reads them.

    Args:
        task: The task that they replace. From now on it depends on those of them that nothing else waits for.
        stored: That task as it is stored now.
        added: They.
    """
    depends_on = {one.id: one.depends_on for one in added} | {task.id: task.depends_on}
    new = {one.id for one in added}
    inside = {name: [each for each in names if each in new] for name, names in depends_on.items()}
    dependents = graph.dependents(inside)
    return {
        "order": [one.id for one in added],
        "tasks": {
            **{one.id: describe_task(one) for one in added},
            task.id: describe_changed(task, stored),
        },
        "specialists": {one.id: calls.specialist_of(str(one.call)) for one in added},
        "waits": {name: len(names) for name, names in inside.items() if names},
        "dependents": {name: json.dumps(names) for name, names in dependents.items() if names},
        "schema": schema.needed(new),
        "event": _recorded("tasks_added", total=len(added), task=task.id, cause="replaced"),
    }


def _recorded(event: str, **fields: str | int) -> list[str]:
    return [event, *(str(part) for pair in fields.items() for part in pair)]


def describe_transitions(table: Mapping[Any, Mapping[str, str]]) -> str:
    """The transitions of a feature's flow as they are stored: a line "event status target" for each.

    Example:
        >>> describe_transitions({"feature_cancelled": {"planning": "cancelled"}})
        '\\nfeature_cancelled planning cancelled'
    """
    rows = [(event, *arrow) for event, arrows in table.items() for arrow in arrows.items()]
    return "".join(f"\n{event} {status} {target}" for event, status, target in rows)


def parse_transitions(text: str) -> dict[str, dict[str, str]]:
    """Read the text of `describe_transitions`, or the JSON of schemas before 4.

    Example:
        >>> parse_transitions(describe_transitions({"feature_cancelled": {"planning": "cancelled"}}))
        {'feature_cancelled': {'planning': 'cancelled'}}
    """
    if text.startswith("{"):
        return dict(json.loads(text))
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines()[1:]:
        event, status, target = line.split()
        found.setdefault(event, {})[status] = target
    return found


def parse_members(described: Any, batches: Sequence[int] | None = None) -> dict[str, int]:
    """Task id → batch number, in launch order.

    Args:
        described: The values of the hash `batches`: of all batches as a mapping by number, or of those in `batches` as
            a list, with None for a missing one.
        batches: Numbers of batches.
    """
    if batches is None:
        rows = sorted((int(number), text) for number, text in described.items())
    else:
        rows = [(number, text) for number, text in zip(batches, described, strict=True) if text]
    return {task: number for number, text in rows for task in json.loads(text)["tasks"]}


_EVENT_FIELDS = Event.model_fields.keys() - {"id", "time", "source", "target"}


def parse_event(entry: str, fields: Mapping[str, str]) -> Event:
    """An entry of the stream of events."""
    return Event(
        id=entry,
        time=int(entry.split("-")[0]) / 1000,
        source=fields.get("from", ""),
        target=fields.get("to", ""),
        **{name: value for name, value in fields.items() if name in _EVENT_FIELDS},
    )


def describe_tail(tail: Tail) -> str:
    """The end of an attempt's output as it is stored: in base64, because it may begin in the middle of a character."""
    return f"{tail.attempt} {tail.end} {base64.b64encode(tail.data).decode()}"


def parse_tail(text: str) -> Tail:
    """Read the text of `describe_tail`.

    Example:
        >>> parse_tail(describe_tail(Tail(attempt=2, end=700, data=b"the end")))
        Tail(attempt=2, end=700, data=b'the end')
    """
    attempt, end, data = text.split(" ")
    return Tail(int(attempt), int(end), base64.b64decode(data))
