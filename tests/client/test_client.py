"""The way in from Python: refused or stored, no connection left, and a handle that tells the truth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import hypothesis
import pytest
import redis
from celery import signals
from celery.result import allow_join_result
from hypothesis import HealthCheck, given

import orchestrator
from orchestrator.client import preparation
from orchestrator.client.checks import NAMED
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.client.preparation import make_id
from orchestrator.config.schema.limits import Limits
from orchestrator.config.schema.operation import Trust
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.feature_file import reader
from orchestrator.model import errors, lifecycle, words
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import SHIPPED_FLOWS, Flow
from orchestrator.model.outcome import Blocked, Completed, Failed, Outcome
from orchestrator.model.task import Retries
from orchestrator.state.keys import Keys
from tests.engine.brokers import NOWHERE, app_with
from tests.feature_file.test_hostile_features import written
from tests.model import factories
from tests.model.factories import task
from tests.redis_server import client_of, serve

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    """The empty server, as seen from outside."""
    with client_of(url) as server:
        server.flushall()
        yield server


@pytest.fixture
def settings(url: str, server: redis.Redis) -> Settings:
    return settings_on(url)


def settings_on(url: str, **given: Any) -> Settings:
    return Settings(**{"redis": RedisSettings(url=url), "trust": Trust(inline_commands=True), **given})


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as client:
        yield client


def a_feature(*tasks: Any, **fields: Any) -> Feature:
    return factories.feature(*(tasks or (runs("T1"), runs("T2", "T1"))), **fields)


def runs(id: str, *depends_on: str, **fields: Any) -> Any:
    return task(id, *depends_on, **{"run": "true", **fields})


def work(handle: Handle, name: str, outcome: Outcome | None = None) -> None:
    """As a worker does."""
    store, outcome = handle.store, outcome or Completed(result={"rows": 3})
    attempt = store.tasks.state(handle.id, name).attempt
    who = "implementation-specialist"
    assert (
        store.attempts.start(handle.id, name, attempt, specialist=who, worker="w1", lease=60).code
        == "started"
    )
    transition = lifecycle.conclude(Flow("default", SHIPPED_FLOWS["default"]), outcome, Retries())
    store.attempts.finish(handle.id, name, attempt, outcome, transition)


# --- enqueue --------------------------------------------------------------------------------------------


@hypothesis.settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=written())
def test_what_is_refused_leaves_nothing_behind(
    client: Client, server: redis.Redis, file: tuple[bytes, bool]
) -> None:
    # Given any feature file
    server.flushall()

    # When it is read and enqueued
    try:
        feature = reader.parse(file[0], client.settings.limits, json=file[1])
        handle = client.enqueue(feature)
    except errors.OrchestratorError:
        # Then it is refused, and nothing was stored,
        assert server.keys("*") == []
        return
    # or is stored whole
    assert handle.progress().total == len(feature.tasks)


def test_no_text_of_a_feature_reaches_a_message(client: Client, server: redis.Redis) -> None:
    # Given a feature whose every text is marked
    marked = runs(
        "T1", title="MARK", description="MARK", tags=["bug", "mark"], params={"MARK": "MARK"}, run="echo MARK"
    )

    # When it is launched
    client.enqueue(a_feature(marked, id="auth", title="MARK", description="MARK"))

    # Then its message, which Celery logs and Flower shows, holds ids alone
    (message,) = server.lrange(Keys().queue("senior-engineer"), 0, -1)
    assert "mark" not in message.lower()
    assert json.loads(json.loads(message)["body"]) == [["auth", "T1", 1], {}, {}]


def test_every_message_of_a_feature_has_the_trace_of_its_enqueue(client: Client, server: redis.Redis) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def headers(raw: str | bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(raw)["headers"]
        return found

    # Given something that instruments Celery
    def instrument(headers: dict[str, Any], **_: Any) -> None:
        headers.update({"traceparent": trace, "sent": 1764.2})

    signals.before_task_publish.connect(instrument)
    # When a feature is enqueued
    handle = client.enqueue(a_feature(runs("T1", tags=["bug"])))
    signals.before_task_publish.disconnect(instrument)

    # Then its messages have the trace, and little else more
    (first,) = server.lrange(Keys().queue("senior-engineer"), 0, -1)
    assert headers(first)["traceparent"] == trace
    assert "sent" not in headers(first)
    assert len(first) < 600 + len(trace) + len("traceparent") + 10
    # And so has one that is sent again
    server.delete(Keys().queue("senior-engineer"))
    client.store.recovery.recover(handle.id, losses=1, patience=-1)
    (again,) = server.lrange(Keys().queue("senior-engineer"), 0, -1)
    assert headers(again)["traceparent"] == trace


def test_an_enqueued_feature_is_stored_and_on_its_way(client: Client, server: redis.Redis) -> None:
    handle = client.enqueue(a_feature(title="User login"))

    assert handle.id.startswith("user-login-")
    assert handle.progress().in_flight == 1
    assert server.llen(Keys().queue("implementation-specialist")) == 1
    assert [progress.id for progress in client.features()] == [handle.id]
    assert client.feature(handle.id).status() is FeatureStatus.PLANNING


REFUSED = [
    (a_feature(runs("T1", "T2"), runs("T2", "T1")), errors.CircularDependency),
    (a_feature(strategy=Strategy.PARALLEL), errors.NotParallel),
    (a_feature(runs("T1", specialist="nobody")), errors.UnknownSpecialist),
    (a_feature(task("T1")), errors.NothingToDo),
    (a_feature(*(runs(f"T{number}") for number in range(11))), errors.InvalidFeature),
]


@pytest.mark.parametrize(("feature", "error"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_refused_feature_stores_nothing(
    url: str, server: redis.Redis, feature: Feature, error: type[Exception]
) -> None:
    with Client(settings_on(url, limits=Limits(tasks=10))) as client, pytest.raises(error):
        client.enqueue(feature, idempotency_key="order-7")
    assert server.keys("*") == []


def test_commands_that_are_not_allowed_store_nothing(url: str, server: redis.Redis) -> None:
    with Client(settings_on(url, trust=Trust())) as client, pytest.raises(errors.InlineCommandRefused):
        client.enqueue(a_feature())
    assert server.keys("*") == []


def test_an_id_that_exists_stores_nothing_more(client: Client, server: redis.Redis) -> None:
    client.enqueue(a_feature(id="auth"))
    before = sorted(map(str, server.keys("*")))
    with pytest.raises(errors.FeatureExists):
        client.enqueue(a_feature(id="auth"))
    assert sorted(map(str, server.keys("*"))) == before
    assert server.llen(Keys().queue("implementation-specialist")) == 1


def test_an_idempotency_key_enqueues_once(client: Client, server: redis.Redis) -> None:
    first, again = (client.enqueue(a_feature(), idempotency_key="order-7") for _ in range(2))

    assert first.id == again.id
    assert len(client.features()) == 1
    assert server.llen(Keys().queue("implementation-specialist")) == 1
    assert (first.repeated, again.repeated) == (False, True)
    assert client.enqueue(a_feature(), idempotency_key="order-8").id != first.id


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("", "has 0"),
        ("x" * 201, "has 201"),
        ("x" * 1_000_000, "has 1,000,000"),
        ("a\x1b[31mb", r"has '\x1b'"),
        ("a\nb", r"has '\n'"),
        ("\udcff", r"has '\udcff'"),
        ("a\u202eb", r"has '\u202e'"),
        (b"order-7", "is of the type bytes"),
    ],
)
def test_what_cannot_be_an_idempotency_key_is_refused_and_nothing_stored(
    client: Client, server: redis.Redis, key: Any, found: str
) -> None:
    with pytest.raises(errors.BadKey) as told:
        client.enqueue(a_feature(), idempotency_key=key)

    assert f"1 to 200 printable characters, and this one {found}." in str(told.value)
    assert (client.features(), list(server.scan_iter("*idempotency*"))) == ([], [])


def test_the_longest_idempotency_key_and_letters_of_all_kinds_are_taken(client: Client) -> None:
    for key in ("x" * 200, "Tag 7, größer als 數據庫 🙂"):
        first, again = (client.enqueue(a_feature(), idempotency_key=key) for _ in range(2))
        assert again.id == first.id


def test_an_idempotency_key_stands_for_its_content(client: Client, server: redis.Redis) -> None:
    # Given a feature that was enqueued under a key, and has grown since
    first = client.enqueue(a_feature(title="Order"), idempotency_key="order-7")
    first.add_tasks([runs("T9")])
    assert client.enqueue(a_feature(title="Order"), idempotency_key="order-7").repeated
    before = sorted(map(str, server.keys("*")))

    # When the same key comes with other content, then it is refused, with what differs
    def refused(feature: Feature, **given: Any) -> str:
        with pytest.raises(errors.KeyTaken) as told:
            client.enqueue(feature, idempotency_key="order-7", **given)
        assert (told.value.key, told.value.feature) == ("order-7", first.id)
        return str(told.value.differences)

    other = a_feature(runs("T1", run="other"), runs("T5"), title="Other", strategy="dataflow")
    assert refused(other) == "strategy, tasks (T5 is new, T2, T9 are gone, T1 is changed), title"
    assert refused(a_feature(title="Order", id="another")) == "id (another)"
    assert refused(a_feature(title="Order"), stops=[2]) == "stops"
    assert refused(a_feature(title="Order"), auto_launch=False) == "auto_launch"
    assert sorted(map(str, server.keys("*"))) == before


def test_a_feature_is_stored_where_only_the_broker_is_down(url: str, server: redis.Redis) -> None:
    app = app_with(NOWHERE, redis=RedisSettings(url=url), trust=Trust(inline_commands=True))
    with Client(app=app) as client:
        with pytest.raises(errors.BrokerUnreachable, match="The feature auth is stored"):
            client.enqueue(a_feature(id="auth"))
        assert client.feature("auth").progress().in_flight == 1


def test_a_redis_that_is_down_is_named_without_its_password() -> None:
    with Client(settings_on(NOWHERE)) as client, pytest.raises(errors.RedisUnreachable) as refused:
        client.enqueue(a_feature())
    assert "127.0.0.1:1" in str(refused.value)
    assert "secret" not in str(refused.value)


# --- connections ----------------------------------------------------------------------------------------


def connections(server: redis.Redis) -> set[str]:
    return {str(client["id"]) for client in server.client_list()}


def are_closed(server: redis.Redis, before: set[str]) -> bool:
    """There are no others than before, once the server has noticed what was closed."""
    deadline = time.monotonic() + 60
    while connections(server) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    return connections(server) == before


def test_enqueue_leaves_no_connection_open(settings: Settings, server: redis.Redis) -> None:
    before = connections(server)

    handle = orchestrator.enqueue(a_feature(), settings=settings)
    assert are_closed(server, before)

    with pytest.raises(errors.FeatureExists):
        orchestrator.enqueue(a_feature(id=handle.id), settings=settings)
    assert are_closed(server, before)
    assert handle.progress().total == 2
    handle.store.client.close()
    assert are_closed(server, before)


def test_a_client_closes_what_it_opened(settings: Settings, server: redis.Redis) -> None:
    before = connections(server)
    with Client(settings) as client:
        client.enqueue(a_feature())
        assert connections(server) > before
    assert are_closed(server, before)


def test_enqueue_works_from_within_a_celery_task(settings: Settings, server: redis.Redis) -> None:
    # Given somebody's own Celery app, and a task of theirs
    theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)

    @theirs.task(name="theirs.release")
    def release() -> str:
        handle = orchestrator.enqueue(a_feature(), settings=settings)
        assert handle.progress().in_flight == 1
        handle.store.client.close()
        return handle.id

    # When it runs, and enqueues
    before = connections(server)
    with allow_join_result():  # a test before this one may have run a task in this process
        feature_id = release.apply().get()

    # Then the feature is on its way, and nothing of theirs has changed
    assert server.llen(Keys().queue("implementation-specialist")) == 1
    assert are_closed(server, before)
    with Client(settings) as client:
        assert client.feature(feature_id).progress().total == 2


def test_our_app_does_not_become_the_app_of_who_imports_it(settings: Settings) -> None:
    theirs = celery.Celery("theirs", broker="memory://")
    theirs.set_current()
    with Client(settings) as client:
        client.enqueue(a_feature())
        assert celery.current_app.main == "theirs"


# --- a handle -------------------------------------------------------------------------------------------


def test_a_handle_tells_the_whole_story(client: Client) -> None:
    handle = client.enqueue(a_feature(id="auth"))
    work(handle, "T1")

    assert handle.result("T1") == {"rows": 3}
    assert handle.outcome("T2") is None
    assert [task.id for task in handle.tasks()] == ["T1", "T2"]
    assert [(state.id, state.specialist) for state in handle.states([2])] == [
        ("T2", "Implementation Specialist")
    ]
    work(handle, "T2")
    assert handle.wait(60).status is FeatureStatus.COMPLETED
    assert [event.event for event in handle.follow()][-1] == "all_tasks_complete"


@pytest.mark.parametrize(
    ("outcome", "mend"), [(Failed(reason="broken"), "retry"), (Blocked(reason="no key"), "unblock")]
)
def test_a_stopped_task_is_mended(client: Client, outcome: Failed | Blocked, mend: str) -> None:
    handle = client.enqueue(a_feature())
    work(handle, "T1", outcome)
    assert handle.wait(60).status is FeatureStatus.BLOCKED
    with pytest.raises(errors.NotCompleted, match=f"{outcome.status}: {outcome.reason}"):
        handle.result("T1")

    getattr(handle, mend)("T1", note="mended")

    assert handle.status() is FeatureStatus.IN_DEVELOPMENT
    assert handle.states()[0].attempt == 2


def test_a_wait_ends_at_its_timeout_and_the_feature_goes_on(client: Client) -> None:
    handle = client.enqueue(a_feature(id="auth"))
    with pytest.raises(errors.WaitTimeout) as ended:
        handle.wait(timeout=0.05)
    assert str(ended.value) == (
        "auth was not finished after 0.05 s: it is planning, 0 of 2 tasks complete. It continues to run."
    )
    assert not handle.progress().is_settled


def test_a_feature_that_waits_for_launch_is_launched(client: Client) -> None:
    handle = client.enqueue(a_feature(), auto_launch=False)
    work(handle, "T1")
    assert handle.status() is FeatureStatus.ON_HOLD
    handle.launch()
    work(handle, "T2")
    assert handle.wait(60).status is FeatureStatus.COMPLETED


def test_a_cancelled_feature_is_settled(client: Client) -> None:
    handle = client.enqueue(a_feature())
    work(handle, "T1", Failed(reason="broken"))
    handle.cancel("not wanted")
    assert handle.wait(60).status is FeatureStatus.CANCELLED
    with pytest.raises(errors.RefusedTransition):
        handle.cancel()


def test_what_is_not_there_is_named(client: Client) -> None:
    with pytest.raises(errors.NoSuchFeature, match="nobody"):
        client.feature("nobody")
    handle = client.enqueue(a_feature())
    for ask in (handle.outcome, handle.result, handle.retry, handle.unblock):
        with pytest.raises(errors.NoSuchTask, match="T9"):
            ask("T9")
    with pytest.raises(errors.NotCompleted, match="no attempt has ended yet"):
        handle.result("T1")


# --- small things ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "start"),
    [("Add user login!", "add-user-login-"), ("ß→", "feature-"), ("x" * 99, "x" * 40 + "-")],
)
def test_an_id_is_made_from_the_title(title: str, start: str) -> None:
    one, two = make_id(title), make_id(title)
    assert one.startswith(start)
    assert one != two
    assert a_feature(id=one).id == one


def test_an_id_that_exists_already_is_made_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["nightly-a1b2c3", "nightly-a1b2c3", "nightly-d4e5f6"])
    monkeypatch.setattr(preparation, "make_id", lambda title: next(made))
    assert [client.enqueue(a_feature()).id for _ in range(2)] == ["nightly-a1b2c3", "nightly-d4e5f6"]
    # but one that was chosen is not
    with pytest.raises(errors.FeatureExists):
        client.enqueue(a_feature(id="nightly-a1b2c3"))


def test_some_of_many_are_named() -> None:
    assert words.some(["T1", "T2"], most=NAMED) == "T1, T2"
    assert words.some([f"T{number}" for number in range(7)], most=NAMED) == "T0, T1, T2, T3, T4 and 2 more"


def test_a_plan_stores_nothing(client: Client, server: redis.Redis, tmp_path: Path) -> None:
    assert len(client.plan(a_feature()).batches) == 2
    assert server.keys("*") == []


# --- limits over all features --------------------------------------------------------------------------------


@pytest.fixture
def limited(url: str, server: redis.Redis) -> Iterator[Client]:
    with Client(settings_on(url, resources={"gpu": 1}, specialists={"writer": {"concurrency": 2}})) as client:
        yield client


def test_whoever_enqueues_makes_the_limits_known(limited: Client) -> None:
    handle = limited.enqueue(
        Feature(title="Train", tasks=[task(f"T{n}", run=["true"], resources=["gpu"]) for n in range(3)])
    )
    assert handle.progress().in_flight == 1
    assert handle.progress().limited == {"resource:gpu": 2}
    assert {limit.name: limit.amount for limit in limited.limits()} == {
        "resource:gpu": "1",
        "specialist:writer": "2",
    }


def test_a_limit_that_is_changed_launches_who_waits(limited: Client) -> None:
    handle = limited.enqueue(
        Feature(title="Train", tasks=[task(f"T{n}", run=["true"], resources=["gpu"]) for n in range(3)])
    )
    assert limited.set_limit("gpu", 2).in_use == 2
    assert handle.progress().in_flight == 2
    (limit, _) = limited.reset_limits()
    assert (limit.amount, limit.in_use) == ("1", 2), "what is in flight is not taken back"


def test_a_client_that_configures_no_limit_leaves_those_there_are(limited: Client, client: Client) -> None:
    limited.limits()
    client.enqueue(a_feature())
    assert len(client.limits()) == 2


def test_what_a_task_needs_has_to_be_there(limited: Client) -> None:
    with pytest.raises(errors.NotEnough, match="T1 needs 2 of the resource gpu"):
        limited.enqueue(Feature(title="Train", tasks=[task("T1", run=["true"], resources={"gpu": 2})]))
    handle = limited.enqueue(Feature(title="Train", tasks=[task("T1", run=["true"])]))
    with pytest.raises(errors.NoSuchResource, match="T2 needs the resource tpu"):
        handle.add_task(task("T2", run=["true"], resources=["tpu"]))
    assert [state.id for state in handle.states()] == ["T1"]


@pytest.mark.parametrize("name", ["T0", "T7", "U1"], ids=["launched", "queued", "in the next batch"])
def test_why_a_task_waits_is_read_without_the_whole_feature(
    client: Client, server: redis.Redis, name: str
) -> None:
    def bytes_read(size: int) -> int:
        tasks = [runs(f"T{at}") for at in range(size)]
        handle = client.enqueue(a_feature(*tasks, runs("U1", "T1"), id=f"of-{size}"))
        info: Any = server.info("stats")
        assert name in {state.id for state in handle.around(name)}
        now: Any = server.info("stats")
        return int(now["total_net_output_bytes"] - info["total_net_output_bytes"])

    small, large = bytes_read(100), bytes_read(10_000)
    # A task that waits for a batch reads the tasks of that batch, and no more
    assert large < small + (10_000 * 30 if name == "U1" else 2_000)
