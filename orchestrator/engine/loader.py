"""Imports the operator's modules when a worker starts. A module that cannot be imported stops the start."""

from __future__ import annotations

import sys
from typing import Any

from celery.loaders.app import AppLoader

from orchestrator import specialists
from orchestrator.model import errors


class Loader(AppLoader):
    """Celery's loader, which imports the modules that our settings name (`imports`).

    It does so in the main process: handlers of Celery's signals must be there before a pool process starts.
    """

    app: Any

    def on_worker_init(self) -> None:
        """Called when a worker starts.

        Raises:
            SystemExit: A module cannot be imported.
        """
        if starts := self.app.settings.starts:  # the log is not set up yet
            print(f"The configuration of this folder {starts}.", file=sys.stderr)
        try:
            specialists.import_all(self.app.settings)
        except errors.CannotImport as error:
            print(f"The worker does not start. {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
