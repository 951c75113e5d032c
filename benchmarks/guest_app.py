"""A Celery app as a project has it, with the engine installed: its workers run its own tasks, and features of them.

Its broker, its results and the state of its features lie in one database of the rig's Redis. Each task has a queue of
its own, so that workers with different options take from different queues.
"""

from __future__ import annotations

import os

from celery import Celery

import orchestrator
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings

URL, STATE = "BENCHMARKS_GUEST_URL", "BENCHMARKS_GUEST_STATE"

DEFAULTS, ONE = "guest.noop", "guest.noop_one"
"""The task of the worker that is as it comes, and that of the worker with `--prefetch-multiplier 1`."""

app = Celery("guest", broker=os.environ.get(URL), backend=os.environ.get(URL), set_as_current=False)
app.conf.broker_connection_retry_on_startup = True


@app.task(name=DEFAULTS, queue=DEFAULTS, shared=False)
def noop(*_: object) -> None:
    """Do nothing."""


@app.task(name=ONE, queue=ONE, shared=False)
def noop_one(*_: object) -> None:
    """Do nothing."""


orchestrator.install(app, Settings(redis=RedisSettings(url=os.environ[STATE]), limits={"events": 1_000_000}))
