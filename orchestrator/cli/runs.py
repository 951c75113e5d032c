"""run, enqueue, watch: hand a feature over, and see it through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import choices, connection, live, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.client import answers
from orchestrator.client.snapshot import gate_outcomes
from orchestrator.config import configuration
from orchestrator.contract.answer import Need
from orchestrator.model import durations, errors, words
from orchestrator.model.progress import Progress
from orchestrator.planning import routing
from orchestrator.report import json_plans, next_steps, status_text

if TYPE_CHECKING:
    from orchestrator.cli.workforce import Workforce
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle

REPORTED = 10
"""How many stopped tasks are reported in full, and how many other decisions."""

NoLive = Annotated[bool, typer.Option("--no-live", help="Write plain lines, also on a terminal.")]


@reports()
def run(
    file: options.File,
    strategy: options.StrategyOption = None,
    cap: options.Cap = None,
    feature_id: options.NewId = None,
    key: options.Key = None,
    stop_before: options.StopBefore = None,
    remember: options.Remember = False,
    no_live: NoLive = False,
    *,
    asked: Asked,
) -> None:
    """Enqueue a feature and watch it to its end. On the private Redis it brings a worker, if none runs.

    Exit code: 0 completed, 1 stopped or cancelled, 2 wrong input, 3 no Redis or broker, 130 Ctrl-C.
    """
    from orchestrator.cli import workforce

    settings = configuration.load()
    output.tell_what_starts(settings)
    feature = options.read_feature(file, settings, strategy, cap, feature_id)
    had_server = workforce.has_server(settings)
    with connection.client() as client:
        routes = routing.route(feature, settings)
        chosen = choices.ask(feature, routes, settings, remember=remember)
        handle = client.enqueue(feature, idempotency_key=key, stops=stop_before or (), assign=chosen)
        _tell_repetition(handle, key)
        workforce.tell_outdated(client)
        with workforce.gather(client, handle.id, had_server=had_server) as workers:
            _see_through(
                client,
                handle,
                workers,
                after="-",
                is_live=not no_live,
                asked=asked,
                fallback=json_plans.fallback(routes),
            )


@reports()
def watch(feature_id: options.FeatureId, no_live: NoLive = False, *, asked: Asked) -> None:
    """Watch an enqueued feature to its end. On the private Redis it brings a worker, if none runs.

    Exit code: as of run.
    """
    from orchestrator.cli import workforce

    settings = configuration.load()
    output.tell_what_starts(settings)
    had_server = workforce.has_server(settings)
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        after = client.store.events.last(handle.id)
        if handle.progress().is_settled:
            _conclude(client, handle, asked=asked)
        workforce.tell_outdated(client)
        with workforce.gather(client, handle.id, had_server=had_server) as workers:
            _see_through(client, handle, workers, after=after, is_live=not no_live, asked=asked)


@reports()
def enqueue(
    file: options.File,
    strategy: options.StrategyOption = None,
    cap: options.Cap = None,
    feature_id: options.NewId = None,
    key: options.Key = None,
    stop_before: options.StopBefore = None,
    remember: options.Remember = False,
    *,
    asked: Asked,
) -> None:
    """Enqueue a feature and print its id. It runs where workers are."""
    settings = configuration.load()
    output.tell_what_starts(settings)
    feature = options.read_feature(file, settings, strategy, cap, feature_id)
    if memory := settings.redis.memory:
        raise errors.ForgottenAtOnce(url=memory.shown)
    with connection.client() as client:
        routes = routing.route(feature, settings)
        chosen = choices.ask(feature, routes, settings, remember=remember)
        handle = client.enqueue(feature, idempotency_key=key, stops=stop_before or (), assign=chosen)
        if asked.as_json:
            fallback = json_plans.fallback(routes)
            found = answers.concluded(client, handle, repeated=handle.repeated, fallback=fallback)
            asked.answer(found)
            return
    typer.echo(handle.id)
    _tell_repetition(handle, key)
    output.tell(f"Next: orchestrator watch {handle.id}")
    if settings.is_embedded:
        output.tell("It runs while a worker does: `orchestrator up` starts one, and `watch` brings its own.")


def _tell_repetition(handle: Handle, key: str | None) -> None:
    if handle.repeated:
        output.tell(f"Repeated: {handle.id} was enqueued before under the key {key}, with the same content.")


def _see_through(
    client: Client,
    handle: Handle,
    workers: Workforce,
    *,
    after: str,
    is_live: bool,
    asked: Asked,
    **more: Any,
) -> None:
    try:
        if asked.as_json:
            live.stay(client, handle, workers)
        else:
            live.watch(client, handle, workers, live=is_live, after=after)
    except KeyboardInterrupt:
        _take_leave(handle.id, workers)
        raise typer.Exit(130) from None
    _conclude(client, handle, asked=asked, **more)


def _take_leave(feature_id: str, workers: Workforce) -> None:
    output.tell(f"\nStopped watching. {feature_id} stays as it is:")
    ways = {
        f"watch {feature_id}": "goes on",
        "up": "starts a worker that goes on without you",
        f"cancel {feature_id}": "cancels it",
    }
    for command, what in ways.items():
        output.tell(f"  orchestrator {command:<{max(map(len, ways))}}  {what}")
    if workers.own:
        output.tell(
            "The worker of this run ends now; what it is at may take 20 s to finish. Ctrl-C again hands it back."
        )


def _conclude(client: Client, handle: Handle, *, asked: Asked, **more: Any) -> None:
    """Say how it ended, and exit: 0 if it is completed, else 1."""
    progress = handle.progress()
    if asked.as_json:
        asked.answer(answers.concluded(client, handle, **more))
    else:
        found = answers.find_needs(client, handle, progress)
        stopped = [need for need in found if need.need in next_steps.TOLD_IN_FULL]
        _tell_end(progress, stopped)
        for warning in next_steps.gate_warnings(gate_outcomes(client, progress)):
            output.say(next_steps.warning_line(warning))
        if held := answers.standstill(handle, progress):
            output.say(f"\n{next_steps.standstill_line(held)}")
        _tell_what_next(progress, [need for need in found if need not in stopped])
    raise typer.Exit(0 if progress.status.is_success else 1)


def _tell_end(progress: Progress, stopped: Sequence[Need]) -> None:
    name = f"{progress.title} ({progress.id})"
    output.say()
    if progress.status.is_success:
        took = durations.write(max(0.0, (progress.finished or 0) - (progress.started or progress.created)))
        output.say(f"{name} is {progress.status}: {words.count(progress.total, 'task')} in {took}.")
        return
    output.say(f"{name}: {status_text.progress_line(progress)}.")
    for need in stopped[:REPORTED]:
        output.say()
        for line in next_steps.stopped_lines(need):
            output.say(line)
    if (more := len(stopped) - REPORTED) > 0:
        output.say(f"\nand {words.count(more, 'more task')} stopped: orchestrator status {progress.id}")


def _tell_what_next(progress: Progress, others: Sequence[Need]) -> None:
    """The other needs, and the commands for the feature as a whole."""
    if progress.stopped and not progress.status.is_over:
        output.say(f"\nThen: orchestrator watch {progress.id}")
    for need in others[:REPORTED]:
        output.say(next_steps.need_line(need))
    if (more := len(others) - REPORTED) > 0:
        output.say(f"and {words.count(more, 'more decision')}: orchestrator status {progress.id}")
