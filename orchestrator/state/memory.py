"""A Redis in the memory of this process, by fakeredis: for tests, and for a first try without a server.

Each name has its own, which all clients of the process share. Nobody else sees it, and it ends with the process.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from typing import Any

import redis

from orchestrator.model import errors
from orchestrator.model.commands import Launch

try:
    import fakeredis
    import lupa  # type: ignore[import-untyped]  # noqa: F401  # runs the scripts
except ModuleNotFoundError as error:
    raise errors.NoMemoryRedis(missing=str(error.name)) from None


class Server(fakeredis.FakeServer):
    """A server whose clock can be moved on."""

    def __init__(self) -> None:
        super().__init__(version=(7,))
        self.ahead = 0.0
        """Seconds that its clock is ahead of the machine's."""
        self.launched: deque[tuple[str, Launch]] = deque()
        """The launched attempts that wait for the worker of this process, each with its feature."""
        self.work = threading.RLock()
        """Held by the thread that does them: each client has a worker of its own, and they share the attempts."""

    @property
    def now(self) -> float:
        """The moment by its clock, in seconds since 1970."""
        return time.time() + self.ahead


class Connection(fakeredis.FakeRedisConnection):
    """A connection to such a server: the times in its answers are by its clock."""

    _server: Any  # fakeredis's own

    def _connect(self) -> Any:
        socket: Any = super()._connect()
        add = socket.xadd

        def read_time() -> list[bytes]:
            seconds, micros = divmod(round(self._server.now * 1_000_000), 1_000_000)
            return [b"%d" % seconds, b"%d" % micros]

        def add_entry(key: Any, *args: bytes) -> Any:
            place = args.index(b"*")
            return add(key, *args[:place], b"%d-*" % (self._server.now * 1000), *args[place + 1 :])

        socket.time, socket.xadd = read_time, add_entry
        return socket


_servers: defaultdict[str, Server] = defaultdict(Server)
_first = threading.Lock()
"""Of the threads that ask for a name first, one makes the server."""


def find(name: str) -> Server:
    """The server of a name. It is made when it is first asked for."""
    with _first:
        return _servers[name]


def forget(name: str) -> None:
    """Forget the server of a name, with all that it holds. The next `find` makes an empty one."""
    _servers.pop(name, None)


def pool(name: str) -> redis.ConnectionPool:
    """Connections to the server of a name, as redis-py takes them."""
    return redis.ConnectionPool(connection_class=Connection, server=find(name), decode_responses=True)
