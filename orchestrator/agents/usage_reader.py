"""Reads what an agent's events say of its usage, whatever its program means by the numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.agents.events import first_at, matches, value_at
from orchestrator.config.schema.agent_runtimes import AgentRuntime, EventResult, EventUsage, UsageFields
from orchestrator.model.usage import COUNTED, MOST_MONEY, MOST_TOKENS, Usage, higher


def whole(value: Any) -> int:
    """A count from an event; 0 where it is none.

    Example:
        >>> whole(12), whole(-3), whole("7"), whole(True)
        (12, 0, 0, 0)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # NaN is not between them, nor is what no float can hold.
    return int(value) if 0 <= value <= MOST_TOKENS else 0


def dollars(value: Any) -> float | None:
    """A cost from an event; None where it is none, or 0: so do programs say that they know no price."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= MOST_MONEY else None


def plain_model(name: Any) -> str:
    """The name of a model without a note behind it, such as that of its context: claude-x[1m] is claude-x."""
    if not isinstance(name, str) or name.startswith("<"):  # such as <synthetic>: no model said it
        return ""
    return re.sub(r"\[[^\]]*\]$", "", name)[:200]


def read(written: Any, fields: UsageFields, model: str = "") -> Usage:
    """The usage that an event tells, in our meaning: input without cache, output with reasoning.

    Example:
        >>> fields = UsageFields(cache_read="/cached_input_tokens", includes_cache=True)
        >>> read({"input_tokens": 1200, "cached_input_tokens": 1000, "output_tokens": 50}, fields).input
        200
    """
    cache_read, cache_write = (whole(first_at(written, at)) for at in (fields.cache_read, fields.cache_write))
    given, output = whole(first_at(written, fields.input)), whole(first_at(written, fields.output))
    reasoning = whole(first_at(written, fields.reasoning))
    if fields.excludes_reasoning:
        output += reasoning
    if fields.total:
        said = whole(first_at(written, fields.total)) - given
        output = max(output, said if fields.includes_cache else said - cache_read - cache_write)
    cost = dollars(first_at(written, fields.cost))
    return Usage(
        model=model,
        input=max(0, given - cache_read - cache_write) if fields.includes_cache else given,
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        reasoning=reasoning,
        cost=cost,
        source="unknown" if cost is None else "reported",
    )


def is_empty(usage: Usage) -> bool:
    """It counts nothing."""
    return not (usage.tokens or usage.cache_read or usage.cost)


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two usages of the same model."""
    marks = {name: min(MOST_TOKENS, getattr(one, name) + getattr(other, name)) for name in COUNTED}
    costs = [usage.cost for usage in (one, other) if usage.cost is not None]
    source = "reported" if costs else "unknown"
    return one.model_copy(
        update={**marks, "cost": min(float(MOST_MONEY), sum(costs)) if costs else None, "source": source}
    )


def without(sum_: Usage, before: Usage | None) -> Usage:
    """A conversation's sum without what it had used before."""
    if before is None:
        return sum_
    marks = {name: max(0, getattr(sum_, name) - getattr(before, name)) for name in COUNTED}
    cost = sum_.cost if sum_.cost is None else max(0.0, sum_.cost - (before.cost or 0.0))
    return sum_.model_copy(update={**marks, "cost": cost})


def _with_shares(usages: list[Usage], cost: float) -> list[Usage]:
    """The usages of several models with their shares of one cost, by their tokens."""
    tokens = sum(used.tokens for used in usages)
    shares = [used.tokens / tokens if tokens else 1 / len(usages) for used in usages]
    return [
        used.model_copy(update={"cost": cost * share, "source": "reported"})
        for used, share in zip(usages, shares, strict=True)
    ]


class UsageReader:
    """Keeps the usage of a run, by model. To read an event again changes nothing, where requests have ids.

    Args:
        runtime: How its events are to be read.
        baseline: What the conversation had used before this run, for programs that report its sum.
    """

    def __init__(self, runtime: AgentRuntime, baseline: Usage | None = None) -> None:
        self._runtime, self._baseline = runtime, baseline
        self._requests: dict[str, Usage] = {}
        self._current: dict[str, str] = {}
        self._last: dict[str, Usage] = {}
        self._total: Usage | None = baseline
        self._turns_said = 0

    @property
    def turns(self) -> int:
        """Requests to the model; 0 where nothing says how many."""
        return len(self._requests) or self._turns_said

    @property
    def session_total(self) -> Usage | None:
        """What the conversation has used in all: the baseline of the next run. None: the program does not say it."""
        return self._total if self._runtime.usage.scope == "session" else None

    def feed(self, event: Any, model: str) -> bool:
        """Read an event; `model` is the one that works, where it names none. Returns whether it tells of usage."""
        tells = False
        for turn in self._runtime.turn:
            if matches(event, turn.when) and isinstance(written := value_at(event, turn.at), Mapping):
                self._feed_turn(event, turn, read(written, self._runtime.usage, model))
                tells = True
        final = self._runtime.final
        if final and matches(event, final.when):
            self._feed_final(event, final, model)
            tells = True
        return tells

    def _feed_turn(self, event: Any, turn: EventUsage, used: Usage) -> None:
        named, thread = value_at(event, turn.id), str(value_at(event, turn.thread))
        if turn.goes_on:
            key = self._current.get(thread, "")
        else:
            key = str(named)[:200] if isinstance(named, str | int) else f"#{len(self._requests)}"
        if not key or is_empty(used):
            return
        self._current[thread] = key
        before = self._requests.get(key)
        if before:
            self._requests[key] = higher(before, used.model_copy(update={"model": before.model}))
        else:
            said = plain_model(value_at(event, turn.model)) or used.model
            self._requests[key] = used.model_copy(update={"model": said, "requests": 1})

    def _feed_final(self, event: Any, final: EventResult, model: str) -> None:
        self._turns_said = max(self._turns_said, whole(value_at(event, final.turns)))
        found = list(self._of_final(event, final, model))
        cost = dollars(value_at(event, final.cost))
        if cost is not None and all(used.cost is None for used in found):
            found = _with_shares(found or [Usage(model=model)], cost)
        for used in found:
            before = self._last.get(used.model)
            self._last[used.model] = higher(before, used) if before else used

    def _of_final(self, event: Any, final: EventResult, model: str) -> list[Usage]:
        fields = self._runtime.usage
        by_model = value_at(event, final.models)
        if isinstance(by_model, Mapping) and by_model:
            named = [(plain_model(name), written) for name, written in by_model.items()]
            return [read(written, fields, name) for name, written in named if isinstance(written, Mapping)]
        written = value_at(event, final.usage)
        if not isinstance(written, Mapping):
            return []
        used = read(written, fields, model)
        if fields.scope == "session":
            self._total = higher(self._total, used) if self._total else used
            used = without(used, self._baseline)
        return [used]

    def usages(self, *, model: str, is_over: bool, turns: int, known: Mapping[str, Any]) -> tuple[Usage, ...]:
        """The usage so far, one value for each model.

        Args:
            model: The model that works.
            is_over: The run has said everything.
            turns: Requests to the model, where no event tells their number.
            known: What else stands in each usage, such as its tier.
        """
        found: dict[str, Usage] = {}
        for used in self._requests.values():
            found[used.model] = added(found[used.model], used) if used.model in found else used
        for name, used in self._last.items():
            found[name] = higher(found[name], used) if name in found else used
        if not self._requests and (main := found.get(model)):
            found[model] = main.model_copy(update={"requests": turns})
        known = {**known, "partial": not is_over}
        return tuple(used.model_copy(update=known) for used in found.values() if not is_empty(used))
