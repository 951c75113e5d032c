"""A real Flower with the pages of features, for tests that speak HTTP with it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.local import processes
from tests.redis_tcp import free_port
from tests.waiting import wait_until

SECRET = "sixteen-letters-or-more"
PASSWORD = "ops:s3cret"


@dataclass(frozen=True)
class Answer:
    """The answer."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.text)


@dataclass
class Visitor:
    """Somebody who visits a Flower: a browser that keeps cookies, or a program with a header."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        *,
        value: Any = None,
        body: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send a request: GET, or POST with a form, a JSON value, or a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {**self.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={text}" for name, text in self.cookies.items())
        if form is not None:
            body = urlencode(form)
            given["Content-Type"] = "application/x-www-form-urlencoded"
        if value is not None:
            body = json.dumps(value)
            given["Content-Type"] = "application/json"
        try:
            connection.request("GET" if body is None else "POST", path, body, given)
            got = connection.getresponse()
            for cookie in got.headers.get_all("Set-Cookie", []):
                name, _, text = cookie.partition(";")[0].partition("=")
                self.cookies[name] = text
            return Answer(got.status, got.headers, got.read().decode())
        finally:
            connection.close()

    def token(self) -> str:
        """The token against cross-site requests, as a page's forms have it."""
        found = re.search(r'name="_xsrf" value="([^"]+)"', self.ask("/features/plan").text)
        assert found
        return found[1]


@dataclass(frozen=True)
class Running:
    """A Flower, and the folder whose features it shows."""

    port: int
    settings: Settings
    log: Path

    def client(self) -> Client:
        """A client of its Redis."""
        return Client(self.settings)

    def stranger(self, **headers: str) -> Visitor:
        """Somebody without a password."""
        return Visitor(self.port, headers)

    def program(self) -> Visitor:
        """A program with the secret."""
        return Visitor(self.port, {"Authorization": f"Bearer {SECRET}"})

    def user(self, password: str = PASSWORD) -> Visitor:
        """Somebody with a password of Flower's."""
        return Visitor(self.port, {"Authorization": f"Basic {b64encode(password.encode()).decode()}"})

    def browser(self) -> Visitor:
        """A browser that came by the address with the secret."""
        visitor = self.stranger()
        assert visitor.ask(f"/features?secret={SECRET}").status == 302
        return visitor


@contextlib.contextmanager
def running(
    folder: Path,
    *arguments: str,
    app: str = "orchestrator",
    config: str = "",
    prefix: str = "",
    **environment: str,
) -> Iterator[Running]:
    """Run a Flower in a folder with the private Redis."""
    place = folder / ".taskorchestrator"
    place.mkdir(mode=0o700, exist_ok=True)
    (place / "config.yaml").write_text(config or "{}")
    settings = configuration.load(folder)
    port = free_port()
    command = ["-A", app, "flower", "--address=127.0.0.1", f"--port={port}", *arguments]
    log = folder / "flower.log"
    with processes.celery(settings, command, log, environment) as process:
        found = Running(port, settings, log)

        def is_up() -> bool:
            if process.poll() is not None:
                raise AssertionError(log.read_text())
            with contextlib.suppress(OSError):
                return found.stranger().ask(f"{prefix}/healthcheck").status == 200
            return False

        wait_until(is_up)
        yield found
