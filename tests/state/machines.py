"""Runs the stateful tests of the store on a Redis."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


class Redis:
    """The Redis for the next run of a machine."""

    client: Any = None

    @classmethod
    def empty(cls) -> Any:
        """The Redis, emptied."""
        cls.client.flushall()
        return cls.client


def play(machine: type[RuleBasedStateMachine], client: Any, *, examples: int, steps: int) -> None:
    """Run a machine `examples` times with at most `steps` steps each."""
    Redis.client = client
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],  # to shrink a failure takes minutes; add Phase.shrink to do it
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        Redis.client = None
