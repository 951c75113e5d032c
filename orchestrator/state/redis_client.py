"""redis-py's client, with errors that people can act on."""

from __future__ import annotations

from typing import Any

import redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from orchestrator.state import refusals

UNTRANSLATED = (redis.DataError, NoScriptError)
"""Errors left as they are: the command was never sent, or `scripts.run` sends it again with the script."""


class RedisClient(redis.Redis):
    """A client of Redis whose errors are RedisUnreachable and RedisRefuses, and redis-py's own as well.

    Example:
        client = RedisClient.from_pool(redis.ConnectionPool(host="cache"))
        client.url = "redis://cache"
    """

    url = "Redis"
    """The server, as messages name it: without a password."""

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
