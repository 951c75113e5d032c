"""A worker's log as JSON."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.settings import Settings
from orchestrator.engine.worker_log import JsonFormatter, Logging
from tests.specialists.contexts import a_context


def lines(records: list[logging.LogRecord]) -> list[dict[str, Any]]:
    return [json.loads(JsonFormatter().format(record)) for record in records]


def test_a_specialist_says_which_attempt_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a_context(tmp_path, attempt=2).logger.warning("%s is slow", "the disk", extra={"rows": 3})
    (line,) = lines(caplog.records)
    assert line["message"] == "the disk is slow"
    assert (line["feature"], line["task"], line["attempt"], line["rows"]) == ("auth", "T1", 2, 3)
    assert (line["level"], line["logger"]) == ("WARNING", "orchestrator.specialists.reviewer")


def test_what_celery_says_of_a_task_has_its_attempt(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("celery.app.trace")
    logger.error(
        "Task %(name)s failed",
        {"name": "writer"},
        extra={"data": {"id": "auth:T1:3:0f3a9c5e71d2", "name": "writer"}},
    )
    logger.error("mingle", extra={"data": {"id": "0c9d", "name": "other"}})
    first, second = lines(caplog.records)
    assert (first["message"], first["feature"], first["task"], first["attempt"]) == (
        "Task writer failed",
        "auth",
        "T1",
        3,
    )
    assert "feature" not in second
    assert "data" not in second


def test_an_error_is_one_line() -> None:
    try:
        raise ValueError("kaputt\nin two lines, ü \ud800")
    except ValueError:
        # Not by a logger: pytest keeps what is logged, and cannot send half a character to its main process.
        record = logging.LogRecord("app", logging.ERROR, __file__, 1, "it broke", (), sys.exc_info())
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["traceback"].startswith("Traceback")


@pytest.mark.parametrize("asked", [True, False])
def test_it_is_asked_for(asked: bool, tmp_path: Path) -> None:
    given: Any = {"json": asked}
    app: Any = type("App", (), {"settings": Settings(logging=given), "conf": {}})()
    setup = Logging.__new__(Logging)
    setup.app = app
    logger = logging.Logger("alone")
    setup.setup_handlers(logger, str(tmp_path / "log"), "%(message)s", False)
    assert isinstance(logger.handlers[0].formatter, JsonFormatter) is asked
    logger.handlers[0].close()
