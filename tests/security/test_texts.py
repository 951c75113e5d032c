"""Texts from outside (the page on security): what in them could do more than be read gets nowhere."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from celery.utils.log import ColorFormatter
from pydantic import ValidationError

from orchestrator.config.schema.limits import Limits
from orchestrator.config.settings import Settings
from orchestrator.engine.worker_log import JsonFormatter, Logging
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import Blocked, Completed, Failed
from orchestrator.model.sanitizer import unwanted
from orchestrator.model.task import Task
from orchestrator.notify import rules
from orchestrator.planning import extension
from orchestrator.specialists.python import outcome_of
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.specialists.contexts import a_context
from tests.state.factories import Run, launched

HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\x9bc\u202ed\u200be\u200df\U000e0041g\u2066h\ufeffi\r\n\u2028[ERROR] j"
CLEAN = "abcdefghi\n\n[ERROR] j"
LINE = "abcdefghi [ERROR] j"

CHARACTERS = list("\x1b\x07\x9b\u202e\u2066\u200e\u061c\u200b\u200d\ufeff\U000e0041")


def a_store() -> Store:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    return Store(client, Keys("to"))


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda character: f"U+{ord(character):04X}")
@pytest.mark.parametrize("field", ["title", "description", "specialist", "tags"])
def test_titles_tags_and_descriptions_take_no_control_characters(field: str, character: str) -> None:
    """Titles, tags and descriptions take no control characters, and none that turns the direction of a text, has no
    width, or is a tag."""
    text = f"a{character}b"
    given: Any = {"id": "T1", field: [text] if field == "tags" else text}
    with pytest.raises(ValidationError, match=f"control character \\(U\\+{ord(character):04X}\\)"):
        Task.model_validate(given)
    if field != "specialist":
        with pytest.raises(ValidationError, match="control character"):
            Feature.model_validate({"title": "F", **given, "id": "f", "tasks": [{"id": "T1"}]})


def hold(run: Run) -> None:
    run.ask("T1", TaskEvent.TASK_HELD, HOSTILE, revoke=True)


def request_changes(run: Run) -> None:
    run.reopen("T2", note=HOSTILE)


def cancel(run: Run) -> None:
    run.cancel(HOSTILE)


def assign(run: Run) -> None:
    run.store.requests.assign(run.id, "T3", "reviewer", HOSTILE)


@pytest.mark.parametrize("asks", [hold, request_changes, cancel, assign])
def test_what_people_say_is_made_plain_before_it_is_stored(asks: Callable[[Run], None]) -> None:
    """Control characters are taken out of notes before they are stored; the line breaks of a note stay."""
    run = launched(a_store(), task("T1"), task("T2"), task("T3", "T1"))
    run.start("T1")
    run.do("T2", Failed(reason="broken"))
    asks(run)
    notes = [event.note for event in run.store.events.read(run.id) if event.note]
    assert notes == [CLEAN]


def test_the_note_of_a_growth_is_made_plain() -> None:
    """The same, where a feature grows."""
    run = launched(a_store(), task("T1"))
    grown = extension.grow(run.store.tasks.shape(run.id), [Task(id="T9")], {}, HOSTILE)
    assert grown.note == CLEAN


def test_what_a_specialist_says_of_its_progress_is_one_plain_line() -> None:
    """The note of a progress is one line."""
    run = launched(a_store(), task("T1"))
    run.start("T1")
    run.store.attempts.report_progress(run.id, "T1", 1, 50.0, HOSTILE)
    assert run.store.tasks.state(run.id, "T1").note == LINE


@pytest.mark.parametrize(
    "outcome", [Completed(summary=HOSTILE), Failed(reason=HOSTILE, tail=HOSTILE), Blocked(reason=HOSTILE)]
)
def test_an_outcome_is_made_plain(outcome: Completed | Failed | Blocked) -> None:
    """Control characters are taken out of outcomes before they are stored."""
    kept = outcome_of(outcome, Limits())
    assert getattr(kept, "summary", "") + getattr(kept, "reason", "") == CLEAN
    assert kept.tail in ("", CLEAN)


def lines_of_a_worker(settings: Settings, log: Callable[[logging.Logger], None]) -> str:
    """What a worker's log, set up as Celery does, holds of what is logged."""
    app: Any = type("App", (), {"settings": settings, "conf": {}})()
    setup, logger, stream = Logging.__new__(Logging), logging.Logger("alone"), io.StringIO()
    setup.app = app
    setup.setup_handlers(logger, stream, "[%(levelname)s] %(message)s", False, formatter=ColorFormatter)
    log(logger)
    return stream.getvalue()


def an_error(logger: logging.Logger) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("failed: %s", HOSTILE)


def test_only_a_record_begins_a_line_of_a_workers_log() -> None:
    """A record of the worker's log is one line; the lines of an error's story are indented, so none looks like another
    record."""
    text = lines_of_a_worker(Settings(), an_error)
    first, *others = text.splitlines()
    assert first == f"[ERROR] failed: {LINE}"
    assert others
    assert all(line.startswith("  ") for line in others)
    assert unwanted(text, breaks=True) == ""


def test_a_workers_log_in_json_is_plain() -> None:
    """The same of a log as JSON, once it is read."""
    record = logging.makeLogRecord({"msg": HOSTILE, "rows": HOSTILE})
    assert {json.loads(JsonFormatter().format(record))[name] for name in ("message", "rows")} == {CLEAN}


def test_what_a_specialist_logs_is_one_line_for_every_handler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that a specialist logs by its context is one line in every format."""
    a_context(tmp_path).logger.warning("it says %s", HOSTILE)
    assert caplog.messages == [f"[auth/T1 attempt 1] it says {LINE}"]


def test_the_texts_of_a_notification_are_lines() -> None:
    """The texts of a webhook are each one plain line, whatever Redis holds."""
    event = Event(id="1-0", time=1.0, event="blocker_detected", task="T1", note=HOSTILE, cause=HOSTILE)
    told = rules.message("auth", HOSTILE, event, HOSTILE)
    assert (told["title"], told["task_title"], told["note"], told["cause"]) == (LINE, LINE, LINE, LINE)
    assert told["text"] == f"{LINE}: T1 {LINE}: blocked ({LINE}): {LINE}"
