"""Calls are checked before they are stored: their arguments, and the types of the results that flow into them."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from celery import Celery

from orchestrator.engine import call_checks
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
