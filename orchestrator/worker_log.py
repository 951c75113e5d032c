"""A worker's log: plain text, in which each record begins a line, or JSON where `logging.json` is set."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from celery import current_task
from celery.app import log
from celery.utils.log import ColorFormatter

from orchestrator import identifiers
from orchestrator.specialists import output
from orchestrator.texts import as_line, as_text

if TYPE_CHECKING:
    from orchestrator.celery import App

STANDARD = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "data", "color"})
"""What every record has, and what Celery adds for its own formatters; all else was given with `extra`."""


class Logging(log.Logging):
    """Celery's way to set up logging, with our formatter where it is asked for."""

    def setup_handlers(
        self,
        logger: Any,
        logfile: Any,
        format: Any,
        colorize: Any,
        formatter: Any = ColorFormatter,
        **more: Any,
    ) -> Any:
        """Give a logger its handler; called by Celery."""
        is_json = cast("App", self.app).settings.logging.json
        formatter = JsonFormatter if is_json else _plainly(formatter)
        return super().setup_handlers(logger, logfile, format, colorize, formatter=formatter, **more)


class PlainFormatter(logging.Formatter):
    """A record on one line. Lines of an error's story are indented, so that none looks like another record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # as logging calls it
        """The line, with a message of one line."""
        record.message = as_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the story of the error where there is one."""
        line, *story = as_text(super().format(record)).split("\n")
        return "\n".join([line, *(f"  {each}" for each in story)])


def _plainly(formatter: type[logging.Formatter]) -> type[logging.Formatter]:
    """Celery's formatter, which adds colours of its own to a text that is plain."""
    return type(formatter.__name__, (formatter, PlainFormatter), {})


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, process; feature, task and attempt where it is about one."""

    def __init__(
        self, format: str | None = None, datefmt: str | None = None, use_color: object = None
    ) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """One line. Line breaks and what is not ASCII are escaped."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": as_text(output.plain(record)),
            "process": record.process,
            **_attempt(record),
            **{name: _value(value) for name, value in record.__dict__.items() if name not in STANDARD},
        }
        if record.exc_info:
            fields["traceback"] = as_text(self.formatException(record.exc_info))
        return json.dumps(fields, default=str)


def _value(value: object) -> object:
    return as_text(value) if isinstance(value, str) else value


def _attempt(record: logging.LogRecord) -> dict[str, Any]:
    """The attempt that a record is about: by what Celery says of it, or by the task that writes it."""
    about = record.__dict__.get("data")
    request = about.get("id") if isinstance(about, dict) else None
    if request is None and current_task:
        request = current_task.request.id
    found = identifiers.attempt_named(str(request))
    return dict(zip(("feature", "task", "attempt"), found, strict=True)) if found else {}
