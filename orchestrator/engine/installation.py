"""The engine in one Celery app: what it adds to the app, and what it keeps for it.

The app may be ours (`app.create`) or one that exists already (`install`). Ours is made for features alone. An existing
one stays as it is: its tasks, settings, serializer, signals and classes are not changed.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from orchestrator.config.settings import Settings
from orchestrator.engine import signing
from orchestrator.model import errors

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.engine.run import Runs
    from orchestrator.engine.taken_attempts import TakenAttempts
    from orchestrator.engine.taking import Taking

_guests: list[Installation] = []

_first = threading.Lock()
"""Of the threads that are the first to enqueue in an eager app, one makes the engine."""

ATTRIBUTE = "orchestrator"
"""The attribute of a Celery app that holds its installation: the only one that `install` sets."""


class Installation:
    """The engine in a Celery app.

    Args:
        app: The Celery app.
        settings: The settings.
    """

    is_guest = False
    """The app belongs to somebody else, and has tasks of its own."""
    is_eager = False
    """Features run in the process that enqueues them, before the enqueue returns."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self.app = app
        self.given = settings
        """The settings as they were given."""
        self.runs: Runs | None = None
        """The runs of this worker's processes; None in other programs."""
        self.taken_attempts: TakenAttempts | None = None
        """The attempts that this worker's processes took by themselves; only in its main process."""
        self.taking: Taking | None = None
        """Lets the processes of this worker take messages, in its main process."""

    def attach(self) -> Self:
        """Be the engine of the app from now on."""
        setattr(self.app, ATTRIBUTE, self)
        if self.is_guest:
            _guests.append(self)
        return self

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.given

    @property
    def apart(self) -> str:
        """Why an app has its messages apart from the state, so that scripts cannot send them; "" if they can."""
        return ""

    def specialists_of(self, queue: str) -> Sequence[str]:
        """The specialists whose messages a script of Redis sends to a queue.

        Args:
            queue: Its name at the broker.
        """
        settings = self.settings
        return [specialist for specialist in settings.specialists if settings.queue(specialist) == queue]

    @property
    def propagates(self) -> bool:
        """An enqueue raises what a task raised."""
        return self.is_eager and bool(self.app.conf.task_eager_propagates)

    @property
    def for_programs(self) -> Installation:
        """The engine by which programs enqueue: in an app that is eager now, one in this process."""
        if not self.is_guest or not self.app.conf.task_always_eager:
            return self
        with _first:
            return self._eager

    @functools.cached_property
    def _eager(self) -> Installation:
        return Eager(self.app, self.given.in_memory().routed(lambda called: called))

    @functools.cached_property
    def signer(self) -> signing.Signer | None:
        """Signs messages and verifies their signatures; None if messages are not signed."""
        return signing.Signer(self.settings.broker.signing) if self.settings.broker.signing else None

    def destination(self, specialist: str) -> dict[str, Any]:
        """Celery's options for sending the messages of a specialist."""
        return {"queue": self.settings.queue(specialist)}


class Eager(Installation):
    """The engine in an app with `task_always_eager`: its state lies in the memory of this process.

    It is not attached to the app, whose workers (if there are any) go on as they are.
    """

    is_eager = True


@contextlib.contextmanager
def lent(app: Celery, settings: Settings) -> Iterator[Installation]:
    """The engine in an app with other settings: for a test, in which no message is sent.

    Args:
        app: The Celery app.
        settings: The settings; their Redis is one in memory.
    """
    before = getattr(app, ATTRIBUTE, None)
    try:
        yield Installation(app, settings.routed(lambda called: called)).attach()
    finally:
        setattr(app, ATTRIBUTE, before)


def broker_url(app: Celery) -> str:
    """The URL of the broker of an app: the first, if it names several."""
    url: Any = app.conf.broker_url
    return str(url[0] if isinstance(url, list | tuple) else url).partition(";")[0]


def latest() -> Installation | None:
    """The engine in the app in which this program has called `install` last; None if it did not."""
    return _guests[-1] if _guests else None


def of(app: Celery) -> Installation:
    """The engine in a Celery app.

    Raises:
        NotInstalled: It has none.
    """
    found = getattr(app, ATTRIBUTE, None)
    if found is None:
        raise errors.NotInstalled(app=app.main or "this app")
    return cast("Installation", found)
