"""A Redis that answers and refuses: client, command line, worker and doctor say the same, and what helps."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from pydantic import SecretStr
from redis import exceptions
from redis.sentinel import MasterNotFoundError
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.local import doctor
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.finding import Finding, Level
from orchestrator.state import outage, refusals, rights, script_runner
from orchestrator.state.script_sources import sources
from tests.redis_tcp import free_port, serve_tcp

SECRET = "what the task is about 8Qx"
FEATURE = Feature.model_validate(
    {"id": "auth", "title": "Login", "tasks": [{"id": "T1", "description": SECRET}]}
)
Enter = Callable[..., redis.Redis]


def configure(file: Path, url: str) -> None:
    work = {"implementation-specialist": {"command": ["true"]}}
    file.write_text(yaml.safe_dump({"redis": {"url": url}, "specialists": work}), "utf-8")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Enter]:
    """Starts a Redis with some lines of configuration, and a folder with its URL; gives a client of it."""
    with contextlib.ExitStack() as stack:

        def start(*lines: str, account: str = "") -> redis.Redis:
            port = free_port()
            ready = f"redis://127.0.0.1:{port}/0?protocol=2"
            stack.enter_context(serve_tcp(tmp_path / "server", f"port {port}", *lines, ready=ready))
            folder = tmp_path / "project" / FOLDER
            folder.mkdir(parents=True)
            url = f"redis://{account}127.0.0.1:{port}/0"
            configure(folder / FILE, url)
            stack.enter_context(contextlib.chdir(folder.parent))
            return redis.Redis.from_url(ready, decode_responses=True)

        yield start


def refused() -> errors.RedisRefuses:
    """The answer to an enqueue. The command line gives the same."""
    with Client(configuration.load()) as client, pytest.raises(errors.RedisRefuses) as caught:
        client.enqueue(FEATURE)
    assert SECRET not in str(caught.value)
    assert "\n" in str(caught.value)
    Path("feature.json").write_text(FEATURE.model_dump_json(exclude_defaults=True), "utf-8")
    ran = CliRunner().invoke(app, ["enqueue", "feature.json"])
    assert ran.exit_code == 3, ran.output
    assert caught.value.remedy.split(" ")[0] in ran.output
    assert "Traceback" not in ran.output
    assert SECRET not in ran.output
    return caught.value


def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.examine(configuration.load())}


@pytest.mark.real
def test_a_memory_that_is_full(serve: Enter) -> None:
    server = serve("maxmemory-policy noeviction")
    server.config_set("maxmemory", "1")

    error = refused()

    assert (error.code, error.passes) == ("OOM", True)
    assert "maxmemory" in error.remedy


@pytest.mark.real
def test_a_replica(serve: Enter) -> None:
    serve(f"replicaof 127.0.0.1 {free_port()}", "replica-serve-stale-data yes")

    error = refused()

    assert (error.code, error.passes) == ("READONLY", True)
    assert "it is a replica" in findings()["replication"].text


@pytest.mark.real
def test_too_few_replicas(serve: Enter) -> None:
    serve("min-replicas-to-write 1")

    error = refused()

    assert (error.code, error.passes) == ("NOREPLICAS", True)


@pytest.mark.real
def test_a_script_that_does_not_end(serve: Enter) -> None:
    server = serve("lua-time-limit 50")

    def block() -> None:
        with contextlib.suppress(redis.RedisError):
            server.eval("while true do end", 0)

    blocker = threading.Thread(target=block)
    blocker.start()
    try:
        with redis.Redis(port=server.connection_pool.connection_kwargs["port"]) as other:
            while True:
                try:
                    other.ping()
                except redis.ResponseError:
                    break
        error = refused()
        assert "refuses a command: BUSY" in findings()["redis"].text
    finally:
        server.script_kill()
        blocker.join()
    assert (error.code, error.passes) == ("BUSY", True)


@pytest.mark.real
@pytest.mark.parametrize("command", ["EVALSHA", "SCRIPT", "TIME", "HSET"])
def test_a_command_that_is_renamed_away(serve: Enter, command: str) -> None:
    serve(f'rename-command {command} ""')

    error = refused()
    found = findings()["commands"]

    assert (error.code, error.passes) == ("UNKNOWN", False)
    assert found.level is Level.PROBLEM
    assert f"Redis does not know {command}" in found.text


@pytest.mark.real
def test_hello_renamed_away_is_named(serve: Enter) -> None:
    serve('rename-command HELLO ""')
    by_default = redis.Connection().protocol  # type: ignore[no-untyped-call]
    if str(by_default) != "3":
        pytest.skip("this redis-py says no HELLO by itself")

    assert "HELLO" in refused().cause
    assert "HELLO" in findings()["redis"].text


@pytest.mark.real
@pytest.mark.parametrize(
    ("rights_of_amy", "missing"),
    [
        ("~* &* +@all -evalsha", "EVALSHA"),
        ("~* &* +@all -@scripting", "SCRIPT LOAD, SCRIPT EXISTS, EVALSHA"),
        ("~* &* +@all -time -zadd", "TIME, ZADD"),
        ("~to:trial:* &* +@all", "the queue feature-architect"),
        ("~* resetchannels +@all", "PUBLISH, SUBSCRIBE"),
    ],
)
def test_a_user_without_rights(serve: Enter, rights_of_amy: str, missing: str) -> None:
    serve(f"user amy on >pw {rights_of_amy}", account="amy:pw@")

    found = findings()["commands"]

    assert found.level is Level.PROBLEM
    assert f"the user has no right to {missing}" in found.text
    if "-" in rights_of_amy:
        assert refused().code == "NOPERM"


@pytest.mark.real
def test_a_user_without_our_keys(serve: Enter) -> None:
    serve("user amy on >pw ~other:* &* +@all", account="amy:pw@")

    assert refused().code == "NOPERM"
    ran = CliRunner().invoke(app, ["status"])
    assert ran.exit_code == 3
    assert "deploy/users.acl" in " ".join(ran.output.split())


@pytest.mark.real
def test_a_wrong_password_a_missing_one_and_a_database_that_is_not_there(serve: Enter) -> None:
    server = serve("user amy on >pw ~* &* +@all", account="amy:wrong@")
    assert refused().code == "WRONGPASS"

    file = Path(FOLDER) / FILE
    port = server.connection_pool.connection_kwargs["port"]
    configure(file, f"redis://127.0.0.1:{port}/99")
    assert refused().code == "DATABASE"
    assert "a database that it does not have" in findings()["redis"].remedy

    server.config_set("requirepass", "pw")
    configure(file, f"redis://127.0.0.1:{port}/0")
    assert refused().code == "NOAUTH"


@pytest.mark.real
def test_the_trial_of_all_commands_leaves_nothing_behind(serve: Enter) -> None:
    server = serve()

    assert findings()["commands"].level is Level.OK
    assert list(server.scan_iter()) == []


def test_each_command_of_the_scripts_is_tried() -> None:
    import re

    used = {name for text in sources().values() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}

    assert len(used) > 20
    assert used <= rights.COMMANDS


@pytest.mark.parametrize(
    ("error", "code", "is_outage"),
    [
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "LOADING", True),
        (redis.ResponseError("MISCONF Errors writing to the AOF file"), "MISCONF", True),
        (redis.ResponseError("MASTERDOWN Link with MASTER is down"), "MASTERDOWN", True),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "NOREPLICAS", True),
        (redis.ConnectionError("max number of clients reached"), "CLIENTS", True),
        (exceptions.MovedError("866 127.0.0.1:7001"), "MOVED", False),
        (exceptions.ClusterCrossSlotError("Keys in request don't hash to the same slot"), "CROSSSLOT", False),
        (redis.ResponseError("WRONGTYPE Operation against a key"), "WRONGTYPE", False),
        (
            redis.ResponseError(
                "Error running script (call to f_0f): @user_script:12: @user_script: 12: "
                "-MISCONF Redis is configured to save RDB snapshots"
            ),
            "MISCONF",
            True,
        ),
        (
            redis.ResponseError(
                f"Command # 1 (EVALSHA 0f 1 {SECRET}) of pipeline caused error: BUSY Redis is busy"
            ),
            "BUSY",
            True,
        ),
        (redis.ResponseError("something new"), "", False),
    ],
)
def test_one_translation_for_all(error: redis.RedisError, code: str, is_outage: bool) -> None:
    told: Any = refusals.translate(error, "redis://cache")

    assert refusals.code(error) == told.code == code
    assert refusals.passes(error) is refusals.passes(told) is is_outage
    assert isinstance(told, errors.RedisRefuses)
    assert SECRET not in str(told)
    assert json.dumps(str(told))


def test_sentinels_that_know_no_master_are_told_in_a_line() -> None:
    error = MasterNotFoundError(
        "No master found for 'm' : <redis.client.Redis(…password=hunter2…)> - refused"
    )

    told = refusals.translate(error, "sentinel://a/m/0")

    assert isinstance(told, errors.RedisUnreachable)
    assert told.cause == "No master found for 'm'"
    assert refusals.passes(error)


def test_who_waits_outlasts_what_passes_in_either_form(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    answers: list[Exception | str] = [
        refusals.translate(
            exceptions.ReadOnlyError("You can't write against a read only replica."), "redis://cache"
        ),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        errors.NotReplicated(url="redis://cache", there=0, wanted=1),
        "done",
    ]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("redis.retry.sleep", lambda _: None)
    assert outage.outlast(ask, "the outcome of T1", longest=600, tell=told.append) == "done"
    assert len(told) == 2
    assert RedisSettings(url=SecretStr("redis://cache"), replicas=1).replicas == 1


def test_a_right_that_is_missing_is_no_fault_of_the_feature() -> None:
    with pytest.raises(redis.ResponseError), script_runner.readable("auth"):
        raise redis.exceptions.NoPermissionError(
            "User orchestrator has no permissions to run the 'hscan' command."
        )
    with pytest.raises(errors.UnreadableFeature), script_runner.readable("auth"):
        raise redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
