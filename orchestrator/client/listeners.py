"""The workers that take from a queue."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.state import workers
from orchestrator.state.workers import Worker

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.client.client import Client

ANSWER_SECONDS = 1.0
"""Seconds after which a worker that does not answer counts as absent."""


def listeners(client: Client, queues: Iterable[str] = ()) -> Mapping[str, Sequence[Worker]]:
    """Each queue with the workers that take from it.

    Workers announce themselves in Redis, also while they are too busy to answer a ping (Celery's pool `solo`). Only
    where one of `queues` has none, or there is none at all, are they pinged as well: they may be of an older version.
    """
    present = client.store.workers.present()
    if client.settings.is_embedded:  # all of them run on this machine
        present = [worker for worker in present if is_running(worker.pid)]
    found = workers.by_queue(present)
    is_covered = all(queue in found for queue in queues)
    return found if found and is_covered else {**pinged(client.app), **found}


def pinged(app: Celery) -> dict[str, list[Worker]]:
    """Each queue with the workers that take from it, as they answer themselves within a second."""
    from celery.app.control import DuplicateNodenameWarning  # type: ignore[attr-defined]

    from orchestrator.engine import queues  # late: it brings all of Celery

    with warnings.catch_warnings():
        # Two of one name is a finding of `orchestrator doctor`, and no line in every report.
        warnings.simplefilter("ignore", DuplicateNodenameWarning)
        answers = app.control.inspect(timeout=ANSWER_SECONDS).active_queues() or {}
    return workers.by_queue(
        Worker(id=name, name=name, queues=tuple(queues.display_names(taken)))
        for name, taken in sorted(answers.items())
    )


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
