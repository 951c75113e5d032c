"""AsyncClient: the calls of Client and Handle, on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator import AsyncClient, Feature, Task, install
from orchestrator.client.client import Client
from orchestrator.config.settings import Settings
from orchestrator.engine.attempt_runner import AttemptRunner
from orchestrator.model import errors
from orchestrator.state import awaiting
from tests.conftest import Servers
from tests.redis_server import client_of, find_binaries, serve
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.real,
    pytest.mark.bounds,
    pytest.mark.skipif(not find_binaries(), reason="no Redis server is here"),
]


@pytest.fixture
def settings(servers: Servers) -> Settings:
    url = servers.url(find_binaries()[-1])
    client_of(url).flushall()
    return Settings(redis={"url": url}, trust={"inline_commands": True})


FEATURE = Feature(
    id="f", title="Two", tasks=[Task(id="A", run=["true"]), Task(id="B", run=["true"], depends_on=["A"])]
)


def run(function: Callable[[AsyncClient], Awaitable[Any]], settings: Settings) -> Any:
    async def main() -> Any:
        async with AsyncClient(settings) as client:
            return await asyncio.wait_for(function(client), PATIENCE)

    return asyncio.run(main())


def work(settings: Settings, task_id: str) -> None:
    """Do an attempt, as a worker would."""
    runner = AttemptRunner(Client(settings).app)
    runner.run("implementation-specialist", "f", task_id, 1, "w@here")


def test_it_enqueues_reads_and_decides(settings: Settings) -> None:
    async def use(client: AsyncClient) -> None:
        handle = await client.enqueue(FEATURE)
        assert (await handle.progress()).total == 2
        assert [task.id for task in await handle.tasks()] == ["A", "B"]
        assert [one.id for one in await client.features()] == ["f"]
        await handle.pause("lunch")
        assert (await (await client.feature("f")).progress()).is_paused
        with pytest.raises(errors.NoSuchTask):
            await handle.result("C")
        with pytest.raises(errors.FeatureExists):
            await client.enqueue(FEATURE)

    run(use, settings)


def test_a_wait_lets_others_go_on_and_ends_with_the_feature(settings: Settings) -> None:
    async def use(client: AsyncClient) -> list[str]:
        handle = await client.enqueue(FEATURE)
        waits = [asyncio.create_task(handle.wait()) for _ in range(20)]
        seen = asyncio.create_task(collect(handle.follow()))
        for task in ("A", "B"):
            await asyncio.to_thread(work, settings, task)
        assert {progress.status for progress in await asyncio.gather(*waits)} == {"completed"}
        return await seen

    async def collect(events: AsyncIterator[Any]) -> list[str]:
        return [event.event async for event in events]

    names = run(use, settings)
    assert names[0] == "feature_enqueued"
    assert names[-1] == "all_tasks_complete"


def test_a_wait_has_an_end_and_can_be_cancelled(settings: Settings) -> None:
    async def use(client: AsyncClient) -> None:
        handle = await client.enqueue(FEATURE)
        with pytest.raises(errors.WaitTimeout, match=r"0\.05"):
            await handle.wait(0.05)
        waiting = asyncio.create_task(handle.wait())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # The connection that was left in the middle of an answer serves nobody else.
        assert (await handle.progress()).completed == 0

    run(use, settings)


def test_a_wait_outlasts_a_restart_of_redis(tmp_path: Path) -> None:
    binary = find_binaries()[-1]

    async def use(client: AsyncClient, restart: Callable[[], None]) -> str:
        handle = await client.enqueue(FEATURE)
        waiting = asyncio.create_task(handle.wait())
        await asyncio.to_thread(restart)
        for task in ("A", "B"):
            await asyncio.to_thread(work, client.settings, task)
        return (await waiting).status

    first = serve(tmp_path, binary)
    url = first.__enter__()
    settings = Settings(redis={"url": url}, trust={"inline_commands": True})
    second = serve(tmp_path, binary)

    def restart() -> None:
        first.__exit__(None, None, None)
        assert second.__enter__() == url

    try:
        assert run(lambda client: use(client, restart), settings) == "completed"
    finally:
        second.__exit__(None, None, None)


def test_nothing_is_waited_for_outside_of_it(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match="call it through AsyncClient"):
        AsyncClient(settings).client.features()
    assert asyncio.run(awaiting.run(lambda: 1)) == 1


def test_a_handle_of_a_client_is_awaited_in_a_thread(settings: Settings) -> None:
    with Client(settings) as client:
        handle = client.enqueue(FEATURE)
        for task in ("A", "B"):
            work(settings, task)
        assert asyncio.run(handle.wait_async()).status == "completed"


def test_without_settings_it_has_those_of_the_app(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `Client`: where the program has called `install`, the app publishes, through its own broker."""
    monkeypatch.setattr("orchestrator.engine.installation._guests", [])
    app = Celery("theirs", broker="memory://")
    install(app, settings)

    async def use() -> None:
        async with AsyncClient() as client:
            assert client.client.app is app
            assert client.settings.redis == settings.redis
            assert (await client.features()) == []

    asyncio.run(use())
    app.close()
