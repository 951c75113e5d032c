"""The private redis-server of a folder: started by the first user, shut down by the last."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.folder import FOLDER
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.state import embedded, redis_binary
from tests.redis_server import chosen_binaries, client_of, find_binaries, name_of, serve
from tests.waiting import wait_until

pytestmark = pytest.mark.real

# Uses the server of the working folder, says so, and goes on until its input ends.
USER = """
import sys
from orchestrator.state import embedded, redis_binary
from orchestrator.config.settings import Settings
print(embedded.connect(Settings()), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=chosen_binaries(), ids=name_of)
def binary(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(tmp_path: Path, binary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    yield from settings_in(tmp_path, binary, monkeypatch)


def settings_in(place: Path, binary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a new folder there; whatever serves it in the end is ended."""
    (place / FOLDER).mkdir(parents=True)
    monkeypatch.chdir(place)
    settings = Settings(redis=RedisSettings(redis_server=binary))
    yield settings
    embedded.release(settings)
    if embedded.running(settings):
        os.kill(pid_of(settings), signal.SIGKILL)


def pid_of(settings: Settings) -> int:
    return int(client_of(embedded.Server(settings.folder).url).info("server")["process_id"])


@contextlib.contextmanager
def another_user(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the folder's server. Ends when its input is closed, or with the block."""
    with start_user(settings) as user:
        try:
            assert user.stdout is not None
            assert user.stdout.readline().strip() == embedded.Server(settings.folder).url
            yield user
        finally:
            user.kill()


def start_user(settings: Settings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER],
        cwd=settings.folder.parent,
        env={**os.environ, "TASKORCHESTRATOR_REDIS__REDIS_SERVER": settings.redis.redis_server or ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(user: subprocess.Popen[str]) -> None:
    assert user.stdin is not None
    user.stdin.close()
    assert user.wait(60) == 0


def test_the_first_use_starts_a_server(settings: Settings) -> None:
    # Given a folder where none runs
    assert embedded.running(settings) is None
    assert not (settings.folder / "redis").exists()

    # When it is used
    url = embedded.connect(settings)

    # Then one runs, and says what it is
    assert embedded.running(settings) == url
    assert int((settings.folder / "redis" / "redis.pid").read_text()) == pid_of(settings)


def test_it_keeps_every_write_and_evicts_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WITHHELD", ())  # CONFIG among them
    client = client_of(embedded.connect(settings))

    wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
    assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_a_second_use_finds_the_first(settings: Settings) -> None:
    embedded.connect(settings)
    first = pid_of(settings)

    embedded.connect(settings)
    with another_user(settings):
        assert pid_of(settings) == first


def test_the_last_user_shuts_it_down(settings: Settings) -> None:
    # Given two users
    embedded.connect(settings)
    with another_user(settings) as other:
        # When the one that started it leaves, then it goes on
        embedded.release(settings)
        assert embedded.running(settings)

        # When the other one's process ends, then it is shut down
        end(other)
        assert embedded.running(settings) is None
        assert not (settings.folder / "redis" / "redis.pid").exists()


def test_a_user_that_comes_later_keeps_it_running(settings: Settings) -> None:
    with another_user(settings) as other:
        embedded.connect(settings)
        end(other)

        assert embedded.running(settings)
        embedded.release(settings)
        assert embedded.running(settings) is None


def test_data_survive_a_stop_and_a_start(settings: Settings) -> None:
    client_of(embedded.connect(settings)).set("key", "value")
    embedded.release(settings)
    assert embedded.running(settings) is None

    assert client_of(embedded.connect(settings)).get("key") == "value"


def test_a_killed_server_comes_back_with_its_data(settings: Settings) -> None:
    # Given a server with data
    client_of(embedded.connect(settings)).set("key", "value")
    killed = pid_of(settings)

    # When it is killed
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: embedded.running(settings) is None)

    # Then the next use starts another one, which has the data
    assert client_of(embedded.connect(settings)).get("key") == "value"
    assert pid_of(settings) != killed


def test_a_server_whose_users_were_all_killed_is_found_and_shut_down_by_the_next(settings: Settings) -> None:
    with another_user(settings) as other:
        left_over = pid_of(settings)
        other.kill()
        other.wait()
    assert embedded.running(settings)

    embedded.connect(settings)
    assert pid_of(settings) == left_over
    embedded.release(settings)
    assert embedded.running(settings) is None


def test_users_that_start_at_the_same_time_share_one_server(settings: Settings) -> None:
    users = [start_user(settings) for _ in range(4)]
    try:
        for user in users:
            assert user.stdout is not None
            assert user.stdout.readline().strip() == embedded.Server(settings.folder).url
        # One line in its log for each server that was ever started here.
        assert (settings.folder / "redis" / "redis.log").read_text().lower().count(
            "ready to accept connections"
        ) == 1
        for user in users:
            end(user)
        assert embedded.running(settings) is None
    finally:
        for user in users:
            with user:
                user.kill()


def test_a_use_during_a_shutdown_ends_with_a_running_server(settings: Settings) -> None:
    for _ in range(5):
        with another_user(settings) as other:
            assert other.stdin is not None
            other.stdin.close()
            client_of(embedded.connect(settings)).incr("key")
            other.wait(60)
            assert embedded.running(settings)
        embedded.release(settings)
        assert embedded.running(settings) is None
    assert client_of(embedded.connect(settings)).get("key") == "5"


def test_a_server_that_does_not_answer_yet_gets_no_second_one_beside_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server that cannot be reached, as one whose starter was killed before it listened
    embedded.connect(settings)
    socket = embedded.Server(settings.folder).socket
    hidden = socket.rename(socket.with_name("hidden"))

    # When it is used, then it is waited for, and no other one is started over its data
    monkeypatch.setattr(embedded, "PATIENCE", 0.5)
    with pytest.raises(errors.RedisDidNotStart, match="no answer"):
        embedded.Server(settings.folder).use()
    hidden.rename(socket)
    assert embedded.running(settings)
    assert (settings.folder / "redis" / "redis.log").read_text().lower().count(
        "ready to accept connections"
    ) == 1


@pytest.mark.parametrize("step", ["_spawn", "_shut_down"])
def test_only_one_process_at_a_time_starts_or_stops_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    taken = []
    original = getattr(embedded.Server, step)

    def watched(server: embedded.Server) -> object:
        with (server.home / "start.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(step)
        return original(server)

    monkeypatch.setattr(embedded.Server, step, watched)
    embedded.connect(settings)
    embedded.release(settings)

    assert taken == [step]


def test_a_forked_child_keeps_it_alive_and_does_not_shut_it_down(settings: Settings) -> None:
    # Given a child, forked by a user, that releases what it inherited and then goes on
    embedded.connect(settings)
    first = pid_of(settings)
    go_on, stop = os.pipe()
    released, say_released = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(stop)
        embedded.release(settings)
        os.write(say_released, b".")
        os.read(go_on, 1)
        os._exit(0)
    try:
        os.read(released, 1)
        assert embedded.running(settings)

        # When its parent leaves, then the server goes on for the child
        embedded.release(settings)
        assert embedded.running(settings)
    finally:
        os.close(stop)
        os.waitpid(child, 0)
        for descriptor in (go_on, released, say_released):
            os.close(descriptor)

    # When the child is gone too, then the next to leave shuts the same server down
    embedded.connect(settings)
    assert pid_of(settings) == first
    embedded.release(settings)
    assert embedded.running(settings) is None


def test_a_command_that_outlives_its_user_does_not_keep_the_server(settings: Settings) -> None:
    embedded.connect(settings)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        embedded.release(settings)

        assert embedded.running(settings) is None


def test_it_does_not_hear_the_interrupt_of_its_starter(settings: Settings) -> None:
    embedded.connect(settings)

    assert os.getsid(pid_of(settings)) != os.getsid(0)


def test_it_is_open_to_its_user_alone(settings: Settings) -> None:
    # Given a folder that others may enter
    settings.folder.chmod(0o755)
    (settings.folder / "redis").mkdir(mode=0o755)

    client = client_of(embedded.connect(settings))

    server = embedded.Server(settings.folder)
    assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
    assert client.info("server")["tcp_port"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(settings: Settings) -> None:
    (settings.folder / "redis").mkdir()
    os.chown(settings.folder / "redis", 12345, 12345)

    with pytest.raises(errors.RedisDidNotStart, match="not a folder of the user"):
        embedded.connect(settings)


def test_a_folder_with_a_long_path_has_its_socket_in_a_private_folder_elsewhere(
    tmp_path: Path, binary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a path that no socket can have
    place = tmp_path / ("long" * 40)
    for settings in settings_in(place, binary, monkeypatch):
        # When it is used
        embedded.connect(settings)

        # Then the socket is in a short and private folder
        server = embedded.Server(settings.folder)
        assert len(os.fsencode(server.socket)) <= embedded.LONGEST_SOCKET
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700

        # And a process that would put it elsewhere finds it all the same
        with tempfile.TemporaryDirectory() as elsewhere:  # tmp_path may be too long for a socket
            monkeypatch.setenv("XDG_RUNTIME_DIR", elsewhere)
            before = pid_of(settings)
            with another_user(settings):
                assert pid_of(settings) == before
            assert list(Path(elsewhere).iterdir()) == []

        # And a copy of the folder does not lead to it
        copy = tmp_path / ("copy" * 40) / FOLDER
        (copy / "redis").mkdir(parents=True)
        (copy / "redis" / "redis.sock").symlink_to(server.socket)
        assert embedded.Server(copy).running() is None

        short = server.socket.parent
        embedded.release(settings)
        assert not short.exists()


def test_an_older_redis_does_not_start_empty_over_newer_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_version = sorted(find_binaries(), key=redis_binary.version_of)
    if not by_version or not redis_binary.version_of(by_version[0]) < (7,) <= redis_binary.version_of(
        by_version[-1]
    ):
        pytest.skip("needs a Redis before 7 and one after")

    with serve(tmp_path, by_version[-1]):
        pass
    with pytest.raises(errors.RedisDidNotStart, match="written by Redis 7 or newer"):
        embedded.Server(tmp_path, by_version[0]).use()

    # The other way round the data are taken over.
    with serve(tmp_path / "upgraded", by_version[0]) as url:
        client_of(url).set("key", "value")
    with serve(tmp_path / "upgraded", by_version[-1]) as url:
        assert client_of(url).get("key") == "value"


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'Bad file format reading the append only file'\nexit 1\n")
    program.chmod(0o755)
    server = embedded.Server(tmp_path, str(program))

    with pytest.raises(errors.RedisDidNotStart) as caught:
        server.use()

    assert "Bad file format" in str(caught.value)
    assert str(server.log) in str(caught.value)


def test_a_server_that_never_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho $$ > pid\nexec cat /dev/zero > /dev/null\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded, "PATIENCE", 0.5)

    with pytest.raises(errors.RedisDidNotStart, match="no answer"):
        embedded.Server(tmp_path, str(program)).use()

    if (tmp_path / "redis" / "pid").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "redis" / "pid").read_text()), 0)


def test_without_a_redis_server_the_error_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(errors.NoRedisServer) as caught:
        embedded.Server(tmp_path).use()

    assert "neither redis-server nor valkey-server is on the PATH" in str(caught.value)
    assert "apt install redis-server" in str(caught.value)


def test_a_redis_server_that_is_named_and_missing_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(errors.NoRedisServer, match=r"redis\.redis_server is /no/such/redis"):
        embedded.Server(tmp_path, "/no/such/redis").use()


def test_the_folder_removed_under_the_server_ends_it(tmp_path: Path) -> None:
    server = embedded.Server(tmp_path / FOLDER)
    server.use()
    pid = int((server.home / "redis.pid").read_text())
    shutil.rmtree(server.folder)

    server.release()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
