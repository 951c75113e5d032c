"""redis-py's client, with errors that people can act on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from orchestrator.state import refusals

UNTRANSLATED = (redis.DataError, NoScriptError)
"""Errors left as they are: the command was never sent, or `scripts.run` sends it again with the script."""


class _Held(threading.local):
    """The connection that a thread holds."""

    pool: Any = None
    """The pool that the connection is of. A forked child has another one (see `forks`), and holds nothing."""
    connection: Any = None


class RedisClient(redis.Redis):
    """A client of Redis whose errors are RedisUnreachable and RedisRefuses, and redis-py's own as well.

    Example:
        client = RedisClient.from_pool(redis.ConnectionPool(host="cache"))
        client.url = "redis://cache"
    """

    url = "Redis"
    """The server, as messages name it: without a password."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._held = _Held()
        super().__init__(*args, **options)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep one connection for the commands of this thread in the block: the pool tests it for each command else.

        Example:
            with client.held():
                client.get("a"), client.get("b")
        """
        held = self._held
        if held.pool:
            yield
            return
        held.pool = self.connection_pool
        try:
            yield
        finally:
            pool, connection = held.pool, held.connection
            held.pool = held.connection = None
            if connection:
                pool.release(connection)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command.

        Raises:
            RedisUnreachable: Redis did not answer.
            RedisRefuses: It answered with an error.
        """
        try:
            if self._held.pool is self.connection_pool and not options:
                return self._execute_held(args)
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except UNTRANSLATED:
            raise
        except redis.RedisError as error:
            raise refusals.translate(error, self.url) from None

    def _execute_held(self, args: tuple[Any, ...]) -> Any:
        held = self._held
        if held.connection is None:
            held.connection = held.pool.get_connection()
        connection = held.connection

        def ask() -> Any:
            if getattr(connection, "_sock", None) is None:
                connection.connect()  # behind sentinels only this looks for the master, sending does not
            connection.send_command(*args)
            return self.parse_response(connection, args[0])  # type: ignore[no-untyped-call]

        try:
            return connection.retry.call_with_retry(ask, lambda _: connection.disconnect())
        except redis.ResponseError:
            raise
        except BaseException:
            # Such as that of a signal handler: the next command must not read this answer.
            connection.disconnect()
            held.connection = None
            held.pool.release(connection)
            raise

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """A pipeline with the same errors."""
        pipeline = _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.url = self.url
        return pipeline


class _Pipeline(Pipeline):
    url = "Redis"

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return super().execute(raise_on_error)
        except UNTRANSLATED:
            raise
        except redis.RedisError as error:
            raise refusals.translate(error, self.url) from None
