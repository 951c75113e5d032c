"""The page about Celery's settings: it has all of them, and what it calls ours or refused is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from celery.concurrency.base import BasePool
from pydantic import ValidationError

import orchestrator
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.engine import app_checks, canvas, guest, installation, pools
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.model import errors
from orchestrator.model.commands import Launch
from orchestrator.model.task import Task

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "celery.md").read_text("utf-8")
ROWS: list[tuple[str, str]] = re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE, re.MULTILINE)
SETTINGS = [str(name) for name in dict(flatten(NAMESPACES))]

OF_OUR_TASKS: dict[str, tuple[Any, str, Any]] = {
    "task_acks_late": (False, "acks_late", True),
    "task_acks_on_failure_or_timeout": (False, "acks_on_failure_or_timeout", True),
    "task_acks_on_failure": (False, "acks_on_failure", True),
    "task_acks_on_timeout": (False, "acks_on_timeout", True),
    "task_reject_on_worker_lost": (False, "reject_on_worker_lost", True),
    "task_retry_on_worker_lost": (True, "retry_on_worker_lost", False),
    "task_ignore_result": (False, "ignore_result", True),
    "task_track_started": (False, "track_started", True),
    "task_store_errors_even_if_ignored": (True, "store_errors_even_if_ignored", False),
    "task_serializer": ("pickle", "serializer", "json"),
}
"""What an app says, and what holds for the tasks by which its workers do those of features."""

OF_MESSAGES: dict[str, Any] = {
    "task_default_delivery_mode": 2,
    "task_protocol": 1,
    "task_publish_retry": True,
    "task_publish_retry_policy": {"max_retries": 9},
    "task_compression": "zlib",
}
"""What an app says, and no message of a feature heeds, or only as it leaves."""

SHOWN_ELSEWHERE = {
    "broker_native_delayed_delivery_queue_type": "tests/engine/test_calls.py::test_a_retry",
    "task_store_eager_result": "tests/testing/test_eager.py::test_a_feature_is_done_when_the_enqueue_returns",
    "task_allow_error_cb_on_chord_header": "tests/testing/test_canvases.py::test_an_errback_is_called_once",
    "task_remote_tracebacks": "tests/engine/test_calls.py::test_a_failure_keeps_its_traceback",
    "worker_deduplicate_successful_tasks": "tests/engine/test_attempt_runner.py",
    "worker_redirect_stdouts": "tests/specialists/test_output.py",
    "worker_redirect_stdouts_level": "tests/specialists/test_output.py",
    "expires": "tests/engine/test_calls.py",
    "Request": "tests/engine/test_guest.py::test_each_task_of_the_app_can_be_called",
    "Strategy": "tests/engine/test_guest.py::test_each_task_of_the_app_can_be_called",
    "backend": "tests/acceptance/test_own_app.py",
    "compression": "tests/engine/test_settings_of_celery.py",
    "task_id": "tests/engine/test_calls.py::test_the_request",
}
"""What else the page calls ours, and the test that shows it."""

REFUSED = {
    "accept_content": "test_refused_settings",
    "worker_pool": "test_a_pool_that_is_not_celerys_own_is_refused",
    **dict.fromkeys(
        ("routing_key", "exchange", "serializer", "compression"), "test_refused_options_of_a_call"
    ),
    **dict.fromkeys(("link", "link_error"), "test_refused_options_of_a_call"),
    **dict.fromkeys(
        (
            "security_key",
            "security_key_password",
            "security_certificate",
            "security_cert_store",
            "security_digest",
        ),
        "test_refused_settings",
    ),
    **dict.fromkeys(
        ("worker_concurrency", "worker_autoscaler", "worker_pool_start_method", "worker_pool_restarts"), ""
    ),
}
"""What the page calls refused, and the test here; "" where only another name of the row is."""


def own() -> None:
    """A task of the app."""


def named(cell: str) -> list[str]:
    return re.findall(r"`([A-Za-z0-9_]+)`", cell)


def an_app(**conf: Any) -> Celery:
    app = Celery("proj", broker="memory://", set_as_current=False)
    app.conf.update(conf)
    app.task(name="own", shared=False)(own)
    orchestrator.install(app, Settings(redis=RedisSettings(url="redis://127.0.0.1:1/0")))
    guest.add_calls(app)
    return app


def test_the_page_has_each_setting() -> None:
    starts = tuple(name for name in named(PAGE) if name.endswith("_"))
    known = set(named(PAGE))
    assert [name for name in SETTINGS if name not in known and not name.startswith(starts)] == []
    assert len(known) >= 100


def test_what_the_page_calls_ours_is_shown() -> None:
    options = {attribute for _, attribute, _ in OF_OUR_TASKS.values()}
    shown = {*OF_OUR_TASKS, *OF_MESSAGES, *SHOWN_ELSEWHERE, *options}
    ours = [name for cell, rule in ROWS if rule.startswith("ours") for name in named(cell)]
    results = ("result_", "redis_", "database_", "cache_")
    assert [
        name for name in ours if name not in shown and not name.endswith("_") and not name.startswith(results)
    ] == []
    for place in SHOWN_ELSEWHERE.values():
        file, _, test = place.partition("::")
        assert f"def {test}" in (ROOT / file).read_text("utf-8")


def test_what_the_page_calls_refused_is_shown() -> None:
    refused = [name for cell, rule in ROWS if "**refused**" in rule for name in named(cell)]
    assert [name for name in refused if name not in {*REFUSED, *OF_MESSAGES}] == []
    assert all(not test or test in globals() for test in REFUSED.values())


@pytest.mark.parametrize("setting", OF_OUR_TASKS)
@pytest.mark.parametrize("task", ["call:own", "senior-engineer"])
def test_our_tasks_have_rules_of_their_own(setting: str, task: str) -> None:
    said, attribute, ours = OF_OUR_TASKS[setting]
    app = an_app(**{setting: said})
    assert getattr(app.tasks[task], attribute) == ours


@pytest.mark.parametrize("setting", OF_MESSAGES)
def test_our_messages_have_rules_of_their_own(setting: str) -> None:
    app: Any = an_app(
        **{setting: OF_MESSAGES[setting]}, task_serializer="pickle", accept_content=["pickle", "json"]
    )
    dispatcher = Dispatcher(app, mock.Mock(), pooled=False)
    dispatcher.deliver(canvas.group_of(app, "auth", [Launch("T1", 1, "call:own")]), {})
    with app.connection_for_read() as connection:
        message = (
            app.amqp.TaskConsumer(connection.default_channel).queues[0](connection.default_channel).get()
        )
    assert message is not None
    assert message.content_type == "application/json"
    assert message.properties["delivery_mode"] == 1
    assert message.headers["task"] == "call:own"
    assert message.decode() == [["auth", "T1", 1], {}, mock.ANY]


@pytest.mark.parametrize("content", [["pickle"], ["auth"]])
def test_refused_settings(content: list[str]) -> None:
    app = an_app(accept_content=content, worker_prefetch_multiplier=1)
    found = {one.name: one.level for one in app_checks.check_app(installation.of(app))}
    assert found["accept_content"] == "problem"


def test_a_pool_that_is_not_celerys_own_is_refused() -> None:
    class Pool(BasePool): ...

    with pytest.raises(errors.PoolRefused):
        pools.check(Pool)


@pytest.mark.parametrize(
    "options",
    [
        {"routing_key": "x"},
        {"exchange": "x"},
        {"serializer": "yaml"},
        {"compression": "zlib"},
        {"link": [{"task": "own", "args": [], "kwargs": {}, "options": {}}]},
        {"link_error": [{"task": "own", "args": [], "kwargs": {}, "options": {}}]},
        {"ignore_result": True},
    ],
)
def test_refused_options_of_a_call(options: dict[str, Any]) -> None:
    app = an_app()
    with pytest.raises(ValidationError, match=next(iter(options))):
        Task(id="T1", call=app.tasks["own"].s().set(**options))
