"""Keeps Celery's settings to our configuration, even if the environment holds variables for another Celery app.

Some variables override all settings (`Settings` in celery/app/utils.py), and Celery's command line reads more of them
(celery/bin/celery.py). With the variables of another app a worker would listen, in silence, to queues that nobody
sends to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from celery.app import utils

BROKER = ("BROKER_URL", "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
RESULTS = ("RESULT_BACKEND", "CELERY_RESULT_BACKEND")


class CelerySettings(utils.Settings):
    """Celery's settings without the variables that it reads from the environment."""

    @property
    def broker_url(self) -> Any:
        """The URL of the broker."""
        return self.first("broker_url", "broker_host")

    @property
    def broker_read_url(self) -> Any:
        """The URL that messages are taken from."""
        return self.get("broker_read_url") or self.broker_url

    @property
    def broker_write_url(self) -> Any:
        """The URL that messages are sent to."""
        return self.get("broker_write_url") or self.broker_url

    @property
    def result_backend(self) -> Any:
        """The URL of the result backend."""
        return self.first("result_backend", "CELERY_RESULT_BACKEND")


def ignored_variables(conf: Any, environment: Mapping[str, str]) -> Iterator[str]:
    """The variables that name another broker or result backend, each with its scheme. None shows a password.

    Example:
        >>> from types import SimpleNamespace
        >>> ours = SimpleNamespace(broker_url="redis://a/0", result_backend="redis://a/0")
        >>> list(ignored_variables(ours, {"BROKER_URL": "amqp://user:secret@b//", "RESULT_BACKEND": "redis://a/0"}))
        ['BROKER_URL (amqp://…)']
    """
    for names, ours in ((BROKER, conf.broker_url), (RESULTS, conf.result_backend)):
        for name in names:
            theirs = environment.get(name, "")
            if theirs and theirs != ours:
                scheme = re.match(r"[a-z][a-z0-9+]{0,30}://", theirs)
                yield f"{name} ({scheme[0]}…)" if scheme else name
