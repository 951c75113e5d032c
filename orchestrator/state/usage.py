"""What agents have used, in Redis."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

from orchestrator.model import sanitizer
from orchestrator.model.usage import COUNTED, MICRO, Spent, Usage, UsageRow, dearest_first, summed
from orchestrator.state import schema
from orchestrator.state.script_runner import ScriptRunner, readable
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    import redis

DAYS_KEPT = 400
"""Days for which the sums of a day are kept."""

DAY_SECONDS = 86_400

By = Literal["task", "specialist", "model"]


class AttemptUsage(Usage):
    """What an attempt has used of a model."""

    task: str
    attempt: int
    specialist: str = ""


class UsageScripts:
    """Counts what agents use, and sums it up.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def report(
        self, feature_id: str, task_id: str, attempt: int, specialist: str, usages: Sequence[Usage]
    ) -> Spent:
        """Count what an attempt has used so far. A report may come twice, late, or after a newer one.

        Args:
            feature_id, task_id, attempt: The attempt; it may have ended.
            specialist: Its specialist.
            usages: The largest values seen, of each model.

        Returns:
            What has been used by now; nothing where there is no such attempt.
        """
        given = {
            "task": task_id,
            "attempt": attempt,
            "specialist": specialist,
            "usages": json.dumps([_described(usage) for usage in usages]),
            "kept_ms": DAYS_KEPT * DAY_SECONDS * 1_000,
        }
        (answer,) = self._runner.run_on(feature_id, Call("usage", given), ends=True)
        _, task, tokens, feature, day = answer
        return Spent(int(task) / MICRO, int(tokens), int(feature) / MICRO, int(day) / MICRO)

    def spent(self, feature_id: str, task_id: str) -> Spent:
        """What has been used so far."""
        key = self._runner.keys.feature(feature_id).usage
        names = [f"spent {task_id}", f"tokens {task_id}", "spent"]
        task, tokens, feature = (int(value or 0) for value in self._runner.client.hmget(key, names))
        seconds, _ = self._runner.client.time()
        today = self._runner.keys.usage_of_day(int(seconds) // DAY_SECONDS)
        day = int(self._runner.client.hget(today, "spent") or 0)
        return Spent(task / MICRO, tokens, feature / MICRO, day / MICRO)

    def of_feature(self, feature_id: str) -> list[AttemptUsage]:
        """What each attempt of a feature has used, of each model, the oldest attempt of a task first.

        Raises:
            UnreadableFeature: It cannot be read.
        """
        found = list[AttemptUsage]()
        stored = self._runner.client.hgetall(self._runner.keys.feature(feature_id).usage)
        with readable(feature_id):
            for field, text in stored.items():
                attempt, _, task = str(field).partition(":")
                if attempt.isdigit():
                    found += [_read(task, int(attempt), mark) for mark in json.loads(text).values()]
        return sorted(found, key=lambda usage: (usage.task, usage.attempt, usage.model))

    def rows(self, feature_id: str, by: By) -> list[UsageRow]:
        """The sums of a feature by task, specialist or model, the dearest first."""
        groups = defaultdict[str, list[Usage]](list)
        for usage in self.of_feature(feature_id):
            groups[str(getattr(usage, by))].append(usage)
        return dearest_first(summed(name, usages) for name, usages in groups.items())

    def days(self, count: int) -> list[tuple[str, str, UsageRow]]:
        """What agents have used on the last days, the newest first: specialist, model, and a sum, named by its day."""
        seconds, _ = self._runner.client.time()
        today = int(seconds) // DAY_SECONDS
        pipeline: redis.client.Pipeline = self._runner.client.pipeline(transaction=False)
        for day in range(today, today - count, -1):
            pipeline.hgetall(self._runner.keys.usage_of_day(day))
        found = list[tuple[str, str, UsageRow]]()
        for day, stored in zip(range(today, today - count, -1), pipeline.execute(), strict=True):
            groups = defaultdict[tuple[str, str], dict[str, int]](dict)
            for field, value in stored.items():
                if field == "spent":  # of all together
                    continue
                specialist, model, kind = str(field).split("\t")
                groups[specialist, model][kind] = int(value)
            name = datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
            found += [
                (specialist, model, _row(name, counts))
                for (specialist, model), counts in sorted(groups.items())
            ]
        return found


def _described(usage: Usage) -> dict[str, object]:
    found = usage.model_dump(exclude_defaults=True)
    if usage.cost is not None:
        found |= {"cost": round(usage.cost * MICRO), "source": usage.source}
    return found | {"model": sanitizer.as_line(usage.model)}


def _read(task: str, attempt: int, mark: dict[str, object]) -> AttemptUsage:
    cost = mark.get("cost")
    known = {**mark, "task": task, "attempt": attempt}
    if isinstance(cost, int | float):
        known["cost"] = cost / MICRO
    return schema.read(TypeAdapter(AttemptUsage), json.dumps(known))


def _row(name: str, counts: dict[str, int]) -> UsageRow:
    cost = counts.get("cost")
    return UsageRow(
        name=name,
        **{kind: counts.get(kind, 0) for kind in COUNTED},
        cost=None if cost is None else cost / MICRO,
        unknown=counts.get("unknown", 0),
    )
