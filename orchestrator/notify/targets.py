"""The targets of notifications: the worker's log, a command, or a webhook."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

from orchestrator.config.schema.notifications import Notification
from orchestrator.model import words
from orchestrator.model.event_names import FAILURES, NEEDS_PERSON
from orchestrator.notify import rules
from orchestrator.specialists import environment
from orchestrator.specialists.processes import Tree

logger = logging.getLogger("orchestrator")

GRACE = 1.0
"""Seconds between asking a command that is out of time to end, and ending it."""


class Target(Protocol):
    """A place that events are sent to."""

    @property
    def name(self) -> str:
        """Its name in logs, without secrets."""

    @property
    def address(self) -> str:
        """The identity of the target. It may be secret."""

    def send(self, message: Mapping[str, Any]) -> str | None:
        """Tell it, in a bounded time. None: it knows now; else why it does not."""


def open_target(told: Notification) -> Target:
    """The target that a notification of the settings names."""
    if told.command:
        return Command(told.command, told.timeout, told.pass_env)
    if told.webhook:
        secret = told.secret.get_secret_value() if told.secret else None
        return Webhook(told.webhook.get_secret_value(), secret, told.timeout)
    return Log()


@dataclass(frozen=True)
class Log:
    """The worker's own log: a warning for what went wrong or needs a person, else a line of information."""

    name = "log"
    address = "log"

    def send(self, message: Mapping[str, Any]) -> str | None:
        """Write the line."""
        trouble = {NEEDS_PERSON, FAILURES} & set(message["groups"])
        command = f" Next: {message['next']}" if message["next"] else ""
        logger.log(
            logging.WARNING if trouble else logging.INFO,
            "[%s] %s%s",
            message["feature"],
            message["text"],
            command,
        )
        return None


@dataclass(frozen=True)
class Command:
    """A command that gets the event as JSON on its input. Exit code 0: it knows now.

    It is ended with all that it started, at the latest when it takes too long. Of the worker's environment it gets
    what specialists get.

    Args:
        command: Argument list; no shell.
        timeout: Seconds.
        pass_env: Names of variables of the worker that it gets too.
    """

    command: tuple[str, ...]
    timeout: float
    pass_env: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The program without its arguments, which may hold a password."""
        return f"the command {Path(self.command[0]).name}"

    @property
    def address(self) -> str:
        """All of it."""
        return "\0".join(self.command)

    def send(self, message: Mapping[str, Any]) -> str | None:
        """Run it to its end."""
        # Files, not pipes: a pool process that is forked meanwhile would hold the other end of a pipe open.
        with (
            tempfile.TemporaryFile() as given,
            Path(os.devnull).open("wb") as nowhere,
            tempfile.TemporaryFile() as said,
        ):
            given.write(_body(message))
            given.seek(0)
            try:
                tree = Tree(
                    self.command,
                    cwd=Path.cwd(),
                    stdin=given,
                    stdout=nowhere,
                    stderr=said,
                    env=environment.filter_environment(os.environ, self.pass_env),
                )
            except (OSError, ValueError) as error:
                return f"it cannot be started: {getattr(error, 'strerror', None) or type(error).__name__}"
            try:
                code = tree.wait(self.timeout)
            except subprocess.TimeoutExpired:
                return f"no end within {self.timeout:g} s"
            finally:
                tree.end(GRACE)
            return None if code == 0 else f"exit code {code}{_last_line(said)}"


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2_000))
    lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {words.one_line(lines[-1])}" if lines else ""


@dataclass(frozen=True)
class Webhook:
    """A URL that gets the event as JSON by POST, signed. An answer 200 to 299: it knows now.

    A redirect is not followed, so that nothing that is signed for one host goes to another.

    Args:
        url: http or https; a user and password in it become Basic authentication.
        secret: The key of the signature; None: it is not signed.
        timeout: Seconds.
    """

    url: str = field(repr=False)
    secret: str | None = field(repr=False)
    timeout: float

    @property
    def name(self) -> str:
        """Its host alone: of many webhooks the path is the password."""
        parts = urlsplit(self.url)
        return f"the webhook at {parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    @property
    def address(self) -> str:
        """All of it."""
        return self.url

    def send(self, message: Mapping[str, Any]) -> str | None:
        """Post it."""
        body = _body(message)
        try:
            parts = urlsplit(self.url)
            with _Post(parts, self.timeout) as post:
                status = post.answer(_path(parts), body, self._headers(parts, body, message))
        except TimeoutError:
            return f"no answer within {self.timeout:g} s"
        except OSError as error:  # DNS, TLS and the connection; none of them quotes more than the host
            return error.strerror or str(error) or type(error).__name__
        except (http.client.HTTPException, ValueError) as error:  # may quote the URL, so its kind alone
            return type(error).__name__
        if 200 <= status < 300:
            return None
        return f"the answer {status} {http.client.responses.get(status, '')}".rstrip()

    def _headers(self, parts: SplitResult, body: bytes, message: Mapping[str, Any]) -> dict[str, str]:
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "task-orchestrator",
            "X-Orchestrator-Event": str(message["event"]),
            "X-Orchestrator-Timestamp": timestamp,
        }
        if self.secret is not None:
            headers["X-Orchestrator-Signature"] = rules.signature(self.secret, timestamp, body)
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        return headers


class _Post:
    """One POST that ends in time. The timeout of a socket is for each read: a server that sends a byte now and then
    would never meet it, so the connection is cut from outside when the time is over."""

    def __init__(self, parts: SplitResult, timeout: float) -> None:
        if not parts.hostname:
            raise ValueError("no host")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=timeout)
        self.is_late = threading.Event()
        self.watch = threading.Timer(timeout, self._cut)
        self.watch.daemon = True

    def __enter__(self) -> _Post:
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.cancel()
        self.connection.close()

    def answer(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; its body is not read."""
        try:
            self.connection.connect()
            self._check_time()  # looking up the host's name knows no timeout
            self.connection.request("POST", path, body, dict(headers))
            status = self.connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError):
            self._check_time()
            raise
        self._check_time()  # what was cut off in its headers looks like a whole answer
        return status

    def _check_time(self) -> None:
        if self.is_late.is_set():
            raise TimeoutError

    def _cut(self) -> None:
        self.is_late.set()
        if self.connection.sock is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                # Not the method of an SSLSocket, which ends the TLS while another thread reads.
                socket.socket.shutdown(self.connection.sock, socket.SHUT_RDWR)


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return path + (f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else "")


def _body(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode()
