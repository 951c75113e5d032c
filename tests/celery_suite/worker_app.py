"""The Celery app of the suite's tasks, with the engine installed: for the worker, and to enqueue."""

from __future__ import annotations

import os
import sys

from celery import Celery

import orchestrator
from tests.celery_suite import source

sys.path.append(str(source.unpack()))

app = Celery(
    "suite",
    broker=os.environ["TEST_BROKER"],
    backend=os.environ["TEST_BACKEND"],
    include=["t.integration.tasks"],
    set_as_current=False,
)
app.conf.result_extended = True  # as in the suite's own worker
orchestrator.install(app)
