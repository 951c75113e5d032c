"""The project's own Celery app, as commands and programs find it by the configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.engine import calls, guest

CELERY = """
import orchestrator
from celery import Celery

app = Celery("found", broker="memory://", include=["found.tasks"])
orchestrator.install(app)
"""

TASKS = """
from found.celery import app

@app.task(queue="slow")
def resize(name): ...
"""


def test_the_tasks_of_a_found_app_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that names its own queue gets its messages there, also from a program that has not imported it."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_text(
        yaml.safe_dump({"app": "found", "redis": {"url": "memory://found"}})
    )
    package = tmp_path / "found"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "celery.py").write_text(CELERY)
    (package / "tasks.py").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("orchestrator.engine.installation._guests", [])
    found = guest.find("found", configuration.load())
    try:
        assert calls.destination(found.app, "found.tasks.resize")["queue"].name == "slow"
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "found"]:
            del sys.modules[name]
        found.app.close()
