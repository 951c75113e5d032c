"""What agents have used, in Redis."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

from orchestrator.model import sanitizer
from orchestrator.model.usage import (
    COUNTED,
    MICRO,
    Account,
    Allowed,
    Spent,
    Usage,
    UsageRow,
    dearest_first,
    summed,
)
from orchestrator.state import schema
from orchestrator.state.script_runner import ScriptRunner, readable
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    import redis

DAYS_KEPT = 400
"""Days for which the sums of a day are kept."""

DAY_SECONDS = 86_400

NO_BUDGETS = Allowed()

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

    def reserve(self, feature_id: str, task_id: str, attempt: int, allowed: Allowed) -> Account:
        """Keep for an attempt what its task may still cost, out of what is left of all budgets (see reserve.lua).

        Args:
            feature_id, task_id, attempt: The attempt; a worker holds it.
            allowed: The budgets as configured.

        Returns:
            The account; where a budget is used up or others hold what is left of it, nothing is kept.
        """
        given = {
            **_budgets(task_id, allowed),
            "attempt": attempt,
            "day_budget": _micro(allowed.day),
        }
        (answer,) = self._runner.run_on(feature_id, Call("reserve", given), ends=True)
        code, which, kept, *figures = answer
        return _account(allowed, kept, figures)._replace(lacks=which if code == "held" else "")

    def report(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        specialist: str,
        usages: Sequence[Usage],
        allowed: Allowed = NO_BUDGETS,
    ) -> Account:
        """Count what an attempt has used so far. A report may come twice, late, or after a newer one.

        Args:
            feature_id, task_id, attempt: The attempt; it may have ended.
            specialist: Its specialist.
            usages: The largest values seen, of each model.
            allowed: The budgets as configured.

        Returns:
            What has been used by now, and what may be; nothing may be where there is no such attempt.
        """
        given = {
            **_budgets(task_id, allowed),
            "attempt": attempt,
            "specialist": specialist,
            "usages": json.dumps([_described(usage) for usage in usages]),
            "kept_ms": DAYS_KEPT * DAY_SECONDS * 1_000,
        }
        (answer,) = self._runner.run_on(feature_id, Call("usage", given), ends=True)
        code, *rest = answer
        if code == "missing":
            return Account(allowed=allowed, held=0.0)
        kept, *figures = rest
        return _account(allowed, kept, figures)

    def account(self, feature_id: str, task_id: str, allowed: Allowed) -> Account:
        """The budgets that hold for a task and its feature, and what has been used of them.

        Args:
            feature_id, task_id: The task; "": only the feature matters.
            allowed: The budgets as configured; what a person set comes before them.
        """
        meta = self._runner.keys.feature(feature_id).meta
        task, feature = self._runner.client.hmget(meta, [f"budget {task_id}", "budget"])
        return Account(
            self.spent(feature_id, task_id),
            allowed._replace(
                cost=allowed.cost if task is None else int(task) / MICRO,
                feature=allowed.feature if feature is None else int(feature) / MICRO,
            ),
        )

    def kept(self) -> dict[str, float]:
        """Dollars that are kept for the agents at work of each feature."""
        found = [
            (*str(entry).split(":", 1), *str(stored).split(" "))
            for entry, stored in self._runner.client.hgetall(self._runner.keys.reserved).items()
        ]
        pipeline: redis.client.Pipeline = self._runner.client.pipeline(transaction=False)
        for feature, task, *_ in found:
            keys = self._runner.keys.feature(feature)
            pipeline.zscore(keys.slots, task)
            pipeline.hget(keys.states, task)
        answers = pipeline.execute() if found else []
        sums = defaultdict[str, float](float)
        for (feature, _, attempt, amount), score, state in zip(
            found, answers[::2], answers[1::2], strict=True
        ):
            if score and float(score) > 0 and state and json.loads(state).get("attempt") == int(attempt):
                sums[feature] += int(amount) / MICRO
        return dict(sums)

    def spent(self, feature_id: str, task_id: str) -> Spent:
        """What has been used so far."""
        key = self._runner.keys.feature(feature_id).usage
        names = [f"spent {task_id}", f"tokens {task_id}", f"requests {task_id}", "spent"]
        task, tokens, requests, feature = (int(value or 0) for value in self._runner.client.hmget(key, names))
        seconds, _ = self._runner.client.time()
        today = self._runner.keys.usage_of_day(int(seconds) // DAY_SECONDS)
        day = int(self._runner.client.hget(today, "spent") or 0)
        return Spent(task / MICRO, tokens, requests, feature / MICRO, day / MICRO)

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


def _micro(dollars: float | None) -> int | str:
    """An amount as the scripts take it: in millionths, "" for none."""
    return "" if dollars is None else round(dollars * MICRO)


def _budgets(task_id: str, allowed: Allowed) -> dict[str, object]:
    return {
        "task": task_id,
        "task_budget": _micro(allowed.cost),
        "feature_budget": _micro(allowed.feature),
    }


def _account(allowed: Allowed, kept: int, figures: Sequence[int]) -> Account:
    """The account that a script answers with; what a person set comes before what is configured."""
    task, tokens, requests, feature, day, task_budget, feature_budget, day_ends = map(int, figures)
    return Account(
        Spent(task / MICRO, tokens, requests, feature / MICRO, day / MICRO),
        allowed._replace(cost=_dollars(task_budget), feature=_dollars(feature_budget)),
        _dollars(kept),
        day_ends=day_ends / 1_000,
    )


def _dollars(micro: int) -> float | None:
    return None if micro < 0 else micro / MICRO


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
