"""With `broker.signing`, who can write to the broker has messages that others signed, and can do nothing with them."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from socket import gethostname
from typing import Any, Self

import pytest
import redis

from orchestrator.engine import canvas
from orchestrator.engine.app import create
from orchestrator.engine.signing import SignatureRejected, Signer
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.planning import planner
from orchestrator.state.keys import Keys
from tests.acceptance.conftest import PATIENCE, Project, open_project
from tests.keys import make_signing
from tests.redis_server import client_of
from tests.waiting import wait_until

pytest.importorskip("cryptography")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to make keys with"),
]

QUEUE = "implementation-specialist"
APPEND = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose messages are signed."""
    folder = tmp_path_factory.mktemp("signed")
    signing = make_signing(folder / "keys").model_dump(mode="json")
    with open_project(folder, broker={"signing": signing}) as project:
        yield project


@pytest.fixture
def broker(project: Project) -> redis.Redis:
    """The broker, for who can write to it."""
    return client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]


def refused(project: Project, broker: redis.Redis) -> dict[str, int]:
    found: Any = broker.hgetall(Keys(project.settings.redis.prefix).refused)
    return {reason: int(count) for reason, count in found.items()}


def test_a_recorded_message_of_a_canvas_runs_nothing(
    project: Project, broker: redis.Redis, tmp_path: Path
) -> None:
    """A message that is sent again, later, to another queue, or with other headers, is refused."""
    # Given a canvas that ran, and its messages, which somebody has taken from the queue
    lines = tmp_path / "lines"
    tasks = [
        {"id": id, "run": [sys.executable, "-c", APPEND, str(lines), id], "depends_on": before}
        for id, before in (("T1", []), ("T2", ["T1"]))
    ]
    feature = Feature.model_validate({"title": "Login", "tasks": tasks})
    app = create(project.settings)
    keys, queues = Keys(project.settings.redis.prefix), (QUEUE, "senior-engineer")
    result: Any = canvas.chain_of_groups(planner.plan(feature), app).apply_async()
    (recorded,) = broker.lrange(keys.queue(QUEUE), 0, -1)
    project.start_worker("one", "-c", "2")
    result.get(timeout=PATIENCE, disable_sync_subtasks=False)
    assert lines.read_text().split() == ["T1", "T2"]
    before = refused(project, broker)

    # When it is sent again, as it was, under another id, for another specialist, and with another time limit
    messages = [json.loads(recorded) for _ in range(5)]
    messages[1]["headers"]["id"] = "another"
    messages[2]["headers"]["task"] = "senior-engineer.standalone"
    messages[3]["headers"]["timelimit"] = [1, 1]
    messages[4]["properties"]["delivery_info"]["routing_key"] = "elsewhere"
    for message in messages:
        broker.lpush(keys.queue(QUEUE), json.dumps(message))
    broker.lpush(keys.queue("senior-engineer"), recorded)

    # Then all are refused, and nothing runs
    def new() -> dict[str, int]:
        return {reason: count - before.get(reason, 0) for reason, count in refused(project, broker).items()}

    wait_until(lambda: new() == {"repeated": 1, "unsigned": 5})
    wait_until(lambda: not any(broker.llen(keys.queue(queue)) for queue in queues))
    assert lines.read_text().split() == ["T1", "T2"]


def test_a_recorded_command_of_remote_control_does_nothing(project: Project, broker: redis.Redis) -> None:
    """A command of remote control counts once, for a minute, and for workers that ran when it was signed."""
    # Given a worker that was shut down by remote control, and somebody who has recorded it
    name, app = f"two@{gethostname()}", create(project.settings)
    first = project.start_worker("two", "-c", "1")
    wait_until(lambda: bool(app.control.ping(destination=[name], timeout=1)))
    with listening(broker) as channel:
        app.control.rate_limit(QUEUE, "7/s", destination=[name])
        app.control.shutdown(destination=[name])
        assert first.wait(PATIENCE) == 0
        recorded = [(one["channel"], one["data"]) for one in heard(channel)]
    assert len(recorded) == 2, "the rate limit, and the shutdown"

    # When it is sent again to a worker of that name that starts later
    again = project.start_worker("two", "-c", "1")
    wait_until(lambda: bool(app.control.ping(destination=[name], timeout=1)))
    for place, data in recorded:
        broker.publish(place, data)

    # Then it says so, and goes on
    log = project.folder / "two.log"
    said = "is refused (unsigned): it was signed before this worker began to listen"
    wait_until(lambda: log.read_text("utf-8").count(said) == 2)
    assert app.control.ping(destination=[name], timeout=PATIENCE)
    assert again.poll() is None
    # And a command that is sent twice counts once
    with listening(broker) as channel:
        app.control.rate_limit(QUEUE, "5/s", destination=[name])
        wait_until(lambda: "5/s" in log.read_text("utf-8") or "rate limit" in log.read_text("utf-8"))
        ((place, data),) = [(one["channel"], one["data"]) for one in heard(channel)]
    broker.publish(place, data)
    wait_until(lambda: "is refused (unsigned): it has come before" in log.read_text("utf-8"))


@contextlib.contextmanager
def listening(broker: Any) -> Iterator[Any]:
    """Hear all that is published from here on."""
    with broker.pubsub() as channel:
        channel.psubscribe("*")
        assert channel.get_message(timeout=PATIENCE)["type"] == "psubscribe"
        yield channel


def heard(channel: Any) -> Iterator[dict[str, Any]]:
    """The commands of remote control that were published since somebody listens."""
    while one := channel.get_message(timeout=0.2):
        if one["type"] == "pmessage" and "pidbox" in one["channel"] and "reply" not in one["channel"]:
            yield one


def test_a_message_does_not_choose_what_decodes_it(project: Project, broker: redis.Redis) -> None:
    """A signed message is JSON, whatever its sender says of its type."""
    # Given one that is signed by an accepted key, and says that it is YAML or a pickle
    app, keys = create(project.settings), Keys(project.settings.redis.prefix)
    app.send_task(QUEUE, ("nowhere", "T1", 1), task_id="nowhere:T1:1:0f3a9c5e71d2", queue="nobody")
    taken: Any = broker.rpop(keys.queue("nobody"))
    project.start_worker("three", "-c", "1")
    before = refused(project, broker)

    # When it comes
    for content_type in ("application/x-yaml", "application/x-python-serialize", "application/data"):
        broker.lpush(keys.queue(QUEUE), json.dumps({**json.loads(taken), "content-type": content_type}))

    # Then nothing reads it
    wait_until(
        lambda: (
            refused(project, broker).get("unsigned", 0) + refused(project, broker).get("content-type", 0)
            == before.get("unsigned", 0) + before.get("content-type", 0) + 3
        )
    )


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def test_a_certificate_that_has_expired_stops_its_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that has expired stops its messages."""
    signer = Signer(make_signing(tmp_path / "keys"))
    sealed = signer.sign({"a": 1}, {"kind": "task"})
    assert signer.verify(sealed, "task").body == {"a": 1}

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(super().now().timestamp() + 400 * 86_400, tz)

    monkeypatch.setattr("orchestrator.engine.signing.datetime", Later)
    with pytest.raises(SignatureRejected, match="has expired"):
        signer.verify(sealed, "task")


@pytest.mark.parametrize("whose", ["the sender's", "an accepted one"])
def test_keys_of_another_kind_than_rsa_are_refused_at_the_start(tmp_path: Path, whose: str) -> None:
    """Keys of another kind than RSA are refused at the start."""
    signing = make_signing(tmp_path / "keys")
    key, certificate = tmp_path / "other.key", tmp_path / "keys" / "other.crt"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    openssl("req", "-x509", *curve, "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", certificate)
    if whose == "the sender's":
        signing = signing.model_copy(update={"key": key, "certificate": certificate})
    else:
        signing = signing.model_copy(update={"store": str(tmp_path / "keys" / "*.crt")})

    with pytest.raises(errors.CannotSign, match="a key or certificate cannot be used"):
        Signer(signing)
