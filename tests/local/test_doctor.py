"""The doctor's findings and its advice."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.config import urls
from orchestrator.config.folder import FOLDER
from orchestrator.config.schema.servers import BrokerSettings, RedisSettings
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.local import doctor, machine_checks, redis_checks
from orchestrator.local.worker_checks import check_workers
from orchestrator.model import errors
from orchestrator.model.finding import Finding, Level
from orchestrator.state import embedded, redis_binary, schema
from orchestrator.state.durability import _persistence
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.redis_server import chosen_binaries, client_of, name_of, serve

NOBODY_LISTENS = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture(params=chosen_binaries(), ids=name_of)
def binary(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(tmp_path: Path, binary: str) -> Iterator[str]:
    with serve(tmp_path / "server", binary) as url:
        yield url


@pytest.fixture(autouse=True)
def _an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """The workers that answer, by name, with their queues. None, until a test adds some."""
    answers: dict[str, list[dict[str, Any]]] = {}
    module = ModuleType("orchestrator.celery")
    inspector = SimpleNamespace(active_queues=lambda: answers or None)
    module.app = SimpleNamespace(control=SimpleNamespace(inspect=lambda timeout: inspector))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orchestrator.celery", module)
    return answers


def settings_for(url: str, broker: str | None = None) -> Settings:
    return Settings(
        redis=RedisSettings(url=SecretStr(url)),
        broker=BrokerSettings(url=SecretStr(broker) if broker else None),
    )


def found(settings: Settings) -> dict[str, Finding]:
    findings = doctor.examine(settings)
    by_name = {finding.name: finding for finding in findings}
    assert len(by_name) == len(findings), "two findings have one name"
    assert "secret" not in repr(findings)
    assert all(bool(finding.remedy) == (finding.level is not Level.OK) for finding in findings)
    return by_name


def limited(url: str, rights: str) -> str:
    """The URL of a user with these rights only."""
    client_of(url).execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", *rights.split())  # type: ignore[no-untyped-call]
    return url.replace("unix://", "unix://limited:secret@")


@pytest.mark.real
def test_a_server_as_it_should_be_is_well(url: str, binary: str) -> None:
    findings = found(settings_for(url))

    redis = findings["redis"]
    assert redis.level is Level.OK
    product = "Valkey" if "valkey" in name_of(binary) else "Redis"
    assert redis.text == f"{url} answers ({product} {'.'.join(map(str, redis_binary.version_of(binary)))})"
    for name in ("eviction", "persistence", "clock", "broker"):
        assert findings[name].level is Level.OK, name


@pytest.mark.real
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_throws_work_away_is_a_problem(url: str, policy: str) -> None:
    client_of(url).config_set("maxmemory-policy", policy)
    assert found(settings_for(url))["eviction"].level is Level.WARNING  # nothing is full without a maxmemory
    client_of(url).config_set("maxmemory", "1gb")

    eviction = found(settings_for(url))["eviction"]

    assert eviction.level is Level.PROBLEM
    assert policy in eviction.text
    assert "CONFIG SET maxmemory-policy noeviction" in eviction.remedy


@pytest.mark.real
def test_a_server_that_keeps_nothing_is_a_warning_until_it_saves(url: str) -> None:
    client = client_of(url)
    client.config_set("appendonly", "no")
    assert found(settings_for(url))["persistence"].level is Level.WARNING

    client.config_set("save", "60 1000")
    assert found(settings_for(url))["persistence"].level is Level.OK


@pytest.mark.real
def test_what_may_not_be_read_is_a_warning(url: str) -> None:
    # Given a user that may use the data, but not ask about the server
    client_of(url).config_set("appendonly", "no")
    allowed = limited(url, "+@all -config")
    assert found(settings_for(allowed))["persistence"].text == "cannot tell: CONFIG GET was refused"

    # And one that may ask nothing at all
    findings = found(settings_for(limited(url, "-info -time")))
    assert findings["redis"].level is Level.OK
    assert findings["redis version"].level is Level.WARNING
    assert findings["clock"].level is Level.WARNING


@pytest.mark.real
def test_refused_messages_are_a_warning_with_their_reasons(url: str) -> None:
    # Given workers that refused nothing yet, and then three messages
    assert found(settings_for(url))["refused messages"].level is Level.OK
    store = Store(client_of(url), Keys())
    for reason in ("arguments", "malformed", "arguments"):
        store.refuse(reason)

    # When the doctor looks, then it tells how many, and why
    refused = found(settings_for(url))["refused messages"]
    assert refused.level is Level.WARNING
    assert refused.text == "3 so far (arguments 2, malformed 1)"


@pytest.mark.real
def test_a_wrong_password_is_a_problem(url: str) -> None:
    limited(url, "+@all")

    redis = found(settings_for(url.replace("unix://", "unix://limited:mistaken-secret@")))["redis"]

    assert redis.level is Level.PROBLEM
    assert "unix://limited:**@" in redis.text


def test_a_redis_that_does_not_answer_is_a_problem_and_ends_the_examination() -> None:
    findings = found(settings_for(NOBODY_LISTENS))

    assert findings["redis"].level is Level.PROBLEM
    assert "redis://:**@127.0.0.1:1/0 does not answer" in findings["redis"].text
    assert not findings.keys() & {"eviction", "broker", "workers"}


def test_an_old_server_is_a_problem(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.3 sha=00000000:0'\n")
    old.chmod(0o755)

    redis = found(Settings(redis=RedisSettings(redis_server=str(old))))["redis"]

    assert redis.level is Level.PROBLEM
    assert "5.0.3" in redis.text
    assert "6.2" in redis.remedy


@pytest.mark.real
def test_where_nothing_is_configured_and_no_folder_is_there_nothing_is_made(
    tmp_path: Path, binary: str
) -> None:
    redis = found(Settings(redis=RedisSettings(redis_server=binary)))["redis"]

    assert redis.level is Level.OK
    assert binary in redis.text
    assert list((tmp_path / "project").iterdir()) == []


@pytest.mark.real
def test_the_private_server_is_started_for_the_look_and_stopped_after_it(tmp_path: Path, binary: str) -> None:
    (tmp_path / "project" / FOLDER).mkdir()
    settings = Settings(redis=RedisSettings(redis_server=binary))

    findings = found(settings)

    assert f"{binary})" in findings["redis"].text
    assert findings["eviction"].level is Level.OK
    assert findings["persistence"].level is Level.OK
    assert embedded.running(settings) is None


@pytest.mark.real
def test_the_private_server_in_use_is_left_running(tmp_path: Path, binary: str) -> None:
    (tmp_path / "project" / FOLDER).mkdir()
    settings = Settings(redis=RedisSettings(redis_server=binary))
    embedded.connect(settings)
    try:
        assert found(settings)["redis"].level is Level.OK
        assert embedded.running(settings)
    finally:
        embedded.release(settings)


@pytest.mark.parametrize("folder_is_there", [True, False])
def test_no_redis_server_is_a_problem(tmp_path: Path, folder_is_there: bool) -> None:
    if folder_is_there:
        (tmp_path / "project" / FOLDER).mkdir()

    redis = found(Settings(redis=RedisSettings(redis_server="/no/such/redis")))["redis"]

    assert redis.level is Level.PROBLEM
    assert "/no/such/redis" in redis.text


@pytest.mark.real
def test_a_broker_of_its_own_is_tried(url: str) -> None:
    answers = found(settings_for(url, broker=url.replace("unix://", "redis+socket://")))
    assert answers["broker"].level is Level.OK

    does_not = found(settings_for(url, broker=NOBODY_LISTENS))
    assert does_not["broker"].level is Level.PROBLEM
    assert "redis://:**@127.0.0.1:1/0" in does_not["broker"].text
    assert "workers" not in does_not

    unknown = found(settings_for(url, broker="carrier-pigeon://user:secret@loft"))
    assert unknown["broker"].level is Level.PROBLEM


def test_a_broker_that_fails_in_a_way_of_its_own_is_a_problem(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> None:
        raise FileNotFoundError(2, "No such file or directory", "data_in")  # as kombu's transport of files

    monkeypatch.setattr("orchestrator.local.worker_checks._ask_the_workers", ask)
    workers = found(settings_for(url))["workers"]
    assert workers.level is Level.PROBLEM
    assert workers.text == "they cannot be asked (FileNotFoundError)"


@pytest.mark.real
def test_no_worker_is_a_warning(url: str) -> None:
    findings = found(settings_for(url))

    assert findings["workers"].level is Level.WARNING
    assert "queues" not in findings


@pytest.mark.real
def test_a_queue_without_a_worker_is_a_warning(url: str, workers: dict[str, list[dict[str, Any]]]) -> None:
    # Given a worker for all the specialists' queues but one
    settings = settings_for(url)
    *served, left = sorted(settings.queue(name) for name in settings.specialists)
    workers["w1@host"] = [{"name": name} for name in served]
    queues = found(settings)["queues"]
    assert queues.level is Level.WARNING
    assert queues.remedy.endswith(f"-Q {left}")

    # When another one takes that
    workers["w2@host"] = [{"name": left}]

    # Then all is well
    findings = found(settings)
    assert findings["workers"].text == "2 there: w1@host, w2@host"
    assert findings["queues"].level is Level.OK


@pytest.mark.real
def test_where_tasks_of_an_app_are_called_a_specialist_without_work_needs_no_worker(
    url: str, workers: dict[str, list[dict[str, Any]]]
) -> None:
    workers["w1@host"] = [{"name": "celery"}]
    settings = settings_for(url).model_copy(update={"app": "proj"})

    def level(given: Settings) -> Level:
        with client_of(url) as client:
            return next(one for one in check_workers(given, client) if one.name == "queues").level

    assert level(settings) is Level.OK
    writer = SpecialistSettings(command=["write"])
    more = settings.model_copy(update={"specialists": {**settings.specialists, "writer": writer}})
    assert level(more) is Level.WARNING


@pytest.mark.real
def test_a_specialist_whose_tasks_agents_claim_needs_a_worker_for_gates_alone(
    url: str, workers: dict[str, list[dict[str, Any]]]
) -> None:
    settings = settings_for(url)
    workers["w1@host"] = [{"name": settings.queue(name)} for name in settings.specialists]
    reviewer = SpecialistSettings.model_validate({"agent": {"runtime": "pull"}})
    more = settings.model_copy(update={"specialists": {**settings.specialists, "reviewer": reviewer}})
    gated = more.model_copy(
        update={"quality_gates": settings.quality_gates.model_copy(update={"enabled": True})}
    )

    def level(given: Settings) -> Level:
        with client_of(url) as client:
            return next(one for one in check_workers(given, client) if one.name == "queues").level

    assert [level(given) for given in (more, gated)] == [Level.OK, Level.WARNING]


@pytest.mark.real
def test_workers_that_cannot_be_asked_are_a_problem(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.RedisUnreachable(url="redis://localhost", cause="it is away")

    def refuse(timeout: float) -> None:
        raise error

    monkeypatch.setattr(sys.modules["orchestrator.celery"].app.control, "inspect", refuse)

    workers = found(settings_for(url))["workers"]
    assert workers.level is Level.PROBLEM
    assert "it is away" in workers.text


@pytest.mark.parametrize(
    ("here", "level", "words"),
    [
        (1000.0, Level.OK, "agree"),
        (1004.9, Level.OK, "agree"),
        (1006.0, Level.WARNING, "6 s ahead of Redis"),
        (994.0, Level.WARNING, "6 s behind Redis"),
    ],
)
def test_clocks_apart_are_a_warning(here: float, level: Level, words: str) -> None:
    finding = redis_checks.check_clock((1000, 0), here)

    assert finding.level is level
    assert words in finding.text


def test_a_disk_that_cannot_be_written_is_a_problem() -> None:
    client: Any = None
    finding = _persistence({"aof_enabled": 1, "aof_last_write_status": "err"}, client)

    assert finding.level is Level.PROBLEM


def test_the_configuration_in_force_is_named(tmp_path: Path) -> None:
    assert "the defaults" in found(settings_for(NOBODY_LISTENS))["configuration"].text

    file = tmp_path / "project" / FOLDER / "config.yaml"
    file.parent.mkdir()
    file.write_text("")
    assert str(file) in found(settings_for(NOBODY_LISTENS))["configuration"].text


def test_logs_that_cannot_be_written_are_a_problem(tmp_path: Path) -> None:
    assert found(settings_for(NOBODY_LISTENS))["logs"].level is Level.OK

    (tmp_path / "file").touch()
    settings = Settings(redis=RedisSettings(url=SecretStr(NOBODY_LISTENS)), logs=tmp_path / "file" / "logs")
    assert found(settings)["logs"].level is Level.PROBLEM


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://:secret@localhost:6379/0", "redis://:**@localhost:6379/0"),
        ("redis://user:secret@localhost/0", "redis://user:**@localhost/0"),
        ("redis://user:1/secret@localhost/0", "redis://user:**@localhost/0"),
        ("redis://:a?secret@localhost/0", "redis://:**@localhost/0"),
        ("redis://:a;secret@localhost/0", "redis://:**@localhost/0"),
        ("redis://:a#secret@localhost/0", "redis://:**@localhost/0"),
        ("rediss://localhost/0?password=secret", "rediss://localhost/0"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
        ("unix://user:secret@/run/redis.sock", "unix://user:**@/run/redis.sock"),
        ("sentinel://:secret@a:1;sentinel://:secret@b:2", "sentinel://:**@a:1;sentinel://:**@b:2"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert urls.safe_url(url) == shown


def test_eviction_that_is_allowed_is_a_warning(url: str) -> None:
    client_of(url).config_set("maxmemory-policy", "allkeys-lru")
    client_of(url).config_set("maxmemory", "1gb")
    allowed = Settings(redis=RedisSettings(url=SecretStr(url), allow_eviction=True))
    assert found(allowed)["eviction"].level is Level.WARNING


@pytest.mark.real
def test_what_a_newer_version_wrote_is_a_warning_and_what_it_asks_for_a_problem(url: str) -> None:
    client, keys = client_of(url), Keys("to")
    assert found(settings_for(url))["schema"].level is Level.OK

    client.sadd(keys.active, "auth")
    client.hset(keys.feature("auth").meta, "schema", schema.VERSION + 1)
    newer = found(settings_for(url))["schema"]
    assert newer.level is Level.WARNING
    assert "a newer version wrote auth" in newer.text

    Store(client, keys).recovery.raise_minimum(schema.VERSION + 1)
    outdated = found(settings_for(url))["schema"]
    assert outdated.level is Level.PROBLEM
    assert "too old for the data under the prefix to" in outdated.text


@pytest.mark.parametrize(
    ("environment", "warnings"),
    [
        ({}, 0),
        ({"FLOWER_ADDRESS": "127.0.0.1"}, 0),
        ({"FLOWER_ADDRESS": "0.0.0.0"}, 1),
        ({"FLOWER_UNAUTHENTICATED_API": "true"}, 1),
        ({"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": "me:secret"}, 0),
    ],
)
def test_a_flower_that_is_open_to_others_is_a_warning(environment: dict[str, str], warnings: int) -> None:
    found = list(machine_checks.check_flower(environment))
    assert [finding.level for finding in found] == [Level.WARNING] * warnings


def test_folders_of_which_nothing_is_removed_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "project" / FOLDER
    folder.mkdir()
    for name in ("logs", "work"):
        (tmp_path / name).mkdir()
        (folder / name).symlink_to(tmp_path / name)

    findings = found(Settings())

    assert all(
        "nothing behind it is ever removed" in findings[f"folder {name}"].text for name in ("logs", "work")
    )


def test_a_folder_of_logs_and_a_configuration_that_others_can_write_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, file = tmp_path / "logs", tmp_path / "named.yaml"
    logs.mkdir()
    file.write_text("")
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(file))
    assert "shared logs" not in found(Settings(logs=logs))

    logs.chmod(0o1777)
    file.chmod(0o664)
    findings = found(Settings(logs=logs))

    assert "others can write" in findings["shared logs"].text
    assert findings["configuration"].remedy.endswith(f"chmod go-w {file}")


@pytest.mark.real
def test_keys_that_somebody_has_overwritten_are_named_with_the_remedy(url: str) -> None:
    """`doctor` names the keys and the remedy."""
    server = client_of(url)
    settings = settings_for(url)
    assert "keys" not in found(settings)
    keys = Keys()
    server.set(keys.queue("senior-engineer"), "x")
    server.hset(keys.queue("senior-engineer\x06\x163"), "a", "b")
    server.set(keys.features, "x")
    server.sadd(keys.active, "spoilt")
    server.set(keys.feature("spoilt").states, "x")

    keys_ = found(settings)["keys"]

    assert keys_.level is Level.PROBLEM
    assert '"to:celery:senior-engineer" is a string, and should be a list' in keys_.text
    assert '"to:celery:senior-engineer\\x06\\x163" is a hash' in keys_.text
    assert '"to:features" is a string, and should be a zset' in keys_.text
    assert '"to:{spoilt}:states" is a string, and should be a hash' in keys_.text
    # And the remedy is one
    command = re.findall(r"'DEL (.*)'", keys_.remedy)[0]
    server.delete(*[name.encode().decode("unicode_escape") for name in re.findall(r'"([^"]*)"', command)])
    assert "keys" not in found(settings)
