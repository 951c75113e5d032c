"""The formats of a worker's log: plain text with each record on its own line, or JSON (`logging.json`)."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from celery import current_task
from celery.app import log
from celery.utils.log import ColorFormatter

from orchestrator.model import identifiers
from orchestrator.model.sanitizer import as_line, as_text
from orchestrator.specialists import output

if TYPE_CHECKING:
    from orchestrator.engine.app import App

STANDARD = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "data", "color"})
"""The attributes of every record, and those that Celery adds. All others were given with `extra`."""


class Logging(log.Logging):
    """Celery's set-up of logging, with our formatters."""

    def setup_handlers(
        self,
        logger: Any,
        logfile: Any,
        format: Any,
        colorize: Any,
        formatter: Any = ColorFormatter,
        **more: Any,
    ) -> Any:
        """Called by Celery: give a logger its handler."""
        is_json = cast("App", self.app).settings.logging.json
        formatter = JsonFormatter if is_json else _plainly(formatter)
        return super().setup_handlers(logger, logfile, format, colorize, formatter=formatter, **more)


class PlainFormatter(logging.Formatter):
    """Writes a record on one line. The lines of a traceback are indented, so that none looks like a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # as logging calls it
        """The line, with line breaks of the message escaped."""
        record.message = as_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the traceback if there is one."""
        line, *traceback = as_text(super().format(record)).split("\n")
        return "\n".join([line, *(f"  {each}" for each in traceback)])


def _plainly(formatter: type[logging.Formatter]) -> type[logging.Formatter]:
    """Celery's formatter, which adds its colours after ours has made the text plain."""
    return type(formatter.__name__, (formatter, PlainFormatter), {})


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON: time, level, logger, message and process; if it is about one, also the attempt."""

    def __init__(
        self, format: str | None = None, datefmt: str | None = None, use_color: object = None
    ) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """One line. Line breaks and letters outside of ASCII are escaped."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": as_text(output.message_without_prefix(record)),
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
    """The attempt that a record is about: the one that Celery names, else the one that wrote it."""
    about = record.__dict__.get("data")
    request = about.get("id") if isinstance(about, dict) else None
    if request is None and current_task:
        request = current_task.request.id
    found = identifiers.attempt_named(str(request))
    return dict(zip(("feature", "task", "attempt"), found, strict=True)) if found else {}
