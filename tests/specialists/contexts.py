"""Contexts to give to specialists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.model.task import Task
from orchestrator.specialists import Context, FeatureHead


def a_context(folder: Path, task: Task | None = None, **given: Any) -> Context:
    """The first attempt at the task T1 of the feature auth, with its files under `folder`."""
    return Context(
        **{
            "task": task or Task(id="T1", title="Review"),
            "feature": FeatureHead(id="auth", title="Login"),
            "attempt": 1,
            "specialist": "reviewer",
            "title": "Reviewer",
            "workdir": folder / "work" / "T1",
            "log_file": folder / "logs" / "T1.log",
            **given,
        }
    )
