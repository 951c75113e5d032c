"""The consumer takes up what we send, and nothing else, whatever lies in the queue."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from kombu.transport import virtual
from kombu.utils.json import loads

from orchestrator.engine import canvas, channel, message_format
from orchestrator.engine.consumer import Consumer
from orchestrator.engine.message_validation import Reason
from orchestrator.model import commands
from orchestrator.state.store import Store
from tests import hostile
from tests.engine.brokers import app_with

STRATEGIES = (
    "senior-engineer",
    "senior-engineer.standalone",
    "orchestrator.barrier",
    "celery.starmap",
    "celery.chord_unlock",
    "own.task",
)


class Channel:
    """A channel that notes what is acknowledged and what is refused."""

    no_ack_consumers = None

    def __init__(self) -> None:
        self.refused: list[tuple[str, bool]] = []

    def decode_body(self, body: str, encoding: str | None) -> str:
        """As a channel of ours does it."""
        return str(channel.Channel.decode_body(self, body, encoding))  # type: ignore[arg-type]

    codecs = channel.Channel.codecs

    def basic_reject(self, tag: str, requeue: bool) -> None:
        """Note it."""
        self.refused.append((tag, requeue))


class Bench(Consumer):
    """A consumer that has no broker and hands what it takes up to the test."""

    def __init__(self) -> None:
        self.app = app_with("memory://")
        self.taken: list[Any] = []
        self.strategies = dict.fromkeys(STRATEGIES, lambda message, *_: self.taken.append(message))
        self.connection_errors = (OSError,)
        self._maximum_prefetch_restored = True
        self.on_task_message: set[Any] = set()
        self.handle = self.create_task_handler()

    def call_soon_ack(self, *_: Any) -> None:
        """Never called: nothing is done here."""

    def receive(self, raw: str) -> Channel:
        """Take a message as it lies in Redis, by the steps of kombu's Channel and Consumer."""
        answers = Channel()
        try:
            found = loads(raw)
        except message_format.UNUSABLE:
            found = None
        if not message_format.is_message(found):
            found = message_format.empty_message("senior-engineer")
        message = virtual.Message(found, channel=cast("Any", answers))
        message.accept = {"application/json"}
        if message.errors:
            message._reraise_error(self.on_decode_error)
        else:
            self.handle(message)
        return answers


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench()


def refused(store: Store) -> dict[str, int]:
    return {str(reason): int(times) for reason, times in store.client.hgetall(store.keys.refused).items()}


def test_what_the_script_and_the_dispatcher_send_is_taken_up(bench: Bench, store: Store) -> None:
    bench.receive(json.dumps(hostile.message()))
    bench.receive(json.dumps(hostile.message(["auth", "@validating", 12])))
    bench.receive(json.dumps(hostile.standalone()))
    (ours,) = canvas.group_of(bench.app, "auth", [commands.Launch("T2", 3, "senior-engineer")])
    headers, _, body, _ = ours.content
    bench.receive(json.dumps(hostile.message(body=json.dumps(body), headers=headers)))
    bench.receive(
        json.dumps(hostile.message([{"any": "thing"}], {"and": 1}, task="own.task", headers={"id": "7"}))
    )

    assert len(bench.taken) == 5
    assert refused(store) == {}


@pytest.mark.parametrize("text", ["x" * 5_000, "two\nlines", "a no-break\N{NO-BREAK SPACE}space", "\x1b[2J"])
def test_how_a_message_shows_its_arguments_is_no_reason_to_refuse_it(bench: Bench, text: str) -> None:
    shown = {"argsrepr": text, "kwargsrepr": text}
    bench.receive(json.dumps(hostile.message(headers=shown)))
    bench.receive(json.dumps(hostile.standalone(headers=shown)))
    bench.receive(json.dumps(hostile.message([1], task="own.task", headers={"id": "7", **shown})))

    attempt, alone, own = (message.headers for message in bench.taken)
    assert (attempt["argsrepr"], attempt["kwargsrepr"]) == ("('auth', 'T1', 1)", "{}")
    assert (alone["argsrepr"], alone["kwargsrepr"]) == ("('auth', 'T1')", "{}")
    assert own["argsrepr"].isprintable()
    assert len(own["argsrepr"]) <= 1_000


@pytest.mark.parametrize(
    ("reason", "raw"),
    [
        pytest.param(reason, raw, id=f"{place}-{raw[:40]!a}")
        for place, (reason, raw) in enumerate(hostile.raw())
        if reason is not Reason.UNKNOWN_FEATURE
    ],
)
def test_a_forged_message_is_refused_for_its_reason(
    bench: Bench, store: Store, caplog: pytest.LogCaptureFixture, reason: Reason, raw: str
) -> None:
    channel = bench.receive(raw)

    if not bench.taken:  # the models judge the rest of it where the task is done
        assert refused(store) == {reason: 1}
        assert [requeue for _, requeue in channel.refused] == [False]
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.exc_info is None
        assert record.message.isprintable()
        assert len(record.message) < 300
    else:
        assert json.loads(raw)["headers"]["task"] == "senior-engineer.standalone"


_short = some.text(max_size=12) | some.sampled_from(
    ["auth", "T1", "../x", "a:b", "\x1b[31m", "[red]", "é", "\ud800"]
)
_number = some.integers() | some.floats() | some.sampled_from([0, 1, -1, 2**63, 10**40])
_value = some.recursive(
    some.none() | some.booleans() | _number | _short,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(_short, inner, max_size=4),
    max_leaves=12,
)
_names = [
    "id",
    "task",
    "eta",
    "expires",
    "timelimit",
    "retries",
    "group",
    "shadow",
    "compression",
    "stamps",
    "x",
]
_headers = some.dictionaries(some.sampled_from(_names), _value, max_size=4)
_body = some.one_of(
    some.none(),
    _short,
    _value.map(json.dumps),
    some.tuples(_value, _value, _value).map(json.dumps),
)
_message: some.SearchStrategy[dict[str, Any]] = some.fixed_dictionaries(
    {
        "args": some.lists(_value, max_size=4) | some.just(["auth", "T1", 1]),
        "kwargs": some.none() | some.dictionaries(_short, _value, max_size=2),
        "embed": some.none()
        | some.dictionaries(some.sampled_from(["chain", "chord", "callbacks"]), _value, max_size=2),
        "headers": _headers,
        "body": _body,
        "task": some.sampled_from(STRATEGIES) | _value,
    },
    optional={
        "properties": some.dictionaries(
            some.sampled_from(
                ["delivery_tag", "delivery_info", "body_encoding", "priority", "delivery_mode"]
            ),
            _value,
        ),
        "content_type": some.sampled_from(["application/json", "application/x-python-serialize"]) | _value,
        "content_encoding": some.sampled_from(["utf-8", "bz2", "zlib", "binary"]) | _value,
    },
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    some.one_of(
        _message.map(lambda given: json.dumps(hostile.message(**given))), _value.map(json.dumps), _short
    )
)
def test_any_message_is_taken_up_whole_or_refused_with_one_line(
    bench: Bench, store: Store, caplog: pytest.LogCaptureFixture, raw: str
) -> None:
    # Given any message at all
    bench.taken.clear()
    store.client.flushall()
    caplog.clear()

    # When it is received
    channel = bench.receive(raw)

    # Then it is refused once, in a line that does nothing to a terminal,
    if not bench.taken:
        assert sum(refused(store).values()) == len(channel.refused) == len(caplog.records) == 1
        assert caplog.records[0].exc_info is None
        assert caplog.messages[0].isprintable()
        assert len(caplog.messages[0]) < 300
        return
    # or says what one of ours says: ids that name no other place, and a number
    (message,) = bench.taken
    args, kwargs, embed = message.payload
    if message.headers["task"] == "senior-engineer":
        feature, task, attempt = args
        assert message.headers["id"].rpartition(":")[0] == f"{feature}:{task}:{attempt}"
        assert not {*feature, *task} & set("/:\n\x1b[{")
        assert attempt > 0
        assert not kwargs
        assert not any((embed or {}).values())
    assert "/" not in message.headers["id"] or message.headers["task"] == "own.task"


def test_a_worker_takes_no_part_in_elections(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Workers take no part in Celery's elections, whose winner sends what somebody else has written."""
    # Given the handlers of Celery's gossip, and an event that cannot be used
    heard: list[str] = []

    def take(prepare: Any, message: Any) -> None:
        raise ValueError(message)

    gossip = SimpleNamespace(
        event_handlers={"worker.elect": heard.append, "worker.elect.ack": heard.append}, on_message=take
    )
    bench.gossip = gossip
    bench._guard_gossip()

    gossip.on_message(None, "junk")

    assert gossip.event_handlers == {}
    assert "An event of another worker is dropped (ValueError)" in caplog.text
