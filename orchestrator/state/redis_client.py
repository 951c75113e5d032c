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


class _OfThread(threading.local):
    is_held = False
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
        self._of_thread = _OfThread()
        super().__init__(*args, **options)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep one connection for the commands of this thread in the block: the pool tests it for each command else.

        Example:
            with client.held():
                client.get("a"), client.get("b")
        """
        self._of_thread.is_held = True
        try:
            yield
        finally:
            self._of_thread.is_held, connection = False, self._of_thread.connection
            self._of_thread.connection = None
            if connection:
                self.connection_pool.release(connection)

    @property
    def connection(self) -> Any:
        """The connection that redis-py uses; None: it takes one of the pool."""
        here = self._of_thread
        if here.is_held and here.connection is None:
            here.connection = self.connection_pool.get_connection()
        return here.connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._of_thread.connection = connection

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command.

        Raises:
            RedisUnreachable: Redis did not answer.
            RedisRefuses: It answered with an error.
        """
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except UNTRANSLATED:
            raise
        except redis.RedisError as error:
            raise refusals.translate(error, self.url) from None

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
