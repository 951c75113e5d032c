"""A pytest plugin with fixtures for the tests of your own project. Installing the package installs it.

Example:
    def test_the_release_is_announced_last(orchestrator_client):
        handle = orchestrator_client.run(release)
        assert [event.task for event in handle.events()][-1] == "announce"
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.config.settings import Settings
    from orchestrator.testing import InProcessClient


@pytest.fixture
def orchestrator_settings(tmp_path: Path) -> Settings:
    """The settings of the working folder, with a Redis in memory. Override it to test with others."""
    from orchestrator import testing  # late: most tests of a project need none of this

    return testing.in_memory(logs=tmp_path / "orchestrator-logs")


@pytest.fixture
def orchestrator_app() -> Celery | None:
    """The Celery app whose tasks features call; None: the project's (see `testing.open_client`). Override it."""
    return None


@pytest.fixture
def orchestrator_client(
    orchestrator_settings: Settings, orchestrator_app: Celery | None
) -> Iterator[InProcessClient]:
    """A client whose features run to their end in this process, in milliseconds."""
    from orchestrator import testing

    with testing.open_client(orchestrator_settings, orchestrator_app) as client:
        yield client


@pytest.fixture
def run_specialist() -> Any:
    """Runs a specialist's function once (see `orchestrator.testing.run_specialist`)."""
    from orchestrator import testing

    return testing.run_specialist
