"""The decisions of people about a feature or one of its tasks: each command is one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import choices, connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.client import answers
from orchestrator.model import errors, identifiers, words
from orchestrator.model.progress import TaskState
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import dollars
from orchestrator.planning import graph
from orchestrator.report import status_text

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle


def decide(action: str, feature_id: str, task_id: str | None = None, *, asked: Asked, **given: str) -> None:
    """Carry out an action about a feature, or about one of its tasks, and report it.

    Args:
        action: As in `client.actions`.
        feature_id: The feature.
        task_id: The task; None: the feature as a whole.
        asked: How it is reported.
        given: The arguments of the action.

    Raises:
        NoSuchFeature: No feature has this id; and what `connection.client` and `actions.carry_out` raise.

    Example:
        decide("hold", "auth", "T3", asked=Asked(), note="the server is away")
    """
    from orchestrator.client import actions

    with connection.client() as client:
        handle = connection.find(client, feature_id)
        text = actions.carry_out(handle, action, task_id or "", given)
        tell(client, handle, text, task_id, asked=asked)


def tell(client: Client, handle: Handle, text: str, *tasks: str | None, asked: Asked) -> None:
    """Report a decision, with the status of the feature and of its tasks now."""
    if asked.as_json:
        asked.answer(answers.decision(client, handle, text, [task for task in tasks if task]))
        return
    output.say(text)
    if not handle.status().is_over:
        output.tell(f"Next: orchestrator watch {handle.id}")


@reports()
def retry(
    feature_id: options.FeatureId,
    task_id: options.MaybeTask = None,
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="Also what stopped of the tasks that depend on it.")
    ] = False,
    from_batch: Annotated[
        int | None, typer.Option("--from-batch", min=1, help="Everything that stopped, from this batch on.")
    ] = None,
    note: options.Note = "",
    *,
    asked: Asked,
) -> None:
    """Run failed tasks again. Completed tasks never run again."""
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        wanted = _to_retry(handle, task_id, with_dependents=with_dependents, from_batch=from_batch)
        for state in wanted:
            _take_up(handle, state, note)
        names = [state.id for state in wanted]
        verb = "runs" if len(wanted) == 1 else "run"
        tell(client, handle, f"{words.some(names)} {verb} again.", *names, asked=asked)


def _to_retry(
    handle: Handle, task_id: str | None, *, with_dependents: bool, from_batch: int | None
) -> list[TaskState]:
    if task_id is not None and from_batch is None and not with_dependents:
        return [
            status_text.gates_state(task_id) if identifiers.is_gates(task_id) else handle.around(task_id)[0]
        ]
    states = {state.id: state for state in handle.states()}
    stopped = [state for state in states.values() if status_text.is_stopped(state)]
    if from_batch is not None or task_id is None:
        found = [state for state in stopped if state.batch >= (from_batch or 0)]
        gates = handle.progress().gates_failed
        if gates and from_batch is None:
            found.append(status_text.gates_state(gates))
        if not found:
            where = f" from batch {from_batch} on" if from_batch else ""
            raise errors.NothingToRetry(feature=handle.id, where=where)
        return found
    if identifiers.is_gates(task_id):
        return [status_text.gates_state(task_id)]
    if task_id not in states:
        raise errors.NoSuchTask(feature=handle.id, task=task_id)
    followers = graph.dependents({state.id: state.depends_on for state in states.values()})
    behind = set(graph.behind(task_id, followers))
    return [states[task_id], *(state for state in stopped if state.id in behind)]


def _take_up(handle: Handle, state: TaskState, note: str) -> None:
    if state.status is TaskStatus.BLOCKED:
        handle.unblock(state.id, note)
    else:
        handle.retry(state.id, note)


@reports()
def unblock(
    feature_id: options.FeatureId, task_id: options.TaskId, note: options.Note = "", *, asked: Asked
) -> None:
    """Run a blocked task again, because its obstacle is gone."""
    decide("unblock", feature_id, task_id, asked=asked, note=note)


@reports()
def skip(
    feature_id: options.FeatureId, task_id: options.TaskId, because: options.Reason, *, asked: Asked
) -> None:
    """Do without a task: it counts as resolved, and what depends on it may run."""
    decide("skip", feature_id, task_id, asked=asked, because=because)


@reports()
def assign(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    specialist: Annotated[str, typer.Argument(metavar="SPECIALIST", help="Name or title of a specialist.")],
    remember: options.Remember = False,
    note: options.Note = "",
    *,
    asked: Asked,
) -> None:
    """Give a task that has not started to a specialist."""
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        handle.assign(task_id, specialist, note)
        if remember:
            choices.remember_tag(client.store.tasks.find(handle.id, task_id), specialist, client.settings)
        title = client.recommend(handle.id, task_id).title
        tell(client, handle, f"{task_id} goes to {title}.", task_id, asked=asked)


@reports()
def approve(
    feature_id: options.FeatureId, task_id: options.MaybeTask = None, note: options.Note = "", *, asked: Asked
) -> None:
    """Approve a task that is in review, or a feature that waits for its review."""
    decide("approve", feature_id, task_id, asked=asked, note=note)


@reports()
def request_changes(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    note: Annotated[str, typer.Option("--note", help="What to change; handed to the specialist.")],
    *,
    asked: Asked,
) -> None:
    """Send a task that is in review back to its specialist."""
    decide("request-changes", feature_id, task_id, asked=asked, note=note)


@reports()
def advance(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    to: Annotated[str | None, typer.Option("--to", help="A status; else the next one of its flow.")] = None,
    note: options.Note = "",
    *,
    asked: Asked,
) -> None:
    """Move a task on by hand, as if its work had been done elsewhere."""
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        handle.advance(task_id, to, note)
        status = client.store.tasks.state(handle.id, task_id).status
        tell(client, handle, f"{task_id} is {status}.", task_id, asked=asked)


@reports()
def hold(
    feature_id: options.FeatureId, task_id: options.TaskId, note: options.Note = "", *, asked: Asked
) -> None:
    """Put a task on hold. If it runs, its work is stopped."""
    decide("hold", feature_id, task_id, asked=asked, note=note)


@reports()
def resume(
    feature_id: options.FeatureId, task_id: options.MaybeTask = None, note: options.Note = "", *, asked: Asked
) -> None:
    """Take up again a task that was on hold or deferred, or a feature that was paused."""
    decide("resume", feature_id, task_id, asked=asked, note=note)


@reports()
def defer(
    feature_id: options.FeatureId, task_id: options.TaskId, note: options.Note = "", *, asked: Asked
) -> None:
    """Put a task off; what depends on it waits until it is resumed or skipped."""
    decide("defer", feature_id, task_id, asked=asked, note=note)


@reports()
def cancel(
    feature_id: options.FeatureId, task_id: options.MaybeTask = None, note: options.Note = "", *, asked: Asked
) -> None:
    """Cancel a feature, or one task: nothing more of it starts, and what runs is ended within seconds."""
    decide("cancel", feature_id, task_id, asked=asked, note=note)


@reports()
def block(
    feature_id: options.FeatureId, task_id: options.TaskId, because: options.Reason, *, asked: Asked
) -> None:
    """Say that a task cannot go on; if it runs, its work is ended. `unblock` lets it run again."""
    decide("block", feature_id, task_id, asked=asked, because=because)


@reports()
def fail(
    feature_id: options.FeatureId,
    task_id: options.MaybeTask = None,
    because: Annotated[
        str, typer.Option("--because", "--note", help="Why; kept in the feature's events.")
    ] = "",
    *,
    asked: Asked,
) -> None:
    """Give a feature up: as cancel, and it counts as failed. Or one task: if it runs, its work is ended."""
    decide("fail", feature_id, task_id, asked=asked, because=because)


@reports()
def pause(feature_id: options.FeatureId, note: options.Note = "", *, asked: Asked) -> None:
    """Start nothing more of a feature until `resume`; what runs goes on to its end."""
    decide("pause", feature_id, asked=asked, note=note)


@reports()
def launch(feature_id: options.FeatureId, *, asked: Asked) -> None:
    """Start the next batch of a feature that waits for it."""
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        handle.launch()
        tell(client, handle, f"Batch {handle.progress().batch} is launched.", asked=asked)


@reports()
def budget(
    feature_id: options.FeatureId,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="Dollars; +5 is added to the budget that holds.")
    ],
    task_id: options.MaybeTask = None,
    *,
    asked: Asked,
) -> None:
    """Change what the agents of a feature, or of one task, may spend; what was blocked by it goes on."""
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        now = handle.set_budget(amount, task_id or "")
        text = f"The budget of {task_id or handle.id} is {dollars(now)}."
        tell(client, handle, text, task_id, asked=asked)


@reports()
def cap(
    feature_id: options.FeatureId,
    most: Annotated[int, typer.Argument(metavar="N", help="How many tasks may run at once.")],
    *,
    asked: Asked,
) -> None:
    """Change how many tasks of a feature may run at once, while it runs."""
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        handle.set_cap(most)
        tell(client, handle, f"At most {words.count(most, 'task')} of {handle.id} at once.", asked=asked)
