"""The Celery app of the comparison: plain Celery, with its most reliable settings."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from chaos import work

URL = "CHAOS_PLAIN_URL"
VISIBILITY = "CHAOS_PLAIN_VISIBILITY"
SLEEP = "plain.sleep"
PASS = "plain.pass"


def create(url: str, visibility: float | None) -> Celery:
    """Make the app.

    Args:
        url: Its broker, and its result backend.
        visibility: The visibility timeout in seconds; None: Celery's own, an hour.
    """
    app = Celery("plain", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": visibility} if visibility else {},
    )
    app.task(name=SLEEP)(sleep)
    app.task(name=PASS)(pass_on)
    return app


def sleep(feature: str, task: str, seconds: float) -> None:
    """Work like a task of the load, and leave the same trace."""
    folder = Path(os.environ[work.EFFECTS])
    work.write(folder, feature, task, "began", 1, os.getpid())
    time.sleep(seconds)
    work.write(folder, feature, task, "done", 1, os.getpid())


def pass_on() -> None:
    """Do nothing, between two groups."""


app = create(os.environ.get(URL, "redis://"), float(os.environ.get(VISIBILITY, 0)) or None)
