"""The argument of a specialist."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.model.task import Task
from orchestrator.specialists.context import Context, FeatureHead


def test_a_path_is_made_when_it_is_asked_for_and_once() -> None:
    made: list[str] = []

    def make() -> Path:
        made.append("")
        return Path("work")

    context = Context(
        task=Task(id="T1"),
        feature=FeatureHead(id="auth", title="Login"),
        attempt=1,
        specialist="reviewer",
        title="Reviewer",
        workdir=make,
        log_file=Path("T1.log"),
    )
    assert not made
    assert context.workdir == context.workdir == Path("work")
    assert len(made) == 1
    assert context.log_file == Path("T1.log")
    assert context.trace == {}


def test_a_path_has_to_be_given() -> None:
    with pytest.raises(TypeError, match="workdir"):
        Context(
            task=Task(id="T1"),
            feature=FeatureHead(id="auth", title="Login"),
            attempt=1,
            specialist="reviewer",
            title="Reviewer",
            log_file=Path("T1.log"),
        )
