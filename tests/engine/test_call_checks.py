"""Calls are checked before they are stored: their arguments, and the types of the results that flow into them."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from celery import Celery

from orchestrator.engine import call_checks, calls
from orchestrator.model import errors
from orchestrator.model.task import Task


@pytest.fixture
def app() -> Celery:
    app = Celery("proj", set_as_current=False)
    task = functools.partial(app.task, shared=False)

    @task(name="count")
    def count() -> int:
        return 1

    @task(name="name")
    def name() -> str:
        return "a"

    @task(name="maybe")
    def maybe() -> str | None:
        return None

    @task(name="scale", bind=True)
    def scale(self: Any, by: float, of: list[int] | str = "") -> None: ...

    @task(name="anything", typing=False)
    def anything(x: int) -> None: ...

    app.finalize()
    return app


def check(app: Celery, producer: str, **kwargs: Any) -> None:
    call_checks.check(app, [Task(id="T1", call=producer), Task(id="T2", call="scale", kwargs=kwargs)])


def test_arguments_that_fit(app: Celery) -> None:
    check(app, "count", by={"result": "T1"})
    check(app, "maybe", by={"result": "T1"})  # nobody knows
    check(app, "name", by={"result": "T1", "path": "0"})
    check(app, "name", by=1, of={"result": "T1"})
    call_checks.check(app, [Task(id="T1", call="elsewhere", args=[1]), Task(id="T2", call="anything")])


@pytest.mark.parametrize(
    ("kwargs", "cause"),
    [
        ({}, "missing"),
        ({"by": 1, "off": 2}, "off"),
        ({"by": {"result": "T1"}}, "by is to be float, and T1 returns str"),
    ],
)
def test_arguments_that_do_not(app: Celery, kwargs: dict[str, Any], cause: str) -> None:
    with pytest.raises(errors.BadCall, match=cause):
        check(app, "name", **kwargs)


LATE = """
from late_app import app

@app.task(name="late", queue="slow", shared=False)
def late(x: int): ...
"""


def test_the_modules_of_a_task_that_is_not_known_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the queue that its decorator names is known, and its arguments are checked."""
    (tmp_path / "late_tasks.py").write_text(LATE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    app = Celery("proj", set_as_current=False, include=["late_tasks"])
    monkeypatch.setitem(sys.modules, "late_app", SimpleNamespace(app=app))
    assert calls.destination(app, "late")["queue"].name == "celery"
    call_checks.check(app, [Task(id="T1", call="late", args=[1])])
    assert calls.destination(app, "late")["queue"].name == "slow"
    with pytest.raises(errors.BadCall, match="late"):
        call_checks.check(app, [Task(id="T1", call="late")])


def test_modules_that_cannot_be_imported_here_refuse_nothing() -> None:
    app = Celery("proj", set_as_current=False, include=["no_such_module_of_tasks"])
    with mock.patch.object(call_checks.logger, "warning") as warning:
        for _ in range(2):
            call_checks.check(app, [Task(id="T1", call="late", args=[1])])
    warning.assert_called_once()
    assert "no_such_module_of_tasks" in warning.call_args.args[2]
