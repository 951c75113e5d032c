"""A step that is needed seldom is not taken in every round."""

from __future__ import annotations

import pytest

from orchestrator.engine.round import Round


def test_a_step_runs_once_in_so_many_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a step for every five seconds, and a clock
    clock, taken = [100.0], list[float]()
    monkeypatch.setattr("orchestrator.engine.round.time.monotonic", lambda: clock[0])

    def step() -> None:
        taken.append(clock[0])

    # When rounds come every second
    steps = Round("w1")
    for second in range(12):
        clock[0] = 100.0 + second
        steps.run(steps.every(5.0, step))

    # Then
    assert taken == [100, 105, 110]


def test_a_step_that_failed_runs_again_in_the_next_round() -> None:
    tries: list[str] = []

    def step() -> None:
        tries.append("again")
        if len(tries) == 1:
            raise ConnectionError

    steps = Round("w1")
    for _ in range(3):
        steps.run(steps.every(3_600.0, step))

    assert tries == ["again", "again"]
