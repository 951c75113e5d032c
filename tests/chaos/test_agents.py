"""A short run of fake agents with faults, judged: `make chaos-agents` for a third of a minute."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from chaos import agents
from chaos.agent_laws import check
from chaos.run import Weather

pytestmark = pytest.mark.real

WEATHER = Weather(seconds=20, every=2.0, feature_every=2.5, kinds=agents.FAULTS)


def test_no_law_is_broken() -> None:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))  # short, because it holds a socket
    history, strikes = agents.run_agents(folder, 7, WEATHER)
    violations = check(history)
    if violations:
        (folder / "history.json").write_text(history.model_dump_json(), "utf-8")
    assert not violations, f"{list(map(str, violations))}; all that is left is in {folder}"
    assert strikes
    assert any(work.completed for work in history.works)
    assert any(mark.stored for mark in history.marks)
    shutil.rmtree(folder)
