"""Shared by all pages of one Flower: the client, the settings, the secret, and the threads that ask Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from orchestrator.client.client import Client
from orchestrator.engine import flower_config
from orchestrator.web.snapshot import Snapshots
from orchestrator.web.streams import Streams

if TYPE_CHECKING:
    from celery import Celery

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
"""How many requests ask Redis at the same time; Flower's own threads stay free for Flower."""


class Site:
    """The pages of one Flower.

    Args:
        app: The Celery app that Flower watches; features run in it.
        options: Flower's options.
    """

    def __init__(self, app: Celery, options: Any) -> None:
        self.client = Client(app=app)
        self.settings = self.client.settings
        self.options = options
        given = self.settings.web.secret
        self.secret = given.get_secret_value() if given else secrets.token_urlsafe(24)
        self.snapshots = Snapshots(self.client)
        self.streams = Streams(self.client.store)
        self._threads = ThreadPoolExecutor(THREADS, "features")

    @property
    def has_password(self) -> bool:
        """Flower itself asks who comes."""
        return flower_config.is_protected(self.options)

    @property
    def is_read_only(self) -> bool:
        """Nobody may decide anything here."""
        return self.settings.web.read_only or bool(getattr(self.options, "read_only", False))

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that waits for Redis in a thread.

        Example:
            progress = await site.run(handle.progress)
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: function(*args, **kwargs)
        )
