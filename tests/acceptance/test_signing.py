"""Signed messages run; what is not signed, or signed by a stranger, is refused and counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest

from orchestrator.config.schema.servers import Signing
from orchestrator.config.settings import Settings
from orchestrator.engine import signing
from orchestrator.model import errors
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.state.keys import Keys
from tests import hostile
from tests.acceptance.conftest import PATIENCE, MakeProject
from tests.keys import make_key
from tests.redis_server import client_of
from tests.waiting import wait_until

pytest.importorskip("cryptography")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to make keys with"),
]


def test_a_signed_message_runs_and_others_are_refused(make_project: MakeProject, tmp_path: Path) -> None:
    # Given a worker that accepts what is signed by one key, and a stranger with a key of his own
    key, certificate = make_key(tmp_path / "accepted", "orchestrator")
    stranger_key, stranger_certificate = make_key(tmp_path / "stranger", "stranger")
    store = str(tmp_path / "accepted" / "*.crt")
    project = make_project(
        broker={"signing": {"key": str(key), "certificate": str(certificate), "store": store}}
    )
    worker = project.start_worker("one", "-c", "2")
    server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]

    # When a feature is enqueued among messages that are forged, unsigned or signed by the stranger
    forger = signing.Signer(Signing(key=stranger_key, certificate=stranger_certificate, store=store))
    sealed = forger.sign(
        [["auth", "T1", 1], {}, {}], {"kind": "task", "queue": "implementation-specialist", "headers": {}}
    )
    forged: list[dict[str, Any]] = [
        hostile.message(),
        hostile.message(content_type="application/data"),
        hostile.message(content_type=signing.CONTENT_TYPE),
        hostile.message(content_type=signing.CONTENT_TYPE, body="x" * 1_000),
        hostile.message(content_type=signing.CONTENT_TYPE, body=sealed),
    ]
    for message in forged:
        server.lpush(Keys().queue("implementation-specialist"), json.dumps(message))
    tasks = [{"id": "T1", "run": "echo 1"}, {"id": "T2", "run": "echo 2", "depends_on": ["T1"]}]
    handle = project.enqueue(Feature.model_validate({"title": "Login", "tasks": tasks}))

    # Then the feature completes, all others are counted, and remote control, which is signed too, goes on
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED
    wait_until(lambda: server.hgetall(Keys().refused) == {"unsigned": str(len(forged))})
    assert worker.poll() is None
    log = (project.folder / "one.log").read_text("utf-8")
    assert "Traceback" not in log
    assert (
        "pong"
        in project.run(
            "celery", "-A", "orchestrator", "inspect", "--timeout", "60", "-d", f"one@{gethostname()}", "ping"
        ).stdout
    )


def test_a_signed_message_that_is_sent_on_to_another_specialist_is_refused(
    make_project: MakeProject, tmp_path: Path
) -> None:
    # Given a signed message that somebody took from the queue
    key, certificate = make_key(tmp_path / "accepted", "orchestrator")
    signed = {"key": str(key), "certificate": str(certificate), "store": str(certificate)}
    project = make_project(broker={"signing": signed}, recovery={"patience": "1h"})
    server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]
    tasks = [{"id": "T1", "run": "echo 1"}]
    handle = project.enqueue(Feature.model_validate({"title": "Login", "tasks": tasks}))
    taken: Any = server.rpop(Keys().queue("implementation-specialist"))

    # When it is sent on to another specialist, and later to the one that it is for
    message = json.loads(taken)
    message["headers"]["task"] = message["properties"]["delivery_info"]["routing_key"] = "senior-engineer"
    server.lpush(Keys().queue("senior-engineer"), json.dumps(message))
    project.start_worker("one", "-c", "1")
    wait_until(lambda: server.hgetall(Keys().refused) == {"unsigned": "1"})
    server.lpush(Keys().queue("implementation-specialist"), taken)

    # Then its own does it, once
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED
    assert [state.attempt for state in handle.states()] == [1]
    log = (project.folder / "one.log").read_text("utf-8")
    assert "is refused (unsigned): it was signed for another queue" in log


@pytest.mark.parametrize("wrong", ["missing", "empty", "swapped"])
def test_files_that_cannot_sign_are_named(tmp_path: Path, wrong: str) -> None:
    key, certificate = make_key(tmp_path, "orchestrator")
    if wrong == "missing":
        key.unlink()
    elif wrong == "empty":
        key.write_text("")
    else:
        key, certificate = certificate, key
    with pytest.raises(errors.CannotSign, match=r"broker\.signing is set, but messages cannot be signed: "):
        signing.Signer(Signing(key=key, certificate=certificate, store=str(tmp_path / "*.crt")))


def test_nothing_is_signed_unless_it_is_asked_for() -> None:
    assert Settings().broker.signing is None
