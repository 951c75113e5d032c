"""Watching a feature: the live view of a terminal, or plain lines elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live

from orchestrator.cli import output, views
from orchestrator.cli.log import Log
from orchestrator.client.snapshot import Reader, Snapshot
from orchestrator.model.event import Event

if TYPE_CHECKING:
    from orchestrator.cli.workforce import Workforce
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle

BEAT_SECONDS = 1.0
"""Seconds after which a view is drawn again at the latest; an event draws it at once."""

LEAST_SECONDS = 0.1
"""The least seconds between two drawings, even if many events come."""

SHARE = 5
"""A drawing that takes t seconds is followed by a pause of at least SHARE * t, so that watching costs little."""


def beats(handle: Handle, workforce: Workforce, after: str = "-") -> Iterator[list[Event]]:
    """The events of a feature as they come, until it is settled. After each second without one, an empty list.

    Raises:
        WorkerEnded: Nobody is left to do the work.
    """
    while True:
        is_over = handle.progress().is_settled  # read before the events, so that none is missed
        if not is_over:
            workforce.check()
        events = handle.events(after, block=None if is_over else BEAT_SECONDS)
        yield events
        if events:
            after = events[-1].id
        elif is_over:
            return


@contextlib.contextmanager
def patience(client: Client, handle: Handle, tell: Callable[[str], object] = output.tell) -> Iterator[None]:
    """Let the reads of client and handle outlast an outage of up to `recovery.outage`; report it with the time."""
    from orchestrator.state import outage

    def tell_when(text: str) -> None:
        tell(f"{time.strftime('%H:%M:%S')}  {text}")

    store, longest = client.store, client.settings.recovery.outage
    patient = outage.patient(store, f"the watch over {handle.id}", longest=longest, tell=tell_when)
    client.store = handle.store = patient
    try:
        yield
    finally:
        client.store = handle.store = store


def watch(client: Client, handle: Handle, workforce: Workforce, *, live: bool, after: str = "-") -> None:
    """Show a feature until it is settled: in a live view, else as lines from the event `after` on.

    Raises:
        WorkerEnded: Nobody is left to do the work.
        RedisUnreachable: Redis was away for longer than `recovery.outage`.
    """
    if live and sys.stdout.isatty():  # FORCE_COLOR asks a file for colours, not for a cursor that moves
        _draw(client, handle, workforce, after)
    else:
        _write(client, handle, workforce, after)


def stay(client: Client, handle: Handle, workforce: Workforce) -> None:
    """Wait until it is settled, and show nothing. Raises as `watch`."""
    with patience(client, handle):
        for _ in beats(handle, workforce, client.store.events.last(handle.id)):
            pass


def _draw(client: Client, handle: Handle, workforce: Workforce, after: str) -> None:
    reader = Reader(client, handle)
    console = output.console()

    def frame(snapshot: Snapshot) -> Group:
        lines = views.feature_lines(snapshot, time.time(), console.width, room=max(3, console.height - 1))
        return Group(*lines)

    shown = reader.take(workforce.notice)

    def notice(text: str) -> None:
        view.update(frame(dataclasses.replace(shown, notice=text)), refresh=True)

    with Live(frame(shown), console=console, auto_refresh=False) as view, patience(client, handle, notice):
        rest_until = 0.0
        for events in beats(handle, workforce, after):
            begun = time.monotonic()
            if events and begun < rest_until:
                continue
            shown = reader.take(workforce.notice)
            view.update(frame(shown), refresh=True)
            rest_until = time.monotonic() + max(LEAST_SECONDS, SHARE * (time.monotonic() - begun))
        view.update(frame(reader.take(workforce.notice)), refresh=True)


def _write(client: Client, handle: Handle, workforce: Workforce, after: str) -> None:
    log = Log(client, handle, output.say)
    told = ""
    with patience(client, handle):
        log.begin(from_start=after == "-")
        for events in beats(handle, workforce, after):
            log.add(events)
            if workforce.notice != told:
                told = workforce.notice
                output.tell(told) if told else output.tell("Each queue has a worker now.")
