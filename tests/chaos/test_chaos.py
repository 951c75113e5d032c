"""A short run with faults, judged: `make chaos` for a quarter of a minute."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from orchestrator import embedded, errors
from tests.chaos import checker
from tests.chaos.report import report
from tests.chaos.run import Weather, run

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


def test_under_faults_nothing_is_lost_and_nothing_committed_twice() -> None:
    try:
        embedded.find_binary()
    except errors.NoRedisServer as error:
        pytest.skip(str(error))
    # Not tmp_path: a socket lies in it, whose path has room for a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        # Given three workers, a load of random features, and a fault every two seconds
        history = run(Path(folder), SEED, WEATHER)

    # Then no law is broken
    violations = checker.check(history)
    assert not violations, "\n".join(map(str, violations))
    # and something was done, and something was harmed
    found = report(history, violations)
    assert found.lost == 0
    assert found.completed >= len(history.stories)
    assert len(history.strikes) >= 4
