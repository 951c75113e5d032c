"""Checks of the broker and of the workers: who is there, and whether they can do the work."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import kombu
import redis

from orchestrator.client.checks import has_work
from orchestrator.config.settings import Settings
from orchestrator.config.urls import safe_url
from orchestrator.engine import broker
from orchestrator.local.redis_checks import from_error
from orchestrator.model import errors
from orchestrator.model.finding import Finding, ok, problem, warning
from orchestrator.model.words import count
from orchestrator.state import fingerprint, refusals
from orchestrator.state.durability import ask
from orchestrator.state.keys import Keys
from orchestrator.state.workers import Worker, Workers, processes

PATIENCE = 3
"""Seconds that a server has to answer."""


def check_broker(settings: Settings) -> Finding:
    """Whether the broker answers."""
    if settings.unseen_app:
        return warning(
            "broker",
            f"the configuration of this folder names the Celery app {settings.unseen_app}, which has the broker; this "
            "command imports nothing that a folder names",
            f"If the folder is yours, TASKORCHESTRATOR_APP={settings.unseen_app} orchestrator doctor checks the app's "
            "broker and settings too.",
        )
    if settings.app:
        return _check_brokers_of(settings.app, settings)
    if not settings.broker.url:
        return ok("broker", "the same Redis")
    address = broker.find(settings)
    url = address.url
    shown = settings.broker.server.shown if settings.broker.server else safe_url(url)
    remedy = "Start it, or set broker.url to one that runs, or leave it out: then Redis is the broker."
    patience = (
        {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE} if settings.broker.server else {}
    )
    try:
        with kombu.Connection(
            url,
            connect_timeout=PATIENCE,
            ssl=dict(address.tls) if address.tls else False,
            transport_options={**address.transport, **patience},
        ) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE)
    except kombu.exceptions.OperationalError as error:
        return problem("broker", f"{shown} does not answer: {refusals.describe(error)}", remedy)
    except Exception as error:  # a transport may raise anything; its message may quote a part of a password
        return problem("broker", f"{shown} cannot be used ({type(error).__name__})", remedy)
    return ok("broker", f"{shown} answers")


def check_app(settings: Settings) -> Iterator[Finding]:
    """The settings of the project's own Celery app, if the configuration names one."""
    if not settings.app:
        return
    from orchestrator.engine import app_checks, guest  # late: they bring all of Celery

    try:
        found = list(app_checks.check_app(guest.find(settings.app, settings)))
    except errors.OrchestratorError as error:
        yield from_error("app", error)
        return
    yield from found or [ok("app", f"the settings of the Celery app {settings.app} keep every promise")]


def _check_brokers_of(app: str, settings: Settings) -> Finding:
    from orchestrator.engine import guest  # late: it brings all of Celery

    try:
        with guest.find(app, settings).app.connection_for_write() as connection:
            shown = connection.as_uri()
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE)
    except errors.OrchestratorError as error:
        return from_error("broker", error)
    except Exception as error:  # a transport may raise anything; its message may quote a part of a password
        text = f"the broker of the Celery app {app} cannot be used ({type(error).__name__})"
        return problem("broker", text, "Start it, or correct broker_url of the app.")
    return ok("broker", f"{shown}, of the Celery app {app}, answers")


def check_workers(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Find the workers, and whether they serve every queue and cap."""
    from orchestrator.engine import queues  # late: it brings all of Celery

    keys = Keys(settings.redis.prefix)
    present = ask(Workers(client, keys).present) or []
    try:
        answers = _ask_the_workers()
    except errors.OrchestratorError as error:
        yield from_error("workers", error)
        return
    except kombu.exceptions.OperationalError as error:
        yield problem(
            "workers", f"they cannot be asked: {error}", "See what is said of Redis and the broker."
        )
        return
    except Exception as error:  # a transport may raise anything, as that of files does
        cause = f"they cannot be asked ({type(error).__name__})"
        yield problem("workers", cause, "See what is said of Redis and the broker.")
        return
    names = {*answers, *(worker.name for worker in present)}
    if not names:
        yield warning(
            "workers",
            "there is no worker, so nothing is worked on",
            "Start one: celery -A orchestrator worker. (`orchestrator run` brings its own.)",
        )
        return
    yield ok("workers", f"{len(names)} there: {', '.join(sorted(names))}")
    yield from _names(present)
    yield from check_threads(present)
    yield from _hindrances(present)
    for text in fingerprint.outdated(settings, present).values():
        yield warning("worker settings", text, fingerprint.REMEDY)
    served = {name for found in answers.values() for name in queues.display_names(found)}
    served |= {queue for worker in present for queue in worker.queues}
    missing = sorted({settings.queue(name) for name in _in_use(settings)} - served)
    if missing:
        yield warning(
            "queues",
            f"no worker takes from {', '.join(missing)}: tasks sent there wait",
            f"Start a worker for them: celery -A {settings.app or 'orchestrator'} worker -Q {','.join(missing)}",
        )
    else:
        yield ok("queues", "each specialist's queue has a worker")
    yield from _processes(settings, client, present)


def _in_use(settings: Settings) -> Iterator[str]:
    """The specialists that may get messages: where features call tasks of an app, not those that have no work."""
    may_be_any = not settings.app or settings.inline_commands or settings.quality_gates.enabled
    # Agents claim the tasks of these; a worker only runs their gates.
    claimed = () if settings.quality_gates.enabled else settings.pulled
    names = (name for name in settings.specialists if name not in claimed)
    return (name for name in names if may_be_any or has_work(name, settings))


def check_threads(present: Sequence[Worker]) -> Iterator[Finding]:
    """Workers whose threads ended and were started again."""
    for worker in present:
        if worker.trouble:
            yield warning(
                "worker threads",
                f"{worker.name}: {'; '.join(worker.trouble)}",
                "It was started again each time, and the worker's log says when. This is a mistake in the program: "
                "report it with that line of the log, and restart the worker.",
            )


def _hindrances(present: Sequence[Worker]) -> Iterator[Finding]:
    hindered = [f"{worker.name}: {'; '.join(worker.hindered)}" for worker in present if worker.hindered]
    if hindered:
        yield problem(
            "sweep",
            f"what workers try in each round does not succeed: {'. '.join(hindered)}",
            "See what is said here of Redis and of its keys. A feature whose keys are wrong is removed by: "
            "orchestrator forget ID.",
        )


def _names(present: Sequence[Worker]) -> Iterator[Finding]:
    counted = Counter(worker.name for worker in present)
    twice = sorted(name for name, number in counted.items() if number > 1)
    if twice:
        yield warning(
            "worker names",
            f"more than one worker is called {', '.join(twice)}: Celery's commands and Flower cannot tell them apart",
            "Start each with a name of its own: celery -A orchestrator worker -n NAME@%h",
        )


def _processes(settings: Settings, client: redis.Redis, present: Sequence[Worker]) -> Iterator[Finding]:
    """Whether the workers run as many tasks at once as the caps allow."""
    there = processes(present)
    keys = Keys(settings.redis.prefix)
    caps = {
        feature: _cap(client, keys, feature)
        for feature in sorted(ask(lambda: client.smembers(keys.active)) or ())
    }
    widest = max(caps, key=lambda feature: caps[feature], default="")
    if not there or not widest:
        return
    if caps[widest] <= there:
        yield ok("processes", f"the workers run {count(there, 'task')} at once, as many as any cap allows")
    else:
        yield warning(
            "processes",
            f"the workers run {count(there, 'task')} at once, and {widest} has a cap of {caps[widest]}: "
            "its other tasks wait for a process",
            f"Start more: celery -A orchestrator worker --concurrency {caps[widest] - there}",
        )


def _cap(client: redis.Redis, keys: Keys, feature: str) -> int:
    """How many tasks of the feature may run at once."""
    cap, total = client.hmget(keys.feature(feature).meta, "cap", "total")
    return min(int(cap or 0), int(total or 0))


def _ask_the_workers() -> Mapping[str, Sequence[Mapping[str, object]]]:
    from celery.app.control import DuplicateNodenameWarning  # type: ignore[attr-defined]

    from orchestrator.celery import app  # late: it brings all of Celery, and reads the settings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DuplicateNodenameWarning)  # it is a finding of its own
        return app.control.inspect(timeout=1.0).active_queues() or {}
