"""The limits of models, which all agents share: a model that says "too many requests" is left alone until its reset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from orchestrator.state.script_runner import ScriptRunner
from orchestrator.state.scripts import Call


class ModelLimit(NamedTuple):
    """A model whose limit was reached."""

    model: str
    opens: float
    """Seconds until it opens; 0: it is open."""
    cap: int
    """How many attempts may work with it then."""


def read(stored: Mapping[Any, Any], now: float) -> list[ModelLimit]:
    """The limits of the key `models`, by model.

    Args:
        stored: What the key has.
        now: Seconds since the epoch, by the clock of Redis.
    """
    found = {str(model): json.loads(text) for model, text in stored.items()}
    return [
        ModelLimit(model, max(0.0, limit["opens"] / 1000 - now), int(limit["cap"]))
        for model, limit in sorted(found.items())
    ]


class ModelLimits:
    """Lets attempts in to the models that they use.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def enter(self, model: str, holder: str) -> float:
        """Begin to work with a model.

        Args:
            model: The model.
            holder: The attempt, "feature:task:number". It counts as at work while it runs.

        Returns:
            Seconds to wait before the next try; 0: it has begun.
        """
        return self._run(model, "enter", holder) / 1000

    def leave(self, model: str, holder: str, *, completed: bool) -> None:
        """End the work with a model; completed: its work is done, so that one more may be let in."""
        self._run(model, "completed" if completed else "leave", holder)

    def close(self, model: str, seconds: float) -> None:
        """Close a model for all, because its limit is reached, until so many seconds from now."""
        self._run(model, "close", seconds=seconds)

    def all(self) -> list[ModelLimit]:
        """The models whose limit was reached, and that are not as before yet."""
        stored = self._runner.client.hgetall(self._runner.keys.models)
        if not stored:
            return []
        seconds, micros = self._runner.client.time()
        return read(stored, seconds + micros / 1e6)

    def _run(
        self,
        model: str,
        action: Literal["enter", "leave", "completed", "close"],
        holder: str = "",
        seconds: float = 0.0,
    ) -> int:
        given = {"model": model, "action": action, "holder": holder, "ms": round(seconds * 1000)}
        return int(self._runner.run(Call("model_limit", given)))
