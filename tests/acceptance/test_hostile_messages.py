"""A stranger who can write to a queue can send anything: the workers refuse it, count it, and go on."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest

from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.state.keys import Keys
from tests import hostile
from tests.acceptance.conftest import PATIENCE, MakeProject, Project
from tests.redis_server import client_of
from tests.waiting import wait_until

pytestmark = pytest.mark.real

QUEUE = "senior-engineer"
KEY = Keys().queue(QUEUE)


def peak(pid: int) -> int:
    """The most memory that a process had so far, in bytes (proc_pid_status(5))."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found
    return int(found[1]) * 1024


def closed_project(make_project: MakeProject) -> Project:
    """A project whose features may not bring commands, as on any shared Redis."""
    return make_project(
        trust={"inline_commands": False, "canvas": True},
        specialists={QUEUE: {"command": ["/bin/echo", "done"]}},
    )


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_hostile_messages_are_refused_and_counted_and_the_worker_goes_on(
    make_project: MakeProject, pool: str
) -> None:
    # Given a worker on a queue, which has done something
    project = closed_project(make_project)
    worker = project.start_worker("one", "-c", "2", "--pool", pool)
    feature = Feature.model_validate({"title": "Good", "tasks": [{"id": "T1", "tags": ["bug"]}]})
    assert project.enqueue(feature).wait(PATIENCE).status is FeatureStatus.COMPLETED
    before = peak(worker.pid)

    # When some 250 hostile messages lie before a good feature
    messages = list(hostile.raw())
    assert len(messages) > 200
    server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]
    for _, message in messages:
        server.lpush(KEY, message.encode("utf-8", "surrogatepass"))
    good = project.enqueue(feature)

    # Then the feature completes, and each message is counted once, by its reason
    assert good.wait(PATIENCE).status is FeatureStatus.COMPLETED
    expected = {
        str(reason): str(times) for reason, times in Counter(reason for reason, _ in messages).items()
    }
    wait_until(lambda: sum(map(int, server.hvals(Keys().refused))) >= len(messages))
    assert server.hgetall(Keys().refused) == expected
    # and nothing of them is left: no message to come again, no result, no feature, no file
    assert (
        server.llen(KEY) == server.hlen("to:celery:unacked") == server.zcard("to:celery:unacked_index") == 0
    )
    assert server.zcard(Keys().features) == 2
    assert set(server.keys("to:celery:celery-task-meta-*")) <= {"to:celery:celery-task-meta-4f1c"}
    outside = {path.name for path in project.folder.parent.iterdir()}
    assert outside == {"project", "redis"}
    assert {path.name for path in (project.settings.folder / "work").iterdir()} == {
        handle.id for handle in project.client().features()
    }
    # and the worker lives, kept its memory, and told of each in one line that does nothing to a terminal
    assert worker.poll() is None
    assert peak(worker.pid) - before < hostile.BOMB / 2
    log = (project.folder / "one.log").read_text("utf-8")
    assert "Traceback" not in log
    lines = log.splitlines()
    assert max(map(len, lines)) < 1_000
    assert all(line.replace("\t", "").isprintable() for line in lines)
    told = re.compile(r"is refused \(|CanvasStopped\('refused: |\] \S+ not started: it is not stored here")
    assert len([line for line in lines if told.search(line)]) == len(messages)
    # and the doctor tells of them
    findings = json.loads(project.orchestrator("doctor", "--json").stdout)["findings"]
    (found,) = [finding for finding in findings if finding["finding"] == "refused messages"]
    assert found["level"] == "warning"
    assert f"{len(messages)} so far" in found["text"]


def test_a_message_with_a_command_in_it_obeys_the_operator(make_project: MakeProject) -> None:
    # Given a worker that may not run what a feature brings
    project = closed_project(make_project)
    project.start_worker("one", "-c", "1")
    server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]
    target = project.folder / "made"

    # When a forged message of the task that takes its work from its arguments brings a command
    task = {"id": "T1", "run": ["/usr/bin/touch", str(target)]}
    server.lpush(KEY, json.dumps(hostile.standalone(task=task)))

    # Then it is not run, and the reason is told
    wait_until(lambda: "FAILURE" in str(server.get("to:celery:celery-task-meta-4f1c")))
    assert "trust.inline_commands" in str(server.get("to:celery:celery-task-meta-4f1c"))
    assert not target.exists()


def test_noise_on_the_channels_of_events_and_of_control_is_dropped_in_a_line_each(
    make_project: MakeProject,
) -> None:
    # Given a worker that listens to other workers and to remote control
    project = closed_project(make_project)
    worker = project.start_worker("one", "-c", "1")
    feature = Feature.model_validate({"title": "Good", "tasks": [{"id": "T1", "tags": ["bug"]}]})
    assert project.enqueue(feature).wait(PATIENCE).status is FeatureStatus.COMPLETED
    server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]
    channels = [
        "to:celery:/0.celery.pidbox",
        "to:celery:/0.celeryev/worker.heartbeat",
        "to:celery:/0.celeryev/worker.online",
        "to:celery:/0.celeryev/worker.elect",
    ]
    received = 0

    def publish(channel: str, message: bytes) -> bool:
        nonlocal received
        receivers = int(server.publish(channel, message))
        received += receivers
        return receivers > 0

    wait_until(lambda: all(publish(channel, b"x") for channel in channels))

    # When all sorts of things are published there
    bodies = ["", "null", "[]", "7", '{"type": "worker-heartbeat"}', '{"method": "shutdown", "arguments": 7}']
    bodies += [
        '{"method": "ping\\n\\u001b[31m"}',
        '{"method": "rate_limit", "arguments": {"x": 1}}',
        '{"method": ["ping"]}',
        '{"method": "ping", "destination": 7}',
        '{"method": "ping", "pattern": "(", "matcher": "pcre"}',
        '{"method": "ping", "pattern": "(", "matcher": "none"}',
        '{"method": "ping", "reply_to": "nowhere"}',
    ]
    noise = [message for _, message in hostile.raw() if len(message) < 1_000]
    no_headers: list[dict[str, Any]] = [{}, {"hostname": {}}]
    noise += [
        json.dumps(hostile.message(body=body, headers=headers)) for body in bodies for headers in no_headers
    ]
    noise += ["[" * 100_000]
    for channel in channels:
        for message in noise:
            publish(channel, message.encode("utf-8", "surrogatepass"))

    # Then the worker lives, works, and obeys
    assert project.enqueue(feature).wait(PATIENCE).status is FeatureStatus.COMPLETED
    assert worker.poll() is None
    inspect = ("celery", "-A", "orchestrator", "inspect", "--timeout", "60", "-d", f"one@{gethostname()}")
    assert "pong" in project.run(*inspect, "ping").stdout
    # in a process of its own: it asks through the app that its process made first
    assert project.run("orchestrator", "doctor").returncode == 0
    # and has told of each in a line that does nothing to a terminal
    log = project.folder / "one.log"
    told = re.compile(r"is dropped|is refused|of remote control failed")
    wait_until(lambda: len(told.findall(log.read_text("utf-8"))) >= received)
    lines = log.read_text("utf-8").splitlines()
    assert len([line for line in lines if told.search(line)]) == received
    assert not [line for line in lines if "Traceback" in line]
    assert max(map(len, lines)) < 1_000
    assert all(line.replace("\t", "").isprintable() for line in lines)
