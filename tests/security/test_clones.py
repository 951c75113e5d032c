"""What the page on security says of a folder of somebody else's repository: looking at it starts nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.config import private
from orchestrator.config.folder import FOLDER
from orchestrator.local import processes
from orchestrator.model import errors
from orchestrator.state import embedded
from tests.redis_server import chosen_binaries, client_of, name_of, serve

pytestmark = pytest.mark.real

PRECIOUS = "what nobody else may change\n"


@pytest.fixture(params=chosen_binaries(), ids=name_of)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> embedded.Server:
    """The private Redis of a clone that has brought a folder for its data."""
    found = embedded.Server(tmp_path / "clone" / FOLDER, request.param)
    private.make_folder(found.home)
    return found


def as_redis_writes_it(*command: str) -> str:
    words = "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
    return f"*{len(command)}\r\n{words}"


@pytest.mark.parametrize(
    "command",
    [
        ("MODULE", "LOAD", "./evil.so"),
        ("CONFIG", "SET", "dir", "/tmp"),
        ("REPLICAOF", "127.0.0.1", "1"),
        ("SLAVEOF", "127.0.0.1", "1"),
        ("MIGRATE", "127.0.0.1", "1", "key", "0", "1"),
    ],
    ids=lambda command: command[0],
)
def test_data_that_came_with_a_folder_load_no_code_and_lead_nowhere_else(
    server: embedded.Server, command: tuple[str, ...]
) -> None:
    """Data that came with the folder load no code into it, and lead to no other file or machine."""
    data = (
        as_redis_writes_it("SELECT", "0") + as_redis_writes_it(*command) + as_redis_writes_it("SET", "a", "b")
    )
    (server.home / "appendonly.aof").write_text(data)

    with pytest.raises(errors.RedisDidNotStart, match=f"(?i)unknown command '{command[0]}'"):
        server.use()


@pytest.mark.parametrize(
    "name", ["redis.pid", "appendonly.aof", "appendonlydir/x", "redis.log", "users.lock"]
)
def test_no_file_of_the_server_is_a_link(server: embedded.Server, tmp_path: Path, name: str) -> None:
    """A link among its files is refused."""
    precious = tmp_path / "precious"
    precious.write_text(PRECIOUS)
    (server.home / name).parent.mkdir(exist_ok=True)
    (server.home / name).symlink_to(precious)

    with pytest.raises((errors.RedisDidNotStart, private.NotOurs), match="a link"):
        server.use()
    assert precious.read_text() == PRECIOUS


def test_a_socket_that_came_as_a_link_leads_to_no_other_server(
    server: embedded.Server, tmp_path: Path
) -> None:
    """A link in the place of its socket leads to no other server, and ends none."""
    with serve(tmp_path / "other") as other:
        client_of(other).set("whose", "another's")
        (server.home / "redis.sock").symlink_to(embedded.Server(tmp_path / "other").socket)

        assert server.running() is None
        with server:
            assert client_of(server.url).get("whose") is None
        assert client_of(other).get("whose") == "another's"


def test_the_log_of_a_worker_that_is_brought_is_not_written_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text(PRECIOUS)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker.log").symlink_to(precious)

    with (
        pytest.raises(OSError, match="it is a link"),
        processes._output(tmp_path / "logs" / "worker.log") as log,
    ):
        os.write(log.fileno(), b"overwritten") if log else None
    assert precious.read_text() == PRECIOUS
