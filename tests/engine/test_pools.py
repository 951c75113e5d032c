"""Which pools a worker may have, and what it keeps of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.concurrency import prefork, solo, thread
from celery.concurrency.base import BasePool

from orchestrator.engine import pools
from orchestrator.model import errors


class OfSomebody(BasePool):
    """A pool of somebody's own (CELERY_CUSTOM_WORKER_POOL)."""


class Named(prefork.TaskPool):
    """One of Celery's, with something added."""


@pytest.mark.parametrize("kind", [prefork.TaskPool, solo.TaskPool, thread.TaskPool, Named])
def test_celerys_own_are_taken(kind: type) -> None:
    pools.check(kind)
    assert pools.has_processes(kind) is issubclass(kind, prefork.TaskPool)
    assert pools.keeps_time_limit(kind) is issubclass(kind, prefork.TaskPool)


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_one_whose_library_is_not_ready_is_refused(library: str) -> None:
    kind = type("TaskPool", (BasePool,), {"__module__": f"celery.concurrency.{library}"})
    with pytest.raises(errors.PoolRefused, match=f"did not patch .* --pool {library}"):
        pools.check(kind)


def test_another_is_refused_with_the_reason() -> None:
    with pytest.raises(errors.PoolRefused) as refused:
        pools.check(OfSomebody)
    assert str(refused.value).startswith(
        f"The worker does not start with the pool {__name__}:OfSomebody: it is not one of Celery's own"
    )


def test_what_a_process_was_given_is_not_forgotten_and_what_none_was_given_is() -> None:
    given = SimpleNamespace(_write_to="a process", _accepted=False)
    waiting = SimpleNamespace(_write_to=None, _accepted=False)
    pools.accept_given_jobs(SimpleNamespace(_pool=SimpleNamespace(_cache={1: given, 2: waiting})))
    assert (given._accepted, waiting._accepted) == (True, False)


@pytest.mark.parametrize("kind", [solo.TaskPool, thread.TaskPool])
def test_there_is_nothing_to_keep_where_there_are_no_processes(kind: type) -> None:
    pools.accept_given_jobs(SimpleNamespace(_pool=None))
    pools.accept_given_jobs(None)
    assert not pools.has_processes(kind)
