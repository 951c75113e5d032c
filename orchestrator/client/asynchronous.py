"""The way in for programs on an event loop, such as FastAPI's: `Client` and `Handle` with calls that are awaited.

All calls are those of `Client` and `Handle`. They run beside the event loop's other work by `state.awaiting`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

import redis

from orchestrator.client import watching
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.config.settings import Settings
from orchestrator.engine.canvas import Message
from orchestrator.engine.dispatcher import Dispatcher, open_dispatcher
from orchestrator.model import errors
from orchestrator.model.event import Event
from orchestrator.model.progress import Progress
from orchestrator.state import awaiting, connections
from orchestrator.state.store import Store

if TYPE_CHECKING:
    from celery import Celery

P = ParamSpec("P")
R = TypeVar("R")

RECONNECT_SECONDS = 0.5
"""Between two tries of `AsyncHandle.wait` while Redis is away."""


def _of_handle(
    method: Callable[Concatenate[Handle, P], R],
) -> Callable[Concatenate[AsyncHandle, P], Coroutine[Any, Any, R]]:
    async def call(self: AsyncHandle, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await awaiting.run(method, self.handle, *args, **kwargs)

    call.__name__, call.__doc__ = method.__name__, method.__doc__
    return call


def _of_client(
    method: Callable[Concatenate[Client, P], R],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await awaiting.run(method, self.client, *args, **kwargs)

    call.__name__, call.__doc__ = method.__name__, method.__doc__
    return call


def _handle_of_client(
    method: Callable[Concatenate[Client, P], Handle],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, AsyncHandle]]:
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncHandle:
        return AsyncHandle(await awaiting.run(method, self.client, *args, **kwargs))

    call.__name__, call.__doc__ = method.__name__, method.__doc__
    return call


class AsyncHandle:
    """A feature that was enqueued, as `Handle`; each call is awaited.

    Example:
        handle = await client.enqueue(feature)
        print((await handle.wait()).status)
    """

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.id = handle.id
        self.repeated = handle.repeated

    def __repr__(self) -> str:
        return f"AsyncHandle({self.id!r})"

    progress = _of_handle(Handle.progress)
    status = _of_handle(Handle.status)
    tasks = _of_handle(Handle.tasks)
    states = _of_handle(Handle.states)
    states_of = _of_handle(Handle.states_of)
    unsettled = _of_handle(Handle.unsettled)
    around = _of_handle(Handle.around)
    events = _of_handle(Handle.events)
    events_gone = _of_handle(Handle.events_gone)
    outcome = _of_handle(Handle.outcome)
    outcomes = _of_handle(Handle.outcomes)
    raised = _of_handle(Handle.raised)
    result = _of_handle(Handle.result)
    cancel = _of_handle(Handle.cancel)
    fail = _of_handle(Handle.fail)
    pause = _of_handle(Handle.pause)
    resume = _of_handle(Handle.resume)
    approve_feature = _of_handle(Handle.approve_feature)
    launch = _of_handle(Handle.launch)
    set_cap = _of_handle(Handle.set_cap)
    set_budget = _of_handle(Handle.set_budget)
    retry = _of_handle(Handle.retry)
    unblock = _of_handle(Handle.unblock)
    block = _of_handle(Handle.block)
    fail_task = _of_handle(Handle.fail_task)
    skip = _of_handle(Handle.skip)
    hold = _of_handle(Handle.hold)
    resume_task = _of_handle(Handle.resume_task)
    defer = _of_handle(Handle.defer)
    cancel_task = _of_handle(Handle.cancel_task)
    approve = _of_handle(Handle.approve)
    request_changes = _of_handle(Handle.request_changes)
    advance = _of_handle(Handle.advance)
    assign = _of_handle(Handle.assign)
    add_task = _of_handle(Handle.add_task)
    add_tasks = _of_handle(Handle.add_tasks)
    depend = _of_handle(Handle.depend)

    async def wait(self, timeout: float | None = None) -> Progress:
        """Wait until nothing more happens to it unless a person acts. Arguments and errors as of `Handle.wait`."""
        if self.handle.works_here:
            return await awaiting.run(self.handle.wait, timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        patience = _Patience(self.handle.settings.recovery.outage, deadline)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                await patience.check(self.handle)
                return await awaiting.run(watching.wait, self.handle.store, self.id, left, 0.0, _pause)
            except errors.WaitTimeout as error:
                raise errors.WaitTimeout(**{**error.facts, "seconds": timeout}) from None
            except redis.ConnectionError as error:
                await patience.bear(error)

    async def follow(self, after: str = "-") -> AsyncIterator[Event]:
        """Every event after an id ("-": from the oldest), and those to come, until the feature is settled.

        Raises:
            RedisUnreachable: Redis was away for longer than `recovery.outage`.
        """
        if self.handle.works_here:
            await self.wait()
        patience = _Patience(self.handle.settings.recovery.outage, None)
        while True:
            try:
                await patience.check(self.handle)
                events = watching.follow(self.handle.store, self.id, after, 0.0)
                while (event := await awaiting.run(next, events, None)) is not None:
                    yield event
                    after = event.id
                return
            except redis.ConnectionError as error:
                await patience.bear(error)


def _pause(seconds: float) -> None:
    awaiting.wait_for(asyncio.sleep(seconds))


class _Patience:
    """Outlasts an outage of Redis, as `outage.outlast` does, without blocking the event loop.

    Args:
        longest: Seconds for which Redis may be away.
        deadline: When to give up in any case, by `time.monotonic`.
    """

    def __init__(self, longest: float, deadline: float | None) -> None:
        self.longest = longest
        self.deadline = deadline
        self.away_since: float | None = None

    async def check(self, handle: Handle) -> None:
        """After an error: ask Redis whether it is back."""
        if self.away_since is not None:
            await awaiting.run(handle.progress)
            self.away_since = None

    async def bear(self, error: redis.ConnectionError) -> None:
        """Wait a little.

        Raises:
            ConnectionError: It has been away for too long.
        """
        now = time.monotonic()
        self.away_since = now if self.away_since is None else self.away_since
        is_late = self.deadline is not None and now >= self.deadline
        if is_late or now - self.away_since >= self.longest:
            raise error
        await asyncio.sleep(RECONNECT_SECONDS)


class AsyncClient:
    """Enqueues features, and finds those that were enqueued, as `Client`; each call is awaited.

    One belongs to one event loop. It needs the extra `async`.

    Args:
        settings: The settings; if left out, those of the working folder.
        app: A Celery app that runs features, as of `Client`.

    Raises:
        InvalidConfiguration: The settings cannot be used.
        NoGreenlet: The extra is not installed.

    Example:
        async with AsyncClient() as client:
            handle = await client.enqueue(feature)
            progress = await handle.wait(timeout=600)
    """

    def __init__(self, settings: Settings | None = None, app: Celery | None = None) -> None:
        self.client = _Client(settings, app)
        self.settings = self.client.settings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of this client. It opens new ones if it is used again."""
        await awaiting.run(self.client.close)

    plan = _of_client(Client.plan)
    recommend = _of_client(Client.recommend)
    features = _of_client(Client.features)
    overview = _of_client(Client.overview)
    forget = _of_client(Client.forget)
    prune = _of_client(Client.prune)
    limits = _of_client(Client.limits)
    models = _of_client(Client.models)
    set_limit = _of_client(Client.set_limit)
    reset_limits = _of_client(Client.reset_limits)

    enqueue = _handle_of_client(Client.enqueue)
    feature = _handle_of_client(Client.feature)


class _Client(Client):
    """A client whose store and dispatcher wait on an event loop."""

    def _open_store(self) -> Store:
        return connections.open_store(self.settings, awaited=True)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """Publishes tasks that may start."""
        return open_dispatcher(self.engine, self.store, pooled=False, kind=_Dispatcher)


class _Dispatcher(Dispatcher):
    """Publishes in a thread where the broker is not the Redis of the state, because kombu blocks."""

    def deliver(self, messages: Sequence[Message], trace: Mapping[str, Any]) -> None:
        """Send messages."""
        awaiting.wait_for(asyncio.to_thread(super().deliver, messages, trace))
