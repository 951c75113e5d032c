"""The Celery app. `celery -A orchestrator worker` (or flower, inspect, control) finds it here by Celery's own rule."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.engine import flower_config, guest, installation
from orchestrator.model import errors


def _load() -> Settings:
    """The settings of the working folder. If they cannot be used, the command `celery` ends with only the reason.

    Celery would show an error of this module after three of its own (celery/app/utils.py, `find_app`).
    """
    try:
        return configuration.load()
    except errors.OrchestratorError as error:
        if "celery" not in (Path(sys.argv[0]).name, Path(sys.argv[0]).parent.name):
            raise
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


app = guest.app_of(_load())


flower_config.prepare(installation.of(app).settings)
