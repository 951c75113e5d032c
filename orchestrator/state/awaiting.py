"""Lets code that waits for Redis run on an event loop, by redis.asyncio, without a second copy of it.

`run` runs a function in a greenlet. Where its connection would block, `wait_for` leaves the greenlet, the event loop
awaits, and the function goes on with what came. SQLAlchemy's asyncio extension works the same way (its documentation,
"Asynchronous I/O", greenlet_spawn).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from orchestrator.config.urls import RedisUrl
from orchestrator.model import errors

try:
    import greenlet
except ModuleNotFoundError:
    raise errors.NoGreenlet from None

P = ParamSpec("P")
T = TypeVar("T")


class _Function(greenlet.greenlet):  # type: ignore[misc]  # it has no types
    """A greenlet that `run` started."""


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function to its end. While it waits for Redis, the event loop does other work.

    Raises:
        Exception: The function's own.

    Example:
        progress = await awaiting.run(handle.progress)
    """
    current = greenlet.getcurrent()
    runner = _Function(function, current)
    runner.gr_context = current.gr_context
    found = runner.switch(*args, **kwargs)
    while not runner.dead:
        try:
            answer = await found
        except BaseException:
            found = runner.throw(*sys.exc_info())
        else:
            found = runner.switch(answer)
    return cast("T", found)


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait within a function of `run`.

    Raises:
        RuntimeError: `run` did not start the function that calls.
        BaseException: The awaitable's own; CancelledError, if the task that awaits `run` is cancelled.
    """
    current = greenlet.getcurrent()
    if not isinstance(current, _Function) or current.parent is None:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise RuntimeError("this store is on an event loop; call it through AsyncClient")
    return cast("T", current.parent.switch(awaitable))


class AwaitedConnection(redis.Connection):
    """A connection of redis-py whose bytes go through one of redis.asyncio.

    Args:
        link: Makes that one.
        options: As redis-py's connection takes them.
    """

    def __init__(self, *, link: Callable[[], Awaitable[Any]], **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._make_link = link
        self._link: Any = None

    def connect(self) -> None:
        """Connect, unless it is connected."""
        if self._link is None or not self._link.is_connected:  # a new one, for the master may be another now
            self._link = wait_for(self._make_link())
            wait_for(self._link.connect())

    def disconnect(self, *_: Any, **__: Any) -> None:
        """Close it."""
        link, self._link = self._link, None
        if link is not None and isinstance(greenlet.getcurrent(), _Function):
            wait_for(link.disconnect(nowait=True))

    def check_health(self) -> None:
        """The connection beneath checks it."""

    def can_read(self, timeout: float | None = 0) -> bool:
        """Whether something has come that nobody asked for: the connection was left in the middle of an answer."""
        # redis-py 8 renamed it.
        can_read = getattr(self._link, "can_read", None) or self._link.can_read_destructive
        return bool(wait_for(can_read()))

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command."""
        self.connect()
        try:
            wait_for(self._link.send_packed_command(command, check_health=check_health))
        except BaseException:
            self.disconnect()
            raise

    def read_response(
        self,
        disable_decoding: bool = False,
        *,
        disconnect_on_error: bool = True,
        **_: Any,
    ) -> Any:
        """Read an answer.

        Raises:
            RedisError: The answer is an error, or the connection is gone.
        """
        try:
            return wait_for(
                self._link.read_response(
                    disable_decoding=disable_decoding, disconnect_on_error=disconnect_on_error
                )
            )
        except redis.exceptions.ReadOnlyError as error:
            self.disconnect()  # after a failover: sentinels name the new master
            raise redis.ConnectionError(str(error)) from error
        except BaseException:
            if (
                disconnect_on_error
            ):  # also when its task is cancelled: the answer would come to the next command
                self.disconnect()
            raise


def once() -> AsyncRetry:
    """No retries: they are the caller's."""
    return AsyncRetry(NoBackoff(), 0)


def linker(
    server: RedisUrl, options: dict[str, Any], sentinel_options: dict[str, Any]
) -> Callable[[], Awaitable[Any]]:
    """Makes the connections of redis.asyncio to a Redis: where sentinels name it, to the one that they name then.

    Args:
        server: The address.
        options: Options of the connections.
        sentinel_options: Options of the connections to the sentinels.
    """
    at_a_port: Any = redis.asyncio.SSLConnection if server.has_tls else redis.asyncio.Connection
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        server.hosts if server.has_sentinels else (),
        min_other_sentinels=server.sentinels.get("min_other_sentinels", 0),
        sentinel_kwargs={**sentinel_options, "retry": once()},
    )

    async def link() -> Any:
        if server.path:
            return redis.asyncio.UnixDomainSocketConnection(path=server.path, **options)
        (host, port), *_ = server.hosts
        if server.has_sentinels:
            host, port = await sentinels.discover_master(server.service)
        return at_a_port(host=host, port=port, **options)

    return link
