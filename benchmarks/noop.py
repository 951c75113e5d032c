"""Specialists whose work costs nothing, or what is known: what is left to measure is the orchestrator."""

from __future__ import annotations

import time

from benchmarks.peers import fibonacci
from orchestrator import Context


def noop(context: Context) -> None:
    """Do nothing."""


def sleep(context: Context) -> None:
    """Take as long as the task's params say, in seconds."""
    time.sleep(float(str(context.task.params["seconds"])))


def clock(context: Context) -> list[float]:
    """Say when it was entered and left, by the clock that all processes of a machine share."""
    return [time.monotonic(), time.monotonic()]


def fibo(context: Context) -> int:
    """Compute the Fibonacci number that the task's params name."""
    return fibonacci.fibo(int(str(context.task.params["number"])))
