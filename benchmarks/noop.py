"""Specialists whose work costs nothing, or a known time: what is left to measure is the orchestrator."""

from __future__ import annotations

import time

from orchestrator import Context


def noop(context: Context) -> None:
    """Do nothing."""


def sleep(context: Context) -> None:
    """Take as long as the task's params say, in seconds."""
    time.sleep(float(str(context.task.params["seconds"])))
