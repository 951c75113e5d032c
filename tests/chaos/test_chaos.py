"""A short run with faults, judged: `make chaos` for a quarter of a minute."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from chaos import checker
from chaos import run as runs
from chaos.history import History
from chaos.report import report
from chaos.run import Weather, run
from orchestrator.model import errors
from orchestrator.state import redis_binary, script_sources, scripts

pytestmark = pytest.mark.real

SEED = 20
WEATHER = Weather(
    seconds=15,
    every=2.0,
    feature_every=1.5,
    workers=3,
    kinds=(
        "kill-worker",
        "kill-child",
        "kill-redis",
        "cut-connections",
        "drop-message",
        "duplicate-message",
        "poison-message",
    ),
)


CALM = Weather(seconds=8, every=3_600.0, feature_every=1.0, workers=2)
"""People have their whims, and no fault happens."""

GIVES_AWAY = ("if held and tonumber(held) > 0 then", "if false then")
"""As transition_task.lua once was: what a person moves gives its slot away before its attempt has ended."""


def test_a_slot_that_a_persons_word_gives_away_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    source = script_sources.sources()["transition_task"]
    assert source.count(GIVES_AWAY[0]) == 1
    planted = {**script_sources.sources(), "transition_task": source.replace(*GIVES_AWAY)}
    monkeypatch.setattr(script_sources, "sources", lambda: planted)
    monkeypatch.setattr(runs, "PATIENCE", 5.0)  # it may not settle
    monkeypatch.setattr(runs, "forget_all", lambda cluster: None)
    scripts.compose.cache_clear()
    try:
        broken = {violation.law for violation in checker.check(a_run(CALM))}
    finally:
        monkeypatch.undo()
        scripts.compose.cache_clear()
    assert broken & {"nothing_outlives_its_attempt", "processes_end_first"}


def a_run(weather: Weather) -> History:
    """A run under this weather, where there is a Redis to run."""
    try:
        redis_binary.find()
    except errors.NoRedisServer as error:
        pytest.skip(str(error))
    # Not tmp_path: a socket lies in it, whose path has room for a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return run(Path(folder), SEED, weather)


def test_under_faults_nothing_is_lost_and_nothing_committed_twice() -> None:
    # Given three workers, a load of random features, and a fault every two seconds
    history = a_run(WEATHER)

    # Then no law is broken
    violations = checker.check(history)
    assert not violations, "\n".join(map(str, violations))
    # and something was done, and something was harmed
    found = report(history, violations)
    assert found.lost == 0
    assert found.completed >= len(history.stories)
    assert len(history.strikes) >= 4
