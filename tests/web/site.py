"""A project with real workers and a real Flower, and the ways into its pages."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from orchestrator.client.handle import Handle
from orchestrator.local import processes
from orchestrator.model.feature import Feature
from tests.acceptance.conftest import Project, open_project
from tests.redis_tcp import free_port
from tests.waiting import wait_until

SECRET = "a-secret-of-some-length"


@dataclass
class Site:
    """A project whose features can be watched in a browser."""

    project: Project
    port: int

    @property
    def url(self) -> str:
        """The address of its Flower."""
        return f"http://127.0.0.1:{self.port}"

    def open(self, page: Any, path: str) -> Any:
        """Open a page of it, as somebody who was given the address with the secret."""
        if not page.context.cookies():
            page.goto(f"{self.url}/features?secret={SECRET}")
        page.goto(f"{self.url}{path}")
        return page

    def enqueue(self, id: str, *tasks: Mapping[str, Any], **fields: Any) -> Handle:
        """Enqueue a feature of commands. Each is routed to the specialist whom the tag backend leads to."""
        of = [{"tags": ["backend"], "run": ["echo", "done"], **task} for task in tasks]
        feature = {"id": id, "title": id.replace("-", " ").capitalize(), "tasks": of, **fields}
        return self.project.enqueue(Feature.model_validate(feature))


def is_up(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck") as answer,
    ):
        return bool(answer.read() == b"OK")
    return False


@contextlib.contextmanager
def flower(project: Project, **environment: str) -> Iterator[Site]:
    """A Flower that watches a project."""
    port = free_port()
    with (
        mock.patch.dict("os.environ", environment),
        processes.flower(
            project.settings, port=port, secret=SECRET, log=project.folder / f"flower-{port}.log"
        ),
    ):
        wait_until(lambda: is_up(port))
        yield Site(project, port)


@contextlib.contextmanager
def served(folder: Path, *, at_once: int = 3, **sections: Any) -> Iterator[Site]:
    """A project below a folder, with a worker that does some tasks at once, and a Flower."""
    with open_project(folder, **sections) as project, flower(project) as site:
        project.start_worker("one", "-c", str(at_once), "-E")
        yield site


def waits_for(file: Path, before: str = "working", after: str = "done") -> list[str]:
    """A command that says something, and waits until a file is there."""
    return ["sh", "-c", f'echo "{before}"; until [ -e "{file}" ]; do sleep 0.05; done; echo "{after}"']


def fails_unless(file: Path, says: str = "line 3: no such column") -> list[str]:
    """A command that fails until a file is there."""
    return ["sh", "-c", f'[ -e "{file}" ] || {{ echo "{says}"; exit 1; }}; echo mended']
