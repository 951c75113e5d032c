"""The limits across features, in Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.planning import limits
from orchestrator.planning.limits import Holder, Limit
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    from orchestrator.state.script_runner import ScriptRunner


class LimitScripts:
    """Reads and changes the limits across all features.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def all(self) -> list[Limit]:
        """Every limit in force with its holders, by name."""
        amounts = self._runner.client.hgetall(self._runner.keys.limits)
        return [self._read(str(name), str(amounts[name])) for name in sorted(amounts)]

    def find(self, name: str) -> Limit:
        """A limit as it stands now; a limit that is not in force has no amount and no holders."""
        if limits.is_of_files(name):
            return self._read(name, "1")
        return self._read(name, str(self._runner.client.hget(self._runner.keys.limits, name) or "0"))

    def configure(self, wanted: Mapping[str, str], *, reset: bool = False) -> list[str]:
        """Store the configured limits. A limit that a person has set stays until its configuration changes.

        Args:
            wanted: All limits, as `limits.configured` gives them.
            reset: Replace also the limits that a person has set.

        Returns:
            The features to schedule now.
        """
        return self._change(wanted, "reset" if reset else "configure")

    def set(self, limit: str, amount: str) -> list[str]:
        """Set one limit until its configuration changes; `limits.change` gives the amount.

        Returns:
            The features to schedule now.
        """
        return self._change({limit: amount}, "set")

    def _change(self, amounts: Mapping[str, str], how: str) -> list[str]:
        given = {"amounts": json.dumps(dict(sorted(amounts.items()))), "how": how}
        answer: list[str] = self._runner.run(Call("set_limits", given))
        return answer

    def take_due(self) -> tuple[float | None, list[str]]:
        """Seconds until the next token or retry is due, and the features that have one due now."""
        left, wake = self._runner.run(Call("take_due"))
        return (float(left) / 1000 if left else None), wake

    def repair(self) -> list[str]:
        """Take back the units that deleted features hold; returns the features to schedule now."""
        answer: list[str] = self._runner.run(Call("repair_limits"))
        return answer

    def _read(self, name: str, amount: str) -> Limit:
        pipeline = self._runner.client.pipeline(transaction=True)
        pipeline.hget(self._runner.keys.used, name)
        pipeline.hgetall(self._runner.keys.holders(name))
        pipeline.zrange(self._runner.keys.waiting(name), 0, -1)
        pipeline.hget(self._runner.keys.arrival_times, name)
        pipeline.time()
        used, holders, queue, arrival, (seconds, micros) = pipeline.execute()
        entries = [entry.split(" ", 1) for entry in queue]
        waiting = self._runner.client.pipeline(transaction=False)
        for feature, kind in entries:
            waiting.zcard(self._runner.keys.feature(feature).waiting_of(kind))
        next_token = None
        if " " in amount:
            interval, burst = amount.split()
            earliest = float(arrival or 0) - (int(burst) - 1) * float(interval)
            next_token = max(0.0, earliest / 1000 - seconds - micros / 1e6)
        return Limit(
            name=name,
            amount=limits.written(amount),
            in_use=int(used or 0),
            waiting=sum(waiting.execute()) if entries else 0,
            features=len({feature for feature, _ in entries}),
            holders=tuple(
                Holder(feature=feature, task=task, units=int(units))
                for holder, units in sorted(holders.items())
                for feature, task in [holder.split(":", 1)]
            ),
            next_token=next_token,
        )
