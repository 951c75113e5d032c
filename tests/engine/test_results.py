"""Celery's own tools get the outcome of an attempt from the store, and wait for none that cannot come."""

from __future__ import annotations

import pytest
from celery.exceptions import TimeoutError as NoResultInTime

from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.engine.app import create
from orchestrator.model import identifiers
from orchestrator.model.outcome import Completed, Failed, Outcome
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import Run, launched

APP = create(Settings(redis=RedisSettings(url="redis://nowhere:1/0")))
TASK = "@babel/core"


@pytest.fixture
def run(store: Store) -> Run:
    return launched(store, task(TASK))


def result(run: Run, attempt: int = 1) -> object:
    return APP.AsyncResult(identifiers.of_attempt(run.id, TASK, attempt)).get(timeout=0)


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (Completed(summary="done"), "done"),
        (Completed(summary="done", result={"lines": 3}), {"lines": 3}),
        (Failed(reason="no"), "failed: no"),
    ],
)
def test_the_result_of_an_attempt_is_its_outcome(run: Run, outcome: Outcome, answer: object) -> None:
    run.do(TASK, outcome)

    assert result(run) == answer


def test_an_attempt_that_runs_is_waited_for_no_longer_than_asked(run: Run) -> None:
    run.start(TASK)

    with pytest.raises(NoResultInTime):
        result(run)


def test_an_attempt_of_which_nothing_is_kept_is_not_waited_for(run: Run) -> None:
    assert str(result(run, attempt=7)).startswith("no outcome of attempt 7 is kept")
