"""Forks that are safe beside threads: a child must not inherit a lock that a thread of its parent holds.

Two rules prevent it. The threads beside a worker's main thread work inside `held_off`, and a fork waits until none of
them is inside. And each process opens its own connections: a forked child gets a new pool for each client of
`own_connections_in_children`, so it shares neither sockets nor locks with its parent.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 2.0
"""Seconds that a fork waits for the threads. If one hangs on a silent Redis, the fork goes on and risks its locks."""


class Gate:
    """Any number of threads may be inside; a fork closes it and waits until all are out."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: dict[int, int] = {}
        self._is_closed = False

    def enter(self) -> None:
        """Go in, once no fork is under way. A thread may enter more than once."""
        me = threading.get_ident()
        with self._condition:
            if me not in self._inside:
                self._condition.wait_for(lambda: not self._is_closed, PATIENCE)
            self._inside[me] = self._inside.get(me, 0) + 1

    def leave(self) -> None:
        """Go out, as often as in."""
        me = threading.get_ident()
        with self._condition:
            depth = self._inside.pop(me, 0)  # 0 in a child that was forked inside: its gate is a new one
            if depth > 1:
                self._inside[me] = depth - 1
            self._condition.notify_all()

    def step_out(self) -> int:
        """Go out completely. Returns how often this thread had entered, for `step_in`."""
        if threading.get_ident() not in self._inside:  # only this thread could change that
            return 0
        with self._condition:
            depth = self._inside.pop(threading.get_ident(), 0)
            self._condition.notify_all()
        return depth

    def step_in(self, depth: int) -> None:
        """Be inside again as before `step_out`."""
        for _ in range(depth):
            self.enter()

    def close(self) -> None:
        """Before a fork: let no thread in, and wait until all others are out."""
        me = threading.get_ident()
        with self._condition:
            self._is_closed = True
            self._condition.wait_for(lambda: not self._inside.keys() - {me}, PATIENCE)

    def open(self) -> None:
        """After a fork, in the parent."""
        with self._condition:
            self._is_closed = False
            self._condition.notify_all()


_gate = Gate()
_clients: weakref.WeakKeyDictionary[Any, Callable[[], Any]] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Hold off forks while this thread works. Keep it short, and wait for nothing inside.

    Example:
        with held_off():
            store.attempts.renew(attempts, lease=10)
    """
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


@contextlib.contextmanager
def let_through() -> Iterator[None]:
    """Let forks through inside `held_off`, while this thread waits for somebody else.

    Example:
        with let_through():
            target.send(message)
    """
    depth = _gate.step_out()
    try:
        yield
    finally:
        _gate.step_in(depth)


def let_one_through() -> None:
    """Let a waiting fork through, between two steps of long work inside `held_off`."""
    if depth := _gate.step_out():
        _gate.step_in(depth)


def own_connections_in_children(client: Any, make_client: Callable[[], Any]) -> None:
    """Let a redis-py client open connections of its own in each process that is forked from this one.

    Args:
        client: The client; only a weak reference to it is kept.
        make_client: Makes another one like it, with no connection open.
    """
    _clients[client] = make_client


def _begin_child() -> None:
    global _gate
    _gate = Gate()
    for client, make_client in list(_clients.items()):
        fresh = make_client()
        fresh.auto_close_connection_pool = False
        client.connection_pool = fresh.connection_pool


os.register_at_fork(
    before=lambda: _gate.close(), after_in_parent=lambda: _gate.open(), after_in_child=_begin_child
)
