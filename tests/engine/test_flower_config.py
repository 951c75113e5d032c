"""Flower as `celery -A orchestrator flower` starts it."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.config import configuration
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.engine import canvas, flower_config
from orchestrator.engine.flower_config import format_task
from orchestrator.local import processes
from orchestrator.model import commands, errors
from tests.redis_tcp import free_port
from tests.waiting import wait_until


def flower_task(**given: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"args": "('auth', 'T2', 1)", "result": None, "exception": None, **given})


@pytest.mark.parametrize(("attempt", "shown"), [(1, "auth → T2"), (3, "auth → T2 (attempt 3)")])
def test_a_task_shows_its_feature_and_its_name(attempt: int, shown: str) -> None:
    identity = canvas.message_id("auth", commands.Launch("T2", attempt, "senior-engineer"))
    assert format_task(flower_task(uuid=identity)).args == shown


def test_why_a_task_stopped_stands_where_its_result_would() -> None:
    shown = format_task(
        flower_task(uuid="auth:T2:1:0f3a9c5e71d2", exception="TaskFailed('T2: failed: code-error')")
    )
    assert shown.result == "T2: failed: code-error"


def test_a_result_is_shown_without_its_quotation_marks() -> None:
    assert (
        format_task(flower_task(uuid="auth:T2:1:0f3a9c5e71d2", result="'T2: completed'")).result
        == "T2: completed"
    )


def test_a_task_of_another_kind_is_left_as_it_is() -> None:
    shown = format_task(flower_task(uuid="1b4e28ba-2fa1-11d2-883f-0016d3cca427", args="({'id': 'auth'},)"))
    assert (shown.args, shown.result) == ("({'id': 'auth'},)", None)


def test_the_task_that_flower_keeps_is_not_changed() -> None:
    task = flower_task(uuid="auth:T2:1:0f3a9c5e71d2")
    format_task(task)
    assert task.args == "('auth', 'T2', 1)"


def options(**given: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"address": "127.0.0.1", "basic_auth": [], "auth": "", "unix_socket": "", **given}
    )


ON_A_NETWORK = Settings(redis=RedisSettings(url="redis://redis.example:6379/0"))
OPEN = {flower_config.OPEN_API: "true"}


def test_an_open_api_beside_the_private_redis_is_refused() -> None:
    with pytest.raises(errors.UnsafeFlower, match=flower_config.OPEN_API):
        flower_config.check(options(), Settings(), OPEN)
    flower_config.check(options(basic_auth=["me:secret"]), Settings(), OPEN)
    flower_config.check(options(), ON_A_NETWORK, OPEN)
    flower_config.check(options(), Settings(), {flower_config.OPEN_API: "false"})


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({}, False),
        ({"address": ""}, True),
        ({"address": "0.0.0.0"}, True),
        ({"address": "0.0.0.0", "basic_auth": ["me:secret"]}, False),
        ({"address": "", "unix_socket": "/run/flower.sock"}, False),
    ],
)
def test_an_open_address_without_a_password_is_warned_of(
    given: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    flower_config.check(options(**given), Settings(), {})
    assert bool(caplog.records) == warned


@pytest.mark.parametrize(
    ("host", "given", "strange"),
    [
        ("localhost:5555", {}, False),
        ("127.0.0.1:5555", {}, False),
        ("[::1]:5555", {}, False),
        ("evil.example:5555", {}, True),
        ("127.0.0.1.evil.example", {}, True),
        ("", {}, True),
        ("flower.example", {"basic_auth": ["me:secret"]}, False),
        ("flower.example", {"address": "0.0.0.0"}, False),
    ],
)
def test_a_host_that_it_is_not_is_strange(host: str, given: dict[str, Any], strange: bool) -> None:
    assert flower_config.is_foreign_host(host, options(**given)) is strange


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Flower, where it does not start."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "orchestrator", "flower", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answer(port: int, host: str, path: str = "/healthcheck", method: str = "GET") -> int:
    """The status with which it answers a request for a host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers={"Host": host})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


@pytest.mark.real
def test_flower_answers_to_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = start(tmp_path, f"--port={free_port()}", **OPEN)
    assert (refused.returncode, refused.stderr.split(":")[0]) == (2, "Flower does not start")

    port = free_port()
    # Without --address: as the page on Flower starts it
    command = ["-A", "orchestrator", "flower", f"--port={port}"]
    with processes.celery(configuration.load(), command, tmp_path / "log") as flower:
        wait_until(lambda: flower.poll() is not None or answer(port, "localhost") == 200)
        assert answer(port, "localhost") == 200
        assert answer(port, "evil.example") == 403
        for way in flower_config.STARTS:
            assert answer(port, "localhost", f"/api/task/{way}/reviewer.standalone", "POST") == 403
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()]
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
