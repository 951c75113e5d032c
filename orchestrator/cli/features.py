"""status, explain, events: what is known of enqueued features."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import errors, wording, workers
from orchestrator.cli import connection, options, output, views
from orchestrator.cli.snapshot import Reader, Snapshot
from orchestrator.models import Event, Progress, Route, TaskState, Unreadable
from orchestrator.report import explanation, remedies, standing
from orchestrator.report.events import event_line, gone_line
from orchestrator.workers import Worker

if TYPE_CHECKING:
    from orchestrator.client import Client, Handle


NEEDS_SHOWN = 20
"""Of what waits for a person, so many features, and so much of each."""


def status(
    feature_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A feature; without it, the newest of all.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Every batch and task, also of a large feature.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show where features stand, or one feature with its batches and tasks."""
    from orchestrator.cli import workforce

    with connection.client(looks=True) as client:
        if feature_id is None:
            _list(client, as_json=as_json)
        else:
            _show(client, client.feature(feature_id), whole=whole, as_json=as_json)
        workforce.tell_outdated(client)


def _list(client: Client, *, as_json: bool) -> None:
    found = client.overview(active=True)
    features = [one for one in found if isinstance(one, Progress)]
    if as_json:
        output.write_json(found)
    elif found:
        if features:
            output.show(views.feature_table(features, time.time()))
        for one in found:
            if isinstance(one, Unreadable):
                output.say(views.unreadable_line(one))
        _show_needs(client, features)
    else:
        output.say("There is no feature yet. `orchestrator run FILE` runs one.")


def _show_needs(client: Client, features: Sequence[Progress]) -> None:
    """What waits for a person, over all features, with the command that answers it."""
    waiting = [progress for progress in features if progress.status in views.WAITING or progress.is_overdue]
    for progress in waiting[:NEEDS_SHOWN]:
        with contextlib.suppress(errors.NoSuchFeature, errors.UnreadableFeature):
            for need in remedies.needs(progress, client.feature(progress.id).unsettled())[:NEEDS_SHOWN]:
                output.say(f"{progress.id}: {need.what}. Next: {need.command}")


def _show(client: Client, handle: Handle, *, whole: bool, as_json: bool) -> None:
    snapshot = Reader(client, handle, whole=whole).take()
    progress = snapshot.progress
    if as_json:
        sizes = snapshot.sizes
        output.write_json(
            {
                **progress.model_dump(mode="json"),
                "percent": progress.percent,
                "batch_sizes": {str(number): size for number, size in sizes.items()},
                "is_whole": snapshot.is_whole,
                "gates": snapshot.gates,
                "standstill": _standstill(snapshot),
                "tasks": [
                    {**state.model_dump(mode="json"), "said": snapshot.said.get(state.id, "")}
                    for state in snapshot.states
                ],
            }
        )
        return
    for line in views.feature_lines(snapshot, time.time(), output.console().width):
        output.say(line)
    output.say()
    output.say(standing.progress_line(progress))
    if not snapshot.is_whole:
        output.say(f"Only the open batch is shown. All of it: orchestrator status {progress.id} --all")
    for warning in standing.gate_lines(snapshot.gates):
        output.say(warning)
    if held := _standstill(snapshot):
        output.say(remedies.standstill_line(held))
    batch = snapshot.of_batch(progress.batch)
    if short := standing.process_line(progress, _processes(client, progress)):
        output.say(f"{short}. More: celery -A orchestrator worker --concurrency {progress.cap}")
    for late in standing.overdue_lines(
        progress, batch, time.time(), _output_ages(client, progress.id, batch)
    ):
        output.say(late)
    for need in remedies.needs(progress, handle.unsettled())[:NEEDS_SHOWN]:
        output.say(f"{need.what}. Next: {need.command}")


def _standstill(snapshot: Snapshot) -> remedies.Standstill | None:
    """What stands still, where all tasks are known."""
    return remedies.standstill(snapshot.progress, snapshot.states) if snapshot.is_whole else None


def _processes(client: Client, progress: Progress) -> int:
    """How many tasks of the feature the workers run at once."""
    from orchestrator.cli import workforce

    if not progress.launched:
        return 0
    queues = set(workforce.needed_queues(client, progress.id))
    present = client.store.workers.present()
    return workers.processes(worker for worker in present if queues & set(worker.queues))


def _output_ages(client: Client, feature_id: str, states: Sequence[TaskState]) -> dict[str, float]:
    """Seconds since each task wrote to its log, of those whose log is on this machine."""
    from orchestrator.tasks import Files

    ages = {}
    for state in states:
        with contextlib.suppress(OSError):
            log = Files(client.settings, feature_id, state.id, state.attempt).log
            if log.stat().st_size:
                ages[state.id] = max(0.0, time.time() - log.stat().st_mtime)
    return ages


def explain(feature_id: options.FeatureId, task_id: options.TaskId, as_json: options.AsJson = False) -> None:
    """Say why a task stands where it stands: what it waits for, or what went wrong, and what to do."""
    with connection.client(looks=True) as client:
        handle = client.feature(feature_id)
        task = client.store.task(feature_id, task_id)
        states = {state.id: state for state in handle.states()}
        state = states[task_id]
        route = client.recommend(feature_id, task_id)
        found = explanation.explain(
            task,
            state,
            handle.progress(),
            others=states,
            now=time.time(),
            outcome=handle.outcome(task_id),
            route=route,
            listeners=_listeners(client, route) if state.phase == "launched" else None,
            limit=client.store.limit(state.limit) if state.limit else None,
        )
    if as_json:
        output.write_json({**found.model_dump(mode="json"), "route": route})
        return
    output.say(found.answer, "bold")
    for detail in found.details:
        output.say(f"  {detail}")
    for place, command in enumerate(found.next):
        output.say(f"{'Next:' if place == 0 else '     '} {command}")


def _listeners(client: Client, route: Route) -> Mapping[str, Sequence[Worker]] | None:
    from kombu.exceptions import OperationalError

    from orchestrator.cli import workforce

    try:
        return workforce.listeners(client, [route.queue])
    except OperationalError:
        return None


def events(
    feature_id: options.FeatureId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until nothing more happens.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print every event of a feature, oldest first."""
    with connection.client(looks=True) as client:
        handle = client.feature(feature_id)
        if gone := handle.events_gone():
            output.tell(gone_line(gone, client.settings.limits.events))
        for event in handle.follow() if follow else _all_events(handle):
            if as_json:
                output.write_json(event, indent=None)
            else:
                output.say(_event_line(event))


def _all_events(handle: Handle) -> Iterator[Event]:
    after = "-"
    while found := handle.events(after):
        yield from found
        after = found[-1].id


def _event_line(event: Event) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
    facts = {
        "batch": event.batch,
        "attempt": event.attempt,
        "cause": event.cause,
        "percent": event.percent,
        "note": event.note,
        "specialist": event.specialist,
        "worker": event.worker,
    }
    arrow = f"{event.source} → {event.target}" if event.source and event.target else event.target
    if event.event in ("batch_overdue", "at_capacity"):
        return f"{moment}  {event.event:<24}  {event_line(event)}"
    told = "  ".join(f"{name}={wording.one_line(str(value))}" for name, value in facts.items() if value)
    return f"{moment}  {event.event:<24}  {event.task:<8}  {arrow:<26}  {told}".rstrip()
