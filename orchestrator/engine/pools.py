"""The differences between Celery's pools: some run tasks in pool processes, others in the worker's main process."""

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
"""The modules of the pools that our promises are tested with (see docs/explanation/stopping.md)."""


def has_processes(kind: type) -> bool:
    """Whether a class of pools runs tasks in pool processes, which can be ended one by one."""
    return PROCESSES in _modules(kind)


def can_take(kind: type) -> bool:
    """Whether the processes or threads of a class of pools can take messages by themselves."""
    return bool({PROCESSES, "celery.concurrency.solo", "celery.concurrency.thread"} & _modules(kind))


def keeps_time_limit(kind: type) -> bool:
    """Whether a class of pools keeps the hard time limit of a worker. Celery's others ignore it in silence."""
    return bool({PROCESSES, "celery.concurrency.gevent"} & _modules(kind))


def check(kind: type) -> None:
    """Refuse a class of pools that cannot keep our promises.

    Raises:
        PoolRefused: It is not one of Celery's own, or its library did not patch Python in time.
    """
    modules = _modules(kind)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not set(KNOWN) & modules:
        raise errors.PoolRefused(
            pool=name,
            cause="it is not one of Celery's own, so nobody knows whether it can end a task",
        )
    for library, is_ready in (("gevent", _gevent_is_ready), ("eventlet", _eventlet_is_ready)):
        if f"celery.concurrency.{library}" in modules and not is_ready():
            raise errors.PoolRefused(
                pool=library,
                cause=f"{library} did not patch the standard library before it was loaded, so the first task that "
                "waits would stop all others and the renewal of their leases. Celery patches it if the pool is "
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


def accept_given_jobs(pool: Any) -> None:
    """Mark the jobs that a pool has given to a process as accepted, although the process has not confirmed them yet.

    When the consumer closes, at a shutdown or after the connection was lost, Celery's pool forgets unconfirmed jobs
    (`AsynPool.flush`). They run all the same, and nobody would renew their leases, end them after the grace period, or
    wait for their end.
    """
    for job in tuple(getattr(getattr(pool, "_pool", None), "_cache", {}).values()):
        if getattr(job, "_write_to", None) is not None:
            job._accepted = True


def process_at_work(request: Any) -> int | None:
    """The id of the pool process that runs a request; None if it runs in the main process, or does not run."""
    import psutil  # late: an enqueue does not need it

    pid = request.worker_pid
    with contextlib.suppress(psutil.Error, OverflowError, TypeError, ValueError):
        if pid != os.getpid() and psutil.Process(pid).ppid() == os.getpid():
            return int(pid)
    return None


def process_given(request: Any) -> int | None:
    """The id of the pool process that took a request, or that was given it and has not confirmed it yet."""
    if request.worker_pid is not None:
        return int(request.worker_pid)
    job = request._apply_result() if request._apply_result else None
    process = getattr(job, "_write_to", None)
    return process.pid if process else None


def processes(pool: Any) -> set[int]:
    """The ids of a pool's living processes."""
    return {
        process.pid
        for process in list(getattr(getattr(pool, "_pool", None), "_pool", ()))
        if process._is_alive()
    }
