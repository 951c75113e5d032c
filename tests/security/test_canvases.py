"""A message of a canvas contains its task: the right to send one is not the right to have its task done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.schema.operation import Trust
from orchestrator.config.schema.servers import BrokerSettings, Signing
from orchestrator.config.settings import Settings
from orchestrator.engine import canvas, flower_config
from orchestrator.engine.message_validation import Reason
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.planning import planner
from orchestrator.state.store import Store
from tests import hostile
from tests.engine.brokers import app_with
from tests.engine.test_consumer import Bench, refused

SIGNED = BrokerSettings(signing=Signing(key=Path("a.key"), certificate=Path("a.crt"), store="*.crt"))
BARRIER = hostile.message([[{}], ["T1"], []], task=canvas.BARRIER, headers={"id": "4f1c"})


@pytest.mark.parametrize("message", [hostile.standalone(), BARRIER])
def test_canvases_are_off(bench: Bench, store: Store, message: dict[str, Any]) -> None:
    """Canvases are off: workers refuse their messages, unless `trust.canvas` is true."""
    bench.receive(json.dumps(message))
    assert len(bench.taken) == 1
    bench.app.settings = Settings(redis=bench.app.settings.redis)
    del bench._checks
    bench.receive(json.dumps(message))
    assert len(bench.taken) == 1
    assert refused(store) == {Reason.CANVAS: 1}


def test_a_canvas_says_that_it_is_off() -> None:
    """`.canvas()` says so."""
    plan = planner.plan(Feature.model_validate({"title": "Login", "tasks": [{"id": "T1"}]}))
    with pytest.raises(errors.CanvasesAreOff, match=r"trust\.canvas: true"):
        canvas.chain_of_groups(plan, app_with("memory://", trust=Trust()))
    assert canvas.chain_of_groups(plan, app_with("memory://"))


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        (Settings(), False),
        (Settings(trust=Trust(canvas=True)), True),
        (Settings(broker=SIGNED), True),
        (Settings(broker=SIGNED, trust=Trust(canvas=False)), False),
    ],
)
def test_canvases_are_on_where_messages_are_signed(settings: Settings, on: bool) -> None:
    """They are on where messages are signed, and with `trust.canvas: true`."""
    assert settings.takes_canvases is on


def test_flower_starts_no_task() -> None:
    """Flower's API starts no task, and reads no result; with `trust.canvas: true` it starts what is asked for."""
    trusting = Settings(trust=Trust(canvas=True))
    for path in ("apply/x", "async-apply/x", "send-task/x", "send%2Dtask/x"):
        for root in ("", "/flower"):
            assert flower_config.is_forbidden(f"{root}/api/task/{path}", Settings(broker=SIGNED))
            assert not flower_config.is_forbidden(f"{root}/api/task/{path}", trusting)
    assert flower_config.is_forbidden("/api/task/result/4f1c", trusting)
    for path in (
        "/api/tasks",
        "/api/task/info/4f1c",
        "/task/4f1c",
        "/api/task/types",
        "/api/task/revoke/4f1c",
    ):
        assert not flower_config.is_forbidden(path, Settings())


def test_a_canvas_sends_nothing_to_what_is_no_queue(bench: Bench, store: Store) -> None:
    """Neither what follows a message of a canvas nor a retry of it is sent on to anything but a queue."""
    for queue, is_taken in (
        ("writer", True),
        ("to.writer", True),
        ("{auth}:meta", False),
        ("unacked", False),
    ):
        bench.taken.clear()
        step = {"task": "writer.standalone", "args": [], "options": {"queue": queue}}
        bench.receive(json.dumps(hostile.standalone(embed={"chain": [step]})))
        assert bool(bench.taken) is is_taken
    assert refused(store) == {Reason.HEADERS: 2}
