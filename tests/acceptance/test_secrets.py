"""A value marked secret is seen nowhere: not in a log, an event, a report, Redis, Flower, nor among the processes."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.local import processes
from orchestrator.model.feature import Feature
from tests.acceptance.conftest import PATIENCE, open_project
from tests.redis_tcp import free_port, serve_tcp
from tests.waiting import wait_until

pytestmark = pytest.mark.real

REDIS, BROKER, VARIABLE = "sentinel-redis-7Qx", "sentinel-broker-8Ry", "sentinel-variable-9Sz"
HOOK, SIGNATURE, FLOWER = "sentinel-hook-1Tv", "sentinel-signature-2Uw", "sentinel-flower-3Vx"
SENTINELS = (REDIS, BROKER, VARIABLE, HOOK, SIGNATURE, FLOWER)

TELLS_ALL = (
    'echo "the token is $TOKEN"; echo "$TOKEN" >&2; env; '
    'echo "{\\"status\\": \\"failed\\", \\"reason\\": \\"401 for $TOKEN\\"}" > "$ORCHESTRATOR_OUTCOME_FILE"; exit 3'
)


def seen(text: str | bytes) -> list[str]:
    """The secrets that a text shows."""
    data = text.encode() if isinstance(text, str) else text
    return [name for name in SENTINELS if name.encode() in data]


def arguments() -> Iterator[bytes]:
    """The arguments of every process that runs."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


def stored(server: redis.Redis) -> Iterator[str]:
    """Everything in a Redis, as text."""
    for key in map(str, server.scan_iter()):
        match server.type(key):
            case "string":
                yield key + str(server.get(key))
            case "hash":
                yield key + str(server.hgetall(key))
            case "list":
                yield key + str(server.lrange(key, 0, -1))
            case "set":
                yield key + str(server.smembers(key))
            case "zset":
                yield key + str(server.zrange(key, 0, -1))
            case "stream":
                yield key + str(server.xrange(key))


def fetch(port: int, path: str) -> str:
    """A page of Flower's; what it answers with an error is a page too."""
    basic = base64.b64encode(f"ops:{FLOWER}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Basic {basic}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


def is_up(port: int) -> bool:
    try:
        return fetch(port, "/healthcheck") == "OK"
    except OSError:
        return False


def test_no_secret_is_seen_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given secrets in every place for one: Redis, a broker of its own, a specialist, a webhook, Flower
    port = free_port()
    url = f"redis://:{REDIS}@127.0.0.1:{port}/0"
    socket = tmp_path / "r.sock"
    server_lines = (
        f"port {port}",
        f"unixsocket {socket}",
        f"requirepass {REDIS}",
        f"user courier on >{BROKER} ~* &* +@all",
    )
    flower_port = free_port()
    monkeypatch.setenv("FLOWER_BASIC_AUTH", f"ops:{FLOWER}")
    monkeypatch.setenv("REDIS_PASSWORD", REDIS)
    shown: dict[str, str] = {}
    with (
        serve_tcp(tmp_path / "server", *server_lines, ready=url) as server_process,
        open_project(
            tmp_path,
            redis={"url": url},
            broker={"url": f"unix://courier@{socket}?db=1&password={BROKER}"},
            specialists={
                "senior-engineer": {"command": ["/bin/sh", "-c", TELLS_ALL], "env": {"TOKEN": VARIABLE}}
            },
            notifications=[
                {
                    "events": ["*"],
                    "webhook": f"http://ops:{HOOK}@127.0.0.1:1/hook?token={HOOK}",
                    "secret": SIGNATURE,
                    "tries": 1,
                }
            ],
        ) as project,
    ):
        worker = project.start_worker("one", "-c", "1", "-E")
        with processes.flower(project.settings, port=flower_port, log=project.folder / "flower.log"):
            wait_until(lambda: is_up(flower_port))

            # When a feature fails, and the target of its notification cannot be reached
            feature = Feature.model_validate(
                {"id": "auth", "title": "Login", "tasks": [{"id": "T1", "tags": ["bug"]}]}
            )
            handle = project.enqueue(feature)
            handle.wait(PATIENCE)
            log = project.folder / "one.log"
            wait_until(lambda: "did not reach" in log.read_text("utf-8"))

            # Then none is seen among the processes, in Redis, or on a page of Flower's
            shown["processes"] = b"\n".join(arguments()).decode(errors="replace")
            assert "orchestrator" in shown["processes"]
            assert "flower" in shown["processes"]
            for number in (0, 1):
                with redis.Redis.from_url(url.replace("/0", f"/{number}"), decode_responses=True) as server:
                    shown[f"redis {number}"] = "\n".join(stored(server))
            assert "to:{auth}:outcomes" in shown["redis 0"]
            wait_until(lambda: "broker_url" in fetch(flower_port, "/api/workers?refresh=1"))
            (name,) = json.loads(fetch(flower_port, "/api/workers"))
            for path in (
                "/",
                "/workers",
                "/tasks",
                "/broker",
                "/api/workers",
                "/api/tasks",
                "/metrics",
            ):
                shown[f"flower {path}"] = fetch(flower_port, path)
            shown["flower worker"] = fetch(flower_port, f"/worker/{name}")
            (attempt,) = (
                each for each in json.loads(shown["flower /api/tasks"]) if each.startswith("auth:T1:1:")
            )
            shown["flower task"] = fetch(flower_port, f"/task/{attempt}")
            assert attempt in shown["flower task"]
            assert "broker_url" in shown["flower /api/workers"]
            assert socket.name in shown["flower /broker"]

        # nor by any command of ours, also where Redis is gone
        commands = [
            ["config"], ["config", "--json"], ["doctor"], ["doctor", "--json"], ["status"], ["status", "auth"],
            ["status", "auth", "--json"], ["explain", "auth", "T1"], ["events", "auth"], ["logs", "auth", "T1"],
        ]  # fmt: skip
        for command in commands:
            ran = project.orchestrator(*command)
            shown[" ".join(command)] = ran.stdout + ran.stderr
        assert "401 for **" in shown["explain auth T1"]
        assert f"the token is {'*' * len(VARIABLE)}" in shown["logs auth T1"]
        ask = ["inspect", "--timeout", "60", "-d", name]
        for tool in ([*ask, "conf"], [*ask, "stats"], ["report"]):
            ran = project.run("celery", "-A", "orchestrator", *tool)
            shown[f"celery {tool[-1]}"] = ran.stdout + ran.stderr
        assert "broker_url" in shown["celery conf"]
        assert "max-concurrency" in shown["celery stats"]
        server_process.terminate()
        server_process.wait(30)
        wait_until(lambda: "Cannot connect to" in log.read_text("utf-8"))
        for command in (["config"], ["doctor"], ["status"], ["explain", "auth", "T1"]):
            ran = project.orchestrator(*command)
            shown["gone: " + " ".join(command)] = ran.stdout + ran.stderr
        assert "Cannot reach Redis" in shown["gone: status"]
        processes.stop(worker)

        # nor in a file, but for the configuration, and what the command itself wrote into its own private folder
        own = {"config.yaml", "outcome.json"}
        files = [path for path in project.folder.rglob("*") if path.is_file() and path.name not in own]
        shown |= {str(path): path.read_text("utf-8", "replace") for path in files}
        assert {"one.log", "flower.log", "T1.1.log"} <= {path.name for path in files}
    assert {place: seen(text) for place, text in shown.items() if seen(text)} == {}
