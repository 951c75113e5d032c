"""The queues of a Celery app of the project's own, where its broker is the Redis of the state.

The scripts that launch tasks publish their messages there themselves, and processes take their next message in the
step that commits the last. Both need messages that lie in Redis as kombu's own transport writes them, in queues that
are known beforehand. Where that is not so, each process sends what its scripts launch through the app, as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.app.routes import MapRoute

from orchestrator.config import urls
from orchestrator.config.urls import RedisUrl
from orchestrator.engine import calls, canvas_of_calls, installation, message_validation, tracing
from orchestrator.engine.visibility import SpecialistTask
from orchestrator.model.calls import CALL, specialist_of
from orchestrator.model.queues import Queues

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.engine.guest import Guest


def why_not(engine: Guest) -> str:
    """Why the scripts cannot publish messages for an app; "" if they can."""
    return next(_obstacles(engine), "")


def _obstacles(engine: Guest) -> Iterator[str]:
    app: Any = engine.app
    conf, ours = app.conf, engine.given.redis.server
    theirs = installation.broker_url(app)
    if not urls.is_redis(theirs):
        yield f"the broker is no Redis, but {theirs.partition(':')[0]}"
        return
    of_broker = _address(theirs, conf.broker_transport_options)
    if not engine.brings_broker and (ours is None or of_broker != _address_of(ours)):
        yield "the broker is another Redis, database or user than redis.url"
    given = {str(url) for url in (conf.broker_read_url, conf.broker_write_url) if url}
    is_list = isinstance(conf.broker_url, list | tuple) or ";" in str(conf.broker_url)
    if conf.broker_transport or (is_list and not engine.brings_broker) or len(given) > 1:
        yield "the broker is more than one server (broker_url, broker_read_url), or has a transport of its own"
    steps = conf.broker_transport_options.get("priority_steps")
    if steps is not None and 0 not in steps:
        yield "broker_transport_options has priority_steps without 0"
    if any(not isinstance(router, MapRoute) for router in app.amqp.router.routes):
        yield "task_routes has a function, which only Python can call"
    if conf.task_send_sent_event:
        yield "task_send_sent_event asks for an event for each message"
    if engine.given.broker.signing:
        yield "messages are signed, and a script has no key"


def _address(url: str, options: Mapping[str, Any]) -> tuple[object, ...] | None:
    try:
        server = urls.read(url)
    except urls.BadUrl:
        return None
    found = _address_of(server)
    return (*found[:-1], options.get("master_name")) if server.has_sentinels else found


def _address_of(server: RedisUrl) -> tuple[object, ...]:
    hosts = tuple(sorted(server.hosts))
    return hosts, server.path, server.db, server.username, server.has_tls, server.service


@dataclass(frozen=True)
class _Seen:
    """The queues of an app, when it had so many tasks."""

    number: int
    names: Mapping[str, str | None]
    text: str
    specialists: Mapping[str, Sequence[str]]


class AppQueues(Queues):
    """The queues of an app, as its routes and its tasks say now: tasks may be imported later.

    Args:
        app: The Celery app.
        own: The queues of our specialists, by specialist.
    """

    def __init__(self, app: Celery, own: Mapping[str, str]) -> None:
        conf: Any = app.conf
        super().__init__(str(conf.broker_transport_options.get("global_keyprefix") or ""), own)
        self.app = app
        self._seen: _Seen | None = None

    @property
    def names(self) -> Mapping[str, str | None]:
        """As they are now."""
        return self._look().names

    @property
    def text(self) -> str:
        """The names as scripts take them."""
        return self._look().text

    @property
    def used(self) -> frozenset[str]:
        """All the queues, as they are now."""
        return frozenset(name for name in self.names.values() if name)

    def specialists_of(self, queue: str) -> Sequence[str]:
        """The specialists with a task in this app whose messages lie in a queue."""
        return self._look().specialists.get(queue, ())

    def _look(self) -> _Seen:
        """The queues as the app has them now. Several threads may ask at once, so the answer is replaced as a whole."""
        seen, number = self._seen, len(self.app.tasks)
        if seen is None or seen.number != number:
            names = self._find()
            text = Queues(self.prefix, names).text
            seen = self._seen = _Seen(number, names, text, self._find_specialists(names))
        return seen

    def _find_specialists(self, names: Mapping[str, str | None]) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for name, task in list(self.app.tasks.items()):
            if isinstance(task, SpecialistTask):
                queue = names.get(name, names[CALL] if name.startswith(CALL) else None)
                found.setdefault(queue or "", []).append(name)
        return found

    def _find(self) -> Mapping[str, str | None]:
        default = plain_queue(self.app, "")
        called = {specialist_of(name): plain_queue(self.app, name) for name in tasks_of(self.app)}
        router: Any = self.app.amqp.router
        if router.routes:  # a route may name a task that is not known here
            return {**self._names, **called, CALL: None}
        others = {specialist: queue for specialist, queue in called.items() if queue != default}
        return {**self._names, **others, CALL: default}


OF_CANVASES = ("celery.accumulate", "celery.map", "celery.starmap")
"""The tasks of Celery's own that a canvas calls."""


def tasks_of(app: Celery) -> Iterator[str]:
    """The names of the app's own tasks, and of those of Celery's that a canvas calls."""
    for name, task in list(app.tasks.items()):
        is_ours = isinstance(task, SpecialistTask | tracing.EnqueueTask) or name == canvas_of_calls.LEADER
        if name in OF_CANVASES or not (is_ours or name.startswith(message_validation.CELERYS_OWN)):
            yield name


def plain_queue(app: Celery, name: str) -> str | None:
    """The queue of a task, if a message for it lies under the queue's own key; None if its options say otherwise."""
    destination = calls.destination(app, name)
    queue = destination.pop("queue", None)
    kind = getattr(getattr(queue, "exchange", None), "type", "")
    return str(queue.name) if queue is not None and not destination and kind == "direct" else None
