"""A program that waits for a feature outlasts a restart of Redis, and hears of it once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from orchestrator.client import watching
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.schema.operation import Recovery
from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.progress import Progress
from tests.cli.test_cli_live import PATIENCE, Project, ended, on_terminal, until
from tests.client.test_client import a_feature, settings_on, work
from tests.redis_server import KilledRedis, client_of, find_binaries, killable
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not find_binaries(), reason="there is no redis-server here"),
]


@pytest.fixture
def server() -> Iterator[KilledRedis]:
    with killable() as server:
        yield server


@contextlib.contextmanager
def enqueued(server: KilledRedis, **settings: Any) -> Iterator[Handle]:
    with Client(settings_on(server.url, **settings)) as client:
        yield client.enqueue(a_feature(id="auth"))


@pytest.fixture
def handle(server: KilledRedis) -> Iterator[Handle]:
    with enqueued(server) as handle:
        yield handle


def wait_for_a_watcher(server: KilledRedis) -> None:
    """Somebody waits for the events of a feature."""
    client: Any = client_of(server.url)
    wait_until(lambda: any("b" in one["flags"] and one["cmd"] == "xread" for one in client.client_list()))


def complete(handle: Handle) -> None:
    for name in ("T1", "T2"):
        work(handle, name)
        handle.store.schedule(handle.id)


# --- from Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["wait", "follow"])
def test_who_waits_outlasts_a_restart(
    server: KilledRedis, handle: Handle, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    with Client(settings_on(server.url)) as client, ThreadPoolExecutor(1) as aside:
        # Given somebody who waits
        waits = client.feature("auth")
        waiting = aside.submit(waits.wait if way == "wait" else lambda: list(waits.follow()))
        wait_for_a_watcher(server)

        # When Redis is away for a while, and the feature completes after it
        server.kill()
        wait_until(lambda: any("Redis is away" in message for message in caplog.messages))
        server.start()
        complete(handle)

        # Then they learn of it, and the log has said once that Redis was away, and that it is back
        waiting.result(PATIENCE)
    assert handle.status() is FeatureStatus.COMPLETED
    told = [message for message in caplog.messages if message.startswith("Redis is")]
    assert [message.split(" (")[0].split(" after")[0] for message in told] == [
        "Redis is away",
        "Redis is back",
    ]


def test_a_wait_ends_at_its_timeout_where_redis_is_away(server: KilledRedis, handle: Handle) -> None:
    server.kill()
    with pytest.raises(errors.RedisUnreachable):
        handle.wait(timeout=0.05)


def test_a_wait_without_a_timeout_ends_when_an_outage_has_lasted_too_long(server: KilledRedis) -> None:
    with enqueued(server, recovery=Recovery(outage=0.05)) as handle:
        server.kill()
        with pytest.raises(errors.RedisUnreachable):
            handle.wait()


@pytest.mark.parametrize(("left", "rests"), [(1_000, 3), (watching.FEW_LEFT, 0)])
def test_a_wait_rests_between_its_looks_only_while_many_tasks_are_left(left: int, rests: int) -> None:
    # Given a feature that has an event at each look, and is settled at the fourth
    looks = iter([False, False, False, True])
    features = SimpleNamespace(
        summary=lambda _: SimpleNamespace(is_settled=next(looks), total=1_000, resolved=1_000 - left)
    )
    events = SimpleNamespace(read=lambda *_, **__: [SimpleNamespace(id="1-1")], last=lambda _: "-")
    store: Any = SimpleNamespace(features=features, events=events)
    rested: list[float] = []

    watching.wait(store, "auth", None, longest_outage=1, pause=rested.append)

    assert len(rested) == rests


def test_a_wait_rests_for_a_share_of_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a feature of which four tasks resolve in a millisecond
    now = 0.0
    monkeypatch.setattr("orchestrator.client.watching.time.monotonic", lambda: now)

    def summary(_: str) -> Any:
        resolved = min(1_000, round(4_000 * now))
        return SimpleNamespace(is_settled=resolved == 1_000, total=1_000, resolved=resolved)

    rested: list[float] = []

    def read(*_: Any, **__: Any) -> list[Any]:
        nonlocal now
        now += 0.000_25  # the next event
        return [SimpleNamespace(id="1-1")]

    def pause(seconds: float) -> None:
        nonlocal now
        rested.append(seconds)
        now += seconds

    store: Any = SimpleNamespace(
        features=SimpleNamespace(summary=summary), events=SimpleNamespace(read=read, last=lambda _: "-")
    )
    watching.wait(store, "auth", None, longest_outage=1, pause=pause)

    # Then the wait comes nearer with each look, and ends with the feature
    assert now == pytest.approx(1_000 / 4_000, abs=0.001)
    assert rested[0] == watching.LONGEST_LOOK_SECONDS
    assert len(rested) < 10
    assert sorted(rested, reverse=True) == rested


def test_a_wait_sees_an_end_that_comes_before_it_listens(
    handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a feature that is completed just after the wait has seen that it is not
    summary, has_ended = handle.store.features.summary, False

    def end_after_the_first_look(feature_id: str) -> Progress:
        nonlocal has_ended
        found = summary(feature_id)
        if not has_ended:
            has_ended = True
            complete(handle)
        return found

    monkeypatch.setattr(handle.store.features, "summary", end_after_the_first_look)
    # When nothing more happens, then the wait ends nevertheless, and without the timeout of a read
    monkeypatch.setattr(watching, "WATCH_SECONDS", PATIENCE)

    assert handle.wait(PATIENCE / 2).status is FeatureStatus.COMPLETED


# --- on the command line --------------------------------------------------------------------------------


def project_on(server: KilledRedis, folder: Path, outage: str = "1h") -> Project:
    (folder / FOLDER).mkdir()
    settings = {
        "redis": {"url": server.url},
        "trust": {"inline_commands": True},
        "recovery": {"outage": outage},
    }
    (folder / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")
    return Project(folder)


@pytest.mark.parametrize("how", ["--no-live", "--json"])
def test_watch_outlasts_a_restart(server: KilledRedis, handle: Handle, tmp_path: Path, how: str) -> None:
    # Given a feature that is watched
    with ended(project_on(server, tmp_path).start("watch", "auth", how)) as process:
        assert process.stderr
        wait_for_a_watcher(server)

        # When Redis is away for a while, and the feature completes after it
        server.kill()
        told = until(process.stderr, "Redis is away")
        server.start()
        complete(handle)
        stdout, stderr = process.communicate(timeout=PATIENCE)

    # Then the command has told of it once, and ends as it should
    assert process.returncode == 0, stderr
    assert "completed" in stdout
    told += stderr
    assert (told.count("Redis is away ("), told.count("Redis is back after")) == (1, 1)
    assert "the watch over auth waits for it, for up to 1h" in told


def test_watch_ends_with_exit_code_3_when_an_outage_has_lasted_too_long(
    server: KilledRedis, handle: Handle, tmp_path: Path
) -> None:
    with ended(project_on(server, tmp_path, "50ms").start("watch", "auth", "--no-live")) as process:
        wait_for_a_watcher(server)
        server.kill()
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert "Redis was away for 50ms, so the watch over auth is given up" in stderr
    assert f"Cannot reach Redis at unix://{server.folder}/redis.sock" in stderr
    assert "Traceback" not in stderr


def test_watch_ends_at_once_where_there_is_no_redis(server: KilledRedis, tmp_path: Path) -> None:
    server.kill()
    done = project_on(server, tmp_path).type("watch", "auth")
    assert (done.returncode, done.stdout) == (3, "")
    assert "Cannot reach Redis" in done.stderr


def test_the_live_view_says_that_redis_is_away(server: KilledRedis, handle: Handle, tmp_path: Path) -> None:
    # Given a feature that is watched on a terminal
    project = project_on(server, tmp_path)
    with on_terminal(project, "watch", "auth", columns=200) as (process, written):
        wait_for_a_watcher(server)

        # When Redis is away for a while
        server.kill()
        wait_until(lambda: b"Redis is away" in b"".join(written))
        server.start()
        complete(handle)
        process.communicate(timeout=PATIENCE)

    # Then the view says so below what it showed last, and goes on when it is back
    text = b"".join(written).decode()
    assert process.returncode == 0
    assert text.count("Redis is away") == 1
    assert "Redis is back after" in text
    assert "2/2 tasks (100%)" in text
