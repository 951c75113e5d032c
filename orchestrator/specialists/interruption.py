"""Interrupts running code: raises an exception in it from another thread.

In a thread, the interpreter raises it between two steps of Python code. In the main thread, a signal handler raises it,
which also ends a blocking call. In a greenlet of gevent or eventlet, it is raised when the greenlet next waits.
A call into C that never returns cannot be interrupted.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNAL = signal.SIGURG
"""Ignored by default, so a late one does no harm; and no other code here uses it."""

Interrupt = Callable[[type[BaseException]], None]


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Provide a function with which another thread raises an exception in this block.

    It works once; after the block it does nothing.

    Example:
        with interruptible() as interrupt:
            threading.Timer(5, interrupt, [TimeoutError]).start()
            work()
    """
    if library := green_library():
        block = _in_greenlet(library)
    elif threading.current_thread() is threading.main_thread():
        block = _in_main_thread()
    else:
        block = _in_thread()
    with block as interrupt:
        yield interrupt


def green_library() -> str:
    """The library that replaces the threads of this process with greenlets; "" if none does."""
    monkey, patcher = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if monkey and monkey.is_module_patched("threading"):
        return "gevent"
    return "eventlet" if patcher and patcher.is_monkey_patched("thread") else ""


@contextlib.contextmanager
def _in_thread() -> Iterator[Interrupt]:
    me, lock = ctypes.c_ulong(threading.get_ident()), threading.Lock()
    told: list[type[BaseException]] = []
    is_over = False

    def interrupt(error: type[BaseException]) -> None:
        with lock:
            if not (is_over or told):
                told.append(error)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(me, ctypes.py_object(error))

    try:
        yield interrupt
    finally:
        with lock:
            is_over = True
        # It may not have been raised yet. To take it back instead would leave CPython 3.11 looking for it at each step,
        # and a traced program in an endless loop.
        with contextlib.suppress(*told):
            for _ in range(2):  # the interpreter raises it here at the latest, where a loop goes back
                pass


@contextlib.contextmanager
def _in_main_thread() -> Iterator[Interrupt]:
    told: list[type[BaseException]] = []
    ident = threading.get_ident()

    def interrupt(error: type[BaseException]) -> None:
        if not told:
            told.append(error)
            signal.pthread_kill(ident, SIGNAL)

    def ring(*_: object) -> None:
        signal.signal(SIGNAL, signal.SIG_IGN)
        raise told[0]

    before = signal.signal(SIGNAL, ring)
    try:
        yield interrupt
    finally:
        told.append(KeyboardInterrupt)  # nothing more is raised
        signal.signal(SIGNAL, before)


@contextlib.contextmanager
def _in_greenlet(library: str) -> Iterator[Interrupt]:
    me: Any = importlib.import_module("greenlet").getcurrent()
    is_over = is_told = False

    def raise_it(error: type[BaseException]) -> None:
        nonlocal is_told
        if not (is_over or is_told):
            is_told = True
            me.throw(error)

    def interrupt(error: type[BaseException]) -> None:
        # The loop throws: a thread that threw by itself could not go on until this greenlet waits or ends.
        if library == "gevent":
            importlib.import_module("gevent").get_hub().loop.run_callback(raise_it, error)
        else:
            importlib.import_module("eventlet.hubs").get_hub().schedule_call_global(0, raise_it, error)

    try:
        yield interrupt
    finally:
        is_over = True
