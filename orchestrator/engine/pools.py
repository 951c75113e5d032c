"""The pools that Celery brings, as far as they differ: in processes of their own, or in the worker's main process."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from celery.concurrency.base import BasePool

from orchestrator.model import errors

PROCESSES = "celery.concurrency.prefork"
KNOWN = (
    PROCESSES,
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.concurrency.gevent",
    "celery.concurrency.eventlet",
)
"""Modules of the pools with which all promises are tested (see docs/explanation/stopping.md)."""


def has_processes(kind: type) -> bool:
    """Whether a class of pools runs tasks in processes of their own, which can be ended one by one."""
    return PROCESSES in _modules(kind)


def ends_in_time(kind: type) -> bool:
    """Whether a class of pools keeps the hard time limit of a worker: Celery's own others pass over it in silence."""
    return bool({PROCESSES, "celery.concurrency.gevent"} & _modules(kind))


def check(kind: type) -> None:
    """Refuse a class of pools that cannot keep what is promised.

    Raises:
        PoolRefused: It is none of Celery's own, or its library was not made ready for it at the start.
    """
    modules = _modules(kind)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not set(KNOWN) & modules:
        raise errors.PoolRefused(
            pool=name,
            cause="it is none of Celery's own, so nobody knows whether it ends what it is told to end",
        )
    for library, is_ready in (("gevent", _gevent_is_ready), ("eventlet", _eventlet_is_ready)):
        if f"celery.concurrency.{library}" in modules and not is_ready():
            raise errors.PoolRefused(
                pool=library,
                cause=f"{library} did not patch the standard library before it was loaded, so the first task that "
                "waits would stop all others and the renewal of their leases. Celery sees to it where the pool is "
                f"named in two words: --pool {library}",
            )


def _modules(kind: type) -> set[str]:
    return {base.__module__ for base in kind.__mro__ if issubclass(base, BasePool)}


def _gevent_is_ready() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return bool(monkey and monkey.is_module_patched("threading"))


def _eventlet_is_ready() -> bool:
    patcher = sys.modules.get("eventlet.patcher")
    return bool(patcher and patcher.is_monkey_patched("thread"))


def keep_what_was_taken(pool: Any) -> None:
    """Keep a pool from forgetting what it has given to a process that did not say yet that it took it.

    Celery's forgets that when the consumer closes, at a shutdown and when the connection is lost (`AsynPool.flush`). It
    runs all the same: nobody would renew its lease, end it after the grace, or wait for it with an end.
    """
    for job in tuple(getattr(getattr(pool, "_pool", None), "_cache", {}).values()):
        if getattr(job, "_write_to", None) is not None:
            job._accepted = True


def process_at_work(request: Any) -> int | None:
    """The process of a pool that lives and runs a request; None where it runs in the main process, or does not run."""
    import psutil  # here, so that whoever only enqueues does not wait for it

    pid = request.worker_pid
    with contextlib.suppress(psutil.Error, OverflowError, TypeError, ValueError):
        if pid != os.getpid() and psutil.Process(pid).ppid() == os.getpid():
            return int(pid)
    return None


def process_given(request: Any) -> int | None:
    """The process of a pool that took a request, or that was given it and did not say yet that it took it."""
    if request.worker_pid is not None:
        return int(request.worker_pid)
    job = request._apply_result() if request._apply_result else None
    process = getattr(job, "_write_to", None)
    return process.pid if process else None


def processes(pool: Any) -> set[int]:
    """The processes of a pool that live."""
    return {
        process.pid
        for process in list(getattr(getattr(pool, "_pool", None), "_pool", ()))
        if process._is_alive()
    }
