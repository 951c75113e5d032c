"""The Celery app of the comparison: as reliable as Celery can be told to be, and nothing of ours."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from tests.chaos import work

URL = "CHAOS_PLAIN_URL"
VISIBILITY = "CHAOS_PLAIN_VISIBILITY"

_url = os.environ.get(URL, "redis://")

app = Celery("plain", broker=_url, backend=_url, set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
if os.environ.get(VISIBILITY):
    app.conf.broker_transport_options = {"visibility_timeout": float(os.environ[VISIBILITY])}


@app.task(name="plain.sleep")
def sleep(feature: str, task: str, seconds: float) -> None:
    """Work as the tasks of the load do, and leave the same trace."""
    folder = Path(os.environ[work.EFFECTS])
    work.write(folder, feature, task, "began", 1, os.getpid())
    time.sleep(seconds)
    work.write(folder, feature, task, "done", 1, os.getpid())
