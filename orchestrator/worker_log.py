"""A worker's log as JSON, a line for each record, where `logging.json` is set."""

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
        if cast("App", self.app).settings.logging.json:
            formatter = JsonFormatter
        return super().setup_handlers(logger, logfile, format, colorize, formatter=formatter, **more)


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
            "message": output.plain(record),
            "process": record.process,
            **_attempt(record),
            **{name: value for name, value in record.__dict__.items() if name not in STANDARD},
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def _attempt(record: logging.LogRecord) -> dict[str, Any]:
    """The attempt that a record is about: by what Celery says of it, or by the task that writes it."""
    about = record.__dict__.get("data")
    request = about.get("id") if isinstance(about, dict) else None
    if request is None and current_task:
        request = current_task.request.id
    found = identifiers.attempt_of(str(request))
    return dict(zip(("feature", "task", "attempt"), found, strict=True)) if found else {}
