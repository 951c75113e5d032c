"""Imports what a command needs, without what libraries bring for programs that run for long."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

from orchestrator.model.garbage import collector_paused

NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
"""The variable that pydantic reads when it builds a model: whether to look for plugins."""

METRICS = "opentelemetry"
"""A package that redis-py imports at its start, if it is installed: it can export metrics."""


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import in the block without OpenTelemetry, pydantic's plugins and the garbage collector.

    No command exports metrics, and what is imported stays: that is a third of the time of a short command. Afterwards,
    and in the programs that a command starts, all three are as ever.

    Example:
        with quick_imports():
            from orchestrator.client.client import Client
    """
    before = os.environ.get(NO_PLUGINS)
    os.environ.setdefault(NO_PLUGINS, "1")
    is_hidden = METRICS not in sys.modules
    if is_hidden:
        sys.modules[METRICS] = None  # type: ignore[assignment]  # so an import of it fails, as if it was not installed
    try:
        with collector_paused():
            yield
            gc.freeze()
    finally:
        if is_hidden:
            del sys.modules[METRICS]
        if before is None:
            del os.environ[NO_PLUGINS]
