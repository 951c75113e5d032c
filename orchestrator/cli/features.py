"""status, progress, explain: what is known of enqueued features."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import connection, options, output, workforce
from orchestrator.cli.asked import Asked, reports
from orchestrator.client.snapshot import Reader
from orchestrator.contract import needs
from orchestrator.model import errors, words
from orchestrator.model.progress import Progress, TaskState, Unreadable, running_longest
from orchestrator.report import feature_text, json_page, next_steps, status_text
from orchestrator.state import workers

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.contract.answer import Need
    from orchestrator.contract.feature_answers import FeaturesAnswer


NEEDS_SHOWN = 20
"""How many features that wait for a person are shown, and how many needs of each."""


@reports(limit=json_page.LIMIT)
def status(
    feature_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="A feature; without it, the newest of all.", callback=options.normal_id
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Every batch and task, also of a large feature.")
    ] = False,
    *,
    asked: Asked,
) -> None:
    """Show where features stand, or one feature with its batches and tasks."""
    with connection.client(looks=True) as client:
        if feature_id is not None:
            handle = connection.find(client, feature_id)
            if asked.as_json:
                from orchestrator.client import answers

                asked.answer(
                    answers.feature(client, handle, whole=whole, limit=asked.limit, after=asked.after)
                )
            else:
                _show(client, handle, whole=whole)
        elif asked.as_json:
            asked.answer(_features(client, asked))
        else:
            _list(client)
        workforce.tell_outdated(client)


@reports()
def progress(feature_id: options.FeatureId, *, asked: Asked) -> None:
    """Say in one line how far a feature is."""
    with connection.client(looks=True) as client:
        found = connection.find(client, feature_id).progress()
    if asked.as_json:
        from orchestrator.report import json_features

        asked.answer(json_features.feature_progress(found))
    else:
        output.say(feature_text.short_line(found))


def _features(client: Client, asked: Asked) -> FeaturesAnswer:
    from orchestrator.contract.feature_answers import FeaturesAnswer
    from orchestrator.report import json_features

    part, left, cursor = json_page.page(
        client.overview(active=True), asked.limit, asked.after, lambda one: one.id
    )
    lines = []
    for one in part:
        found: list[Need] = []
        if isinstance(one, Progress) and (one.status in needs.WAITING or one.is_overdue):
            with contextlib.suppress(errors.NoSuchFeature, errors.UnreadableFeature):
                found = needs.of_feature(
                    one, client.feature(one.id).unsettled(), specialists=client.settings.specialists
                )
        lines.append(json_features.feature_line(one, time.time(), found[: asked.limit]))
    return FeaturesAnswer(features=tuple(lines), left_out=json_page.left_out(features=left), after=cursor)


def _list(client: Client) -> None:
    from orchestrator.cli import views

    found = client.overview(active=True)
    features = [one for one in found if isinstance(one, Progress)]
    if found:
        if features:
            output.show(views.feature_table(features, time.time()))
        for one in found:
            if isinstance(one, Unreadable):
                output.say(views.unreadable_line(one))
        _show_needs(client, features)
    else:
        output.say("There is no feature yet. `orchestrator run FILE` runs one.")


def _show_needs(client: Client, features: Sequence[Progress]) -> None:
    """The needs of all features, each with the command that answers it."""
    waiting = [progress for progress in features if progress.status in needs.WAITING or progress.is_overdue]
    for progress in waiting[:NEEDS_SHOWN]:
        with contextlib.suppress(errors.NoSuchFeature, errors.UnreadableFeature):
            for need in needs.of_feature(progress, client.feature(progress.id).unsettled())[:NEEDS_SHOWN]:
                output.say(f"{progress.id}: {next_steps.need_line(need)}")


def _show(client: Client, handle: Handle, *, whole: bool) -> None:
    snapshot = Reader(client, handle, whole=whole).take()
    progress = snapshot.progress
    if output.console().is_terminal:
        from orchestrator.cli import views

        for drawn in views.feature_lines(snapshot, time.time(), output.console().width):
            output.say(drawn)
        output.say()
        output.say(status_text.progress_line(progress))
    else:
        known = (progress, snapshot.states, time.time(), snapshot.said, snapshot.sizes)
        for line in feature_text.feature_lines(*known, whole=whole):
            output.say(line)
    if not snapshot.is_whole:
        output.say(f"Only the open batch is shown. All of it: orchestrator status {progress.id} --all")
    for warning in next_steps.gate_warnings(snapshot.gates):
        output.say(next_steps.warning_line(warning))
    if held := snapshot.standstill:
        output.say(next_steps.standstill_line(held))
    batch = snapshot.of_batch(progress.batch)
    if short := status_text.process_line(progress, _processes(client, progress)):
        output.say(f"{short}. More: celery -A orchestrator worker --concurrency {progress.cap}")
    ages = _output_ages(client, progress.id, running_longest(batch)[: words.SHOWN])
    for late in status_text.overdue_lines(progress, batch, time.time(), ages):
        output.say(late)
    for need in needs.of_feature(progress, handle.unsettled())[:NEEDS_SHOWN]:
        output.say(next_steps.need_line(need))


def _processes(client: Client, progress: Progress) -> int:
    """How many tasks of the feature the workers run at once."""
    if not progress.launched:
        return 0
    queues = set(workforce.needed_queues(client, progress.id))
    present = client.store.workers.present()
    return workers.processes(worker for worker in present if queues & set(worker.queues))


def _output_ages(client: Client, feature_id: str, states: Sequence[TaskState]) -> dict[str, float]:
    """Seconds since each task wrote to its log, of those whose log is on this machine."""
    if not states:
        return {}
    from orchestrator.state import tails

    ages = {}
    for state in states:
        with contextlib.suppress(OSError):
            log = tails.log_file(client.settings, feature_id, state.id, state.attempt)
            if log.stat().st_size:
                ages[state.id] = max(0.0, time.time() - log.stat().st_mtime)
    return ages


@reports()
def explain(feature_id: options.FeatureId, task_id: options.TaskId, *, asked: Asked) -> None:
    """Say why a task is in its status: what it waits for, or what went wrong, and what to do."""
    from orchestrator.client import explaining

    with connection.client(looks=True) as client:
        handle = connection.find(client, feature_id)
        found = explaining.explain(client, handle, task_id)
        if asked.as_json:
            asked.answer(explaining.answer(client, handle, found))
            return
    output.say(found.explanation.answer, "bold")
    for detail in found.explanation.details:
        output.say(f"  {detail}")
    for place, command in enumerate(found.explanation.next):
        output.say(f"{'Next:' if place == 0 else '     '} {command}")
