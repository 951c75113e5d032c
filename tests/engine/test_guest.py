"""The engine in a Celery app of somebody else: what it takes from the app, and what it says of the app's settings."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from celery import Celery

import orchestrator
from orchestrator.config.schema.servers import BrokerSettings, RedisSettings, Signing
from orchestrator.config.settings import Settings
from orchestrator.engine import app_checks, canvas, guest, installation, tracing
from orchestrator.model import errors
from orchestrator.model.commands import Launch

REDIS = RedisSettings(url="redis://state:1/0")


def an_app(settings: Settings | None = None, **given: Any) -> Celery:
    app = Celery("proj", set_as_current=False, **given)
    orchestrator.install(app, settings or Settings(redis=REDIS))
    return app


def work() -> None:
    """A task of the app."""


def names(app: Celery) -> list[str]:
    guest.add_calls(app)
    return [found.name for found in app_checks.check_app(installation.of(app))]


def test_it_is_there_once() -> None:
    app = an_app(broker="memory://")
    with pytest.raises(errors.InstalledTwice, match="proj"):
        orchestrator.install(app, Settings(redis=REDIS))
    with pytest.raises(errors.NotInstalled, match="other"):
        installation.of(Celery("other", set_as_current=False))


def test_signed_messages_are_refused() -> None:
    """Only a worker of ours could verify them."""
    signing = Signing(key="a.key", certificate="a.crt", store="*.crt")
    with pytest.raises(errors.NotForGuests, match=r"broker\.signing"):
        an_app(Settings(redis=REDIS, broker=BrokerSettings(signing=signing)), broker="memory://")


@pytest.mark.parametrize(
    "url", ["amqp://rabbit//", ["redis://one/0", "redis://two/0"], "redis://one/0;redis://two/0"]
)
def test_its_broker_is_that_of_the_app(url: Any) -> None:
    """The store publishes nothing by itself: only the app knows where its messages go."""
    app = an_app()
    app.conf.update(broker_url=url)  # after the app was made, as a configuration module may
    settings = installation.of(app).settings
    assert settings.broker.url is not None
    assert settings.celery_queues is None
    assert installation.of(app).destination("senior-engineer")["queue"].name == "to.senior-engineer"


def test_an_app_without_a_broker_gets_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result backend stays as it is, and what it says later about the broker goes before."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    app = an_app()
    assert app.conf.broker_url == "redis://state:1/0"
    assert app.conf.broker_transport_options["global_keyprefix"] == "to:celery:"
    conf: Any = app.conf
    assert conf.result_backend is None
    assert installation.of(app).destination("senior-engineer")["queue"].name == "senior-engineer"


def test_an_app_that_names_its_broker_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that a program makes after the app was configured wins over ours."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    app = an_app()
    conf: Any = app.conf
    assert conf.timezone is None  # so it is configured
    app.conf.update(broker_url="amqp://rabbit//")
    assert installation.of(app).destination("senior-engineer")["queue"].name == "to.senior-engineer"


def test_messages_of_features_are_json_of_the_second_protocol() -> None:
    app = an_app(broker="memory://")
    app.conf.update(task_serializer="pickle", task_protocol=1, accept_content=["pickle", "json"])
    (message,) = canvas.group_of(app, "auth", [Launch("T1", 1, "senior-engineer")])
    assert message.content.headers["task"] == "senior-engineer"
    assert message.content.body[0] == ("auth", "T1", 1)


@pytest.mark.parametrize("conf", [{"task_always_eager": True}, {"task_send_sent_event": True}, {}])
def test_a_feature_is_stored_once(conf: dict[str, Any]) -> None:
    app = an_app(broker="memory://")
    app.conf.update(conf)
    put = mock.Mock(return_value="stored")
    assert tracing.publish_enqueue(app, "auth", put) == "stored"
    put.assert_called_once()


@pytest.mark.parametrize(
    ("conf", "found"),
    [
        ({"worker_prefetch_multiplier": 1}, []),
        ({}, ["worker_prefetch_multiplier"]),
        ({"worker_prefetch_multiplier": 1, "task_always_eager": True}, ["task_always_eager"]),
        ({"worker_prefetch_multiplier": 1, "accept_content": ["pickle"]}, ["accept_content"]),
        ({"worker_prefetch_multiplier": 1, "broker_url": "memory://"}, ["broker_url"]),
        (
            {"worker_prefetch_multiplier": 1, "task_annotations": {"*": {"acks_late": False}}},
            ["task_annotations"],
        ),
        ({"worker_prefetch_multiplier": 1, "task_default_rate_limit": "1/s"}, ["task_default_rate_limit"]),
    ],
)
def test_settings_that_weaken_a_promise_are_named(conf: dict[str, Any], found: list[str]) -> None:
    app = an_app(broker="redis://state:1/0")
    app.conf.update(conf)
    assert names(app) == found


def test_a_task_with_the_name_of_a_specialist(capsys: pytest.CaptureFixture[str]) -> None:
    app = Celery("proj", broker="memory://", set_as_current=False)
    app.task(name="senior-engineer", shared=False)(work)
    engine = orchestrator.install(app, Settings(redis=REDIS))
    with pytest.warns(UserWarning, match="senior-engineer"):
        guest.add_calls(app)
    with pytest.raises(SystemExit):
        engine.check_names()
    assert "the task senior-engineer of the Celery app proj" in capsys.readouterr().err


def test_each_task_of_the_app_can_be_called() -> None:
    """Its limits hold for its work in features too. Ours are left out, and Celery's own but for those of canvases."""
    app = an_app(broker="memory://")
    app.task(name="proj.resize", shared=False, rate_limit="2/s", time_limit=9)(work)
    guest.add_calls(app)
    guest.add_calls(app)  # a second worker in the process changes nothing
    calls = {name for name in app.tasks if name.startswith("call:")}
    assert "call:proj.resize" in calls
    # Those that other tests share with each app may be there too.
    assert {
        name for name in calls if name.startswith(("call:call:", "call:celery.", "call:orchestrator."))
    } == {
        "call:celery.accumulate",
        "call:celery.map",
        "call:celery.starmap",
    }
    assert "call:senior-engineer" not in calls
    task: Any = app.tasks["call:proj.resize"]
    assert (task.rate_limit, task.time_limit, task.acks_late, task.ignore_result) == ("2/s", 9, True, True)


@pytest.mark.parametrize(
    ("state", "theirs"),
    [
        ("redis://state:1/0", "redis://state:1"),
        ("redis://me:pass@state:1/0", "redis://me:other@state:1/0"),
        ("unix:///run/redis.sock?db=1", "redis+socket:///run/redis.sock?virtual_host=1"),
        ("rediss://state:1/2", "rediss://state:1/2"),
    ],
)
def test_scripts_publish_where_the_broker_is_the_redis_of_the_state(state: str, theirs: str) -> None:
    """The keys of queues have the app's own prefix. A call that has another queue than the default is named."""
    app = an_app(Settings(redis=RedisSettings(url=state)), broker=theirs)
    app.conf.update(broker_transport_options={"global_keyprefix": "theirs:"}, task_default_queue="work")
    app.task(name="slow", shared=False, queue="slow")(work)
    app.task(name="urgent", shared=False, priority=9)(work)
    app.task(name="usual", shared=False)(work)
    queues = installation.of(app).settings.celery_queues
    assert queues is not None
    assert queues.prefix == "theirs:"
    names = dict(queues.names)
    assert names.pop("senior-engineer") == "to.senior-engineer"
    known = ("call:slow", "call:urgent", "call:usual", "call:")  # other modules share tasks with all apps
    assert {name: of for name, of in names.items() if name in known} == {
        "call:slow": "slow",
        "call:urgent": None,
        "call:": "work",
    }
    app.task(name="late", shared=False, queue="later")(work)
    assert queues.names["call:late"] == "later"
    assert queues.used >= {"work", "slow", "later", "to.senior-engineer"}


def test_a_route_of_a_task_that_is_not_known_is_asked_of_the_app() -> None:
    """Then each task is named, and the messages of all others are left to the app."""
    app = an_app(broker="redis://state:1/0")
    app.conf.update(task_routes={"other.*": {"queue": "other"}})
    app.task(name="usual", shared=False)(work)
    queues = installation.of(app).settings.celery_queues
    assert queues is not None
    assert queues.names["call:usual"] == "celery"
    assert queues.names["call:"] is None


def route(name: str, *_: object, **__: object) -> None:
    """A router, which only Python can call."""


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ({"broker_url": "amqp://rabbit//"}, "the broker is no Redis, but amqp"),
        ({"broker_url": "redis://other:1/0"}, "another Redis"),
        ({"broker_url": "redis://state:1/1"}, "another Redis, database"),
        ({"broker_url": "redis://me:pass@state:1/0"}, "another Redis, database or user"),
        ({"broker_url": ["redis://state:1/0", "redis://two:1/0"]}, "more than one server"),
        ({"broker_url": "redis://state:1/0;redis://two:1/0"}, "more than one server"),
        (
            {"broker_read_url": "redis://state:1/0", "broker_write_url": "redis://two:1/0"},
            "more than one server",
        ),
        ({"broker_transport_options": {"priority_steps": [1, 5]}}, "priority_steps"),
        ({"task_routes": (route,)}, "a function"),
        ({"task_send_sent_event": True}, "task_send_sent_event"),
    ],
)
def test_why_scripts_do_not_publish_is_said(conf: dict[str, Any], why: str) -> None:
    app = an_app(broker="redis://state:1/0")
    app.conf.update(worker_prefetch_multiplier=1)
    app.conf.update(conf)
    engine = installation.of(app)
    assert why in engine.apart
    assert engine.settings.celery_queues is None
    assert names(app) == ["broker_url"]
