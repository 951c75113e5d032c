"""What the tests of the agents' real programs need; where it is missing, they are skipped and say why."""

from __future__ import annotations

import shutil

import pytest

from tests.agents.real import namespace
from tests.agents.real.programs import BIN, PROGRAMS


def missing() -> str:
    """What is missing for them here, or nothing."""
    if absent := [name for name in PROGRAMS if not (BIN / name).exists()]:
        return f"not installed: {', '.join(absent)} (make agent-clis)"
    if not shutil.which("node"):
        return "there is no node here (Node.js 20 or newer)"
    if not namespace.is_inside():
        return namespace.missing() or "they run where only loopback is: make test-agents"
    return ""


WHY_NOT = missing()

real_programs = (
    pytest.mark.agents,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "nothing is missing"),
)
"""The marks of a test that runs them."""
