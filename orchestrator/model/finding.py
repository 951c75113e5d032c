"""A finding: what one check of the doctor found."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.model.fields import Model


class Level(StrEnum):
    """How bad it is. A problem keeps features from running as promised; a warning may be as you want it."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Model):
    """The result of one check."""

    name: str
    level: Level
    text: str
    remedy: str = ""


def ok(name: str, text: str) -> Finding:
    """All is as it should be."""
    return Finding(name=name, level=Level.OK, text=text)


def warning(name: str, text: str, remedy: str) -> Finding:
    """It may be as you want it, and may not."""
    return Finding(name=name, level=Level.WARNING, text=text, remedy=remedy)


def problem(name: str, text: str, remedy: str) -> Finding:
    """It keeps features from running as promised."""
    return Finding(name=name, level=Level.PROBLEM, text=text, remedy=remedy)


def unreadable(name: str, command: str) -> Finding:
    """A check that could not be made, for Redis refused what it asks."""
    return warning(
        name,
        f"could not read it: {command} was refused",
        f"Allow {command} to the user in redis.url, or look by hand.",
    )
