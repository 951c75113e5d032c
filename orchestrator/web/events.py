"""Server-sent events: what happens to a feature, and what a task puts out, as it happens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import redis
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from orchestrator.client import explaining, task_log
from orchestrator.contract import compact
from orchestrator.model import errors
from orchestrator.state.events import EVENT_ID
from orchestrator.web import parts, snapshot
from orchestrator.web.api import Call

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle
    from orchestrator.model.progress import Progress

JOIN_SECONDS = 0.1
"""Events within this time go out in one message."""

SILENT_SECONDS = 15.0
"""After so much silence a comment is sent, for proxies that close silent connections."""

LOG_SECONDS = 0.5
"""Between two looks at a log."""

LOG_BYTES = 256 * 1024
"""The most bytes of a log that are sent at once: of a longer one, its end."""


class Stream(Call):
    """A connection over which events are sent until the other side closes it."""

    _task: asyncio.Task[Any] | None = None

    async def tell(self, messages: AsyncIterator[str]) -> None:
        """Send messages until there are no more, or the connection is closed."""
        self.set_header("Content-Type", "text/event-stream; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep messages back
        self._task = asyncio.current_task()
        try:
            await self.flush()
            async for message in messages:
                self.write(message)
                await self.flush()
        except (StreamClosedError, asyncio.CancelledError):
            return

    def on_connection_close(self) -> None:
        """Called by Tornado: nobody reads any more."""
        if self._task is not None:
            self._task.cancel()

    @property
    def after(self) -> str:
        """The last event that the other side knows.

        Raises:
            HTTPError: It is not the id of an event.
        """
        given: str = self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", "") or "-"
        if not EVENT_ID.fullmatch(given):
            raise HTTPError(400, "after is not the id of an event", reason="Bad Cursor")
        return given


def message(kind: str, value: Any, cursor: str = "") -> str:
    """A server-sent event.

    Example:
        >>> message("log", {"end": 3}, "1-0")
        'id: 1-0\\nevent: log\\ndata: {"end":3}\\n\\n'
    """
    start = f"id: {cursor}\n" if cursor else ""
    return f"{start}event: {kind}\ndata: {compact.write(value)}\n\n"


COMMENT = ": \n\n"

PLACE = re.compile(r"(\d{1,9})-(\d{1,18})")
"""A place in the output of a task: the attempt, and the bytes up to there."""


class FeatureStream(Stream):
    """The changes of a feature."""

    async def get(self, feature_id: str) -> None:
        """GET /api/features/ID/stream."""
        handle = await self.find(feature_id)
        task = self.get_query_argument("task", "")
        await self.tell(self._changes(handle, task, self.after))

    async def _changes(self, handle: Handle, task: str, after: str) -> AsyncIterator[str]:
        clock = asyncio.get_running_loop().time
        with self.site.streams.watching(handle.id, after) as news:
            while True:
                news.clear()
                began = clock()
                try:
                    found = await self.site.run(snapshot.change, self.site.client, handle, after)
                    told = await self._told(handle, task, found) if found else None
                except redis.RedisError:
                    yield COMMENT
                    await asyncio.sleep(1.0)
                    continue
                except (errors.NoSuchFeature, errors.NoSuchTask):
                    return  # it was forgotten
                if found and told:
                    after = found.cursor
                    yield told
                    # A large feature is sent less often, so that it does not keep Flower busy.
                    await asyncio.sleep(max(JOIN_SECONDS, 2 * (clock() - began)))
                    continue
                try:
                    await asyncio.wait_for(news.wait(), SILENT_SECONDS)
                except TimeoutError:
                    yield COMMENT

    async def _told(self, handle: Handle, task: str, found: snapshot.Change) -> str:
        if not found.message:
            return message("reload", {"cursor": found.cursor}, found.cursor)
        names, drawn = await self.site.run(self._read_parts, handle, task, found.progress)
        fragments = {name: self.render_part(name, drawn) for name in names}
        return message("change", {**found.message, "parts": fragments}, found.cursor)

    def _read_parts(self, handle: Handle, task: str, progress: Progress) -> tuple[Sequence[str], Any]:
        if not task:
            return parts.OF_A_FEATURE, parts.of_feature(self.site, handle, progress)
        found = explaining.explain(self.site.client, handle, task)
        return parts.OF_A_TASK, parts.of_task(self.site, handle, found)


class LogStream(Stream):
    """The output of a task."""

    async def get(self, feature_id: str, task_id: str) -> None:
        """GET /api/features/ID/tasks/TASK/log."""
        handle = await self.find(feature_id)
        await self.site.run(self.site.client.store.tasks.find, handle.id, task_id)
        await self.tell(self._news(handle, task_id, self.seen))

    @property
    def seen(self) -> task_log.Part:
        """Up to where the other side knows the output."""
        known = f"{self.get_query_argument('attempt', '')}-{self.get_query_argument('end', '')}"
        found = PLACE.fullmatch(self.request.headers.get("Last-Event-ID", known))
        return task_log.Part(int(found[1]), int(found[2]), "") if found else task_log.NOTHING

    async def _news(self, handle: Handle, task_id: str, seen: task_log.Part) -> AsyncIterator[str]:
        silent = 0.0
        while True:
            try:
                found = await self.site.run(task_log.news, self.site.client, handle, task_id, seen, LOG_BYTES)
            except redis.RedisError:
                found = None
            except (errors.NoSuchFeature, errors.NoSuchTask):
                return
            if found:
                value = {**found._asdict(), "whole": found.attempt != seen.attempt}
                seen, silent = found, 0.0
                yield message("log", value, f"{found.attempt}-{found.end}")
            elif silent >= SILENT_SECONDS:
                silent = 0.0
                yield COMMENT
            await asyncio.sleep(LOG_SECONDS)
            silent += LOG_SECONDS
