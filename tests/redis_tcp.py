"""A redis-server on a port of this machine, as others reach theirs: with passwords, users and TLS."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.redis_server import find_binaries

PATIENCE = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def serve_tcp(
    folder: Path, *lines: str, ready: str, binary: str | None = None, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a redis-server inside the block.

    Args:
        folder: Its data and its log.
        lines: Its configuration. It is read from a file, so that no password stands in its arguments.
        ready: The URL at which it is asked whether it is there.
        binary: The redis-server to run; None takes the first one found.
        options: How redis-py is to connect, such as ssl_ca_certs.
    """
    binary = binary or next(iter(find_binaries()), None)
    if not binary:
        pytest.skip("there is no redis-server here")
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "redis.conf"
    configuration.write_text("\n".join(["bind 127.0.0.1", f"dir {folder}", *lines]) + "\n", "utf-8")
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([binary, str(configuration)], stdout=log, stderr=log)
    try:
        _wait_for(process, ready, options, folder / "redis.log")
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(process: subprocess.Popen[bytes], url: str, options: dict[str, object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None:
            text = log.read_text("utf-8", "replace")
            if "Bad directive" in text and "tls-port" in text:
                pytest.skip("this redis-server has no TLS")
            pytest.fail(text)
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url, **options) as client:
            client.ping()
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)
