"""Features of an app with `task_always_eager`: they run in the process that enqueues them, as its tasks do."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, group

import orchestrator
from orchestrator import AsyncClient, Client, Failed, Feature, Handle, Task
from orchestrator.config.schema.servers import BrokerSettings, RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.engine import app_checks, guest, installation
from orchestrator.model import errors


class NotToday(Exception):
    """An exception of the project's own, which takes two arguments."""

    def __init__(self, day: str, hour: int) -> None:
        super().__init__(f"not on {day} at {hour}")
        self.day = day


def make_app(tmp_path: Path, **conf: Any) -> Any:
    """An app as a project's tests have it. Nothing listens at its broker and its Redis."""
    app = Celery("proj", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.update(task_always_eager=True, **conf)

    @app.task(name="add")
    def add(one: int, other: int) -> int:
        return one + other

    @app.task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="put_off")
    def refuse() -> None:
        raise NotToday("Monday", 9)

    @app.task(name="flaky", bind=True, max_retries=5)
    def flaky(self: Any, times: int) -> list[Any]:
        if self.request.retries < times:
            raise self.retry(countdown=3_600)
        return [self.request.retries, self.request.is_eager, self.request.delivery_info["is_eager"]]

    @app.task(name="report_failure")
    def report_failure() -> Failed:
        return Failed(reason="no paint")

    @app.task(name="nest")
    def nest() -> Any:
        return orchestrator.Client(app=app).enqueue(Feature(title="Inner", tasks=[add.s(3, 4)])).result("add")

    settings = Settings(
        redis=RedisSettings(url="redis://127.0.0.1:1/0"),
        broker=BrokerSettings(show="ids"),
        logs=tmp_path,
    )
    orchestrator.install(app, settings)
    return app


def enqueue(app: Any, *tasks: Any, **options: Any) -> Handle:
    with Client(app=app) as client:
        return client.enqueue(Feature(title="Eager", tasks=list(tasks)), **options)


def test_a_feature_is_done_when_the_enqueue_returns(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    one = Task(id="one", call=app.tasks["add"].s(1, 2))
    handle = enqueue(app, one, Task(id="two", call="add", args=[one.result(), 10]))
    assert handle.status() == "completed"
    assert handle.result("two") == 13
    assert handle.as_result().ready()


def test_a_program_that_has_called_install_just_enqueues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(tmp_path)
    monkeypatch.setattr(installation, "_guests", [installation.of(app)])
    add, total = app.tasks["add"], app.tasks["total"]
    handle = orchestrator.enqueue(chain(group(add.s(1, 2), add.s(3, 4)), total.s()))
    assert handle.as_result().get(timeout=1) == handle.result() == 10


def test_a_retry_waits_for_nothing(tmp_path: Path) -> None:
    """As in eager Celery, a countdown is over at once."""
    handle = enqueue(make_app(tmp_path), Task(id="T1", call="flaky", args=[3]))
    assert handle.result("T1") == [3, True, True]


def test_errors_are_kept(tmp_path: Path) -> None:
    """The result raises the very exception, as Celery's EagerResult does."""
    handle = enqueue(
        make_app(tmp_path), Task(id="T1", call="put_off"), Task(id="T2", call="add", args=[1, 1])
    )
    assert handle.result("T2") == 2
    with pytest.raises(NotToday, match="not on Monday at 9") as raised:
        handle.as_result().get()
    assert raised.value.day == "Monday"
    assert handle.as_result().state == "FAILURE"


def test_errors_propagate_where_the_app_says_so(tmp_path: Path) -> None:
    app = make_app(tmp_path, task_eager_propagates=True)
    with pytest.raises(NotToday, match="not on Monday at 9"):
        enqueue(app, Task(id="T1", call="put_off"))
    assert enqueue(app, Task(id="T1", call="add", args=[1, 1])).result("T1") == 2
    with pytest.raises(errors.NotCompleted, match="no paint"):
        enqueue(app, Task(id="T1", call="report_failure"))


def test_what_waits_for_a_person_waits(tmp_path: Path) -> None:
    tasks = [Task(id="A", call="add", args=[1, 1]), Task(id="B", call="add", args=[1, 2], depends_on=["A"])]
    handle = enqueue(make_app(tmp_path, task_eager_propagates=True), *tasks, auto_launch=False)
    assert handle.progress().completed == 1
    handle.launch()
    assert handle.wait().status == "completed"


def test_a_task_enqueues_a_feature(tmp_path: Path) -> None:
    assert enqueue(make_app(tmp_path), Task(id="T1", call="nest")).result("T1") == 7


def test_a_key_is_known_again(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    task = Task(id="T1", call="add", args=[1, 1])
    first, second = (enqueue(app, task, idempotency_key="night") for _ in range(2))
    assert (first.id, first.repeated) == (second.id, not second.repeated)
    with Client(app=app) as client:
        assert client.feature(first.id).result("T1") == 2


def test_threads_enqueue_side_by_side(tmp_path: Path) -> None:
    app, results = make_app(tmp_path), list[int]()

    def work(number: int) -> None:
        results.append(enqueue(app, Task(id="T1", call="add", args=[number, 0])).result("T1"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [*range(8)]


def test_on_an_event_loop(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    async def enqueue_there() -> Any:
        async with AsyncClient(app=app) as client:
            handle = await client.enqueue(Feature(title="Eager", tasks=[app.tasks["add"].s(1, 2)]))
            return (await handle.progress()).status, await handle.result("add")

    assert asyncio.run(enqueue_there()) == ("completed", 3)


def test_it_holds_while_the_setting_does(tmp_path: Path) -> None:
    """A test may turn it on and off. Without it, features go to the Redis of the settings."""
    app = make_app(tmp_path)
    app.conf.task_always_eager = False
    with pytest.raises(errors.RedisUnreachable):
        enqueue(app, Task(id="T1", call="add", args=[1, 1]))
    app.conf.task_always_eager = True
    assert enqueue(app, Task(id="T1", call="add", args=[1, 1])).result("T1") == 2


def test_workers_and_commands_are_not_eager(tmp_path: Path) -> None:
    """As Celery's `send_task`, a command sends to workers; and a worker says what programs with this setting do."""
    app = make_app(tmp_path, worker_prefetch_multiplier=1)
    guest.add_calls(app)
    engine = installation.of(app)
    assert not engine.is_eager
    assert not engine.settings.redis.is_in_memory
    (found,) = app_checks.check_app(engine)
    assert "in the process that enqueues them" in found.text
