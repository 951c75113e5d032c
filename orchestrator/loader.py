"""What a worker loads before all else: the operator's modules. One that is broken stops its start."""

from __future__ import annotations

import sys
from typing import Any

from celery.loaders.app import AppLoader

from orchestrator import errors, specialists


class Loader(AppLoader):
    """Celery's loader, with `imports` of our settings.

    They are imported in the main process, so that handlers of Celery's signals are there before a pool process begins.
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
