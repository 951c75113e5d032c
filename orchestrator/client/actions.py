"""The actions that a feature or a task takes now, as data, and how each is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.contract import needs
from orchestrator.contract.answer import Action, Argument
from orchestrator.contract.needs import MAYBE_TEXT
from orchestrator.model import errors, identifiers, words
from orchestrator.model.flows import WORKING
from orchestrator.model.task import TaskStatus

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.model.progress import Progress, TaskState

NUMBER = Argument(type="integer")

ENDING_AN_ATTEMPT = ("block", "hold", "defer", "cancel")
"""The transitions that a person may ask for while an attempt of the task runs."""


def of_task(client: Client, handle: Handle, progress: Progress, state: TaskState) -> tuple[Action, ...]:
    """Every action that a task takes now; those that answer what it waits for come first.

    Args:
        client: Its settings hold the status flows.
        handle: The feature.
        progress: Where it stands.
        state: Where the task stands.
    """
    if progress.status.is_over:
        return ()
    likely = [
        one for one in needs.of_task(handle.id, state, client.settings.specialists) if one.action != "logs"
    ]
    flow = client.settings.flow_for(client.store.tasks.find(handle.id, state.id).tags)
    others = needs.by_events(handle.id, state.id, flow.allowed(state.status))
    if state.phase == "launched" or state.status in WORKING:
        others = [one for one in others if one.action in ENDING_AN_ATTEMPT]
    elif state.status is TaskStatus.PENDING:
        choice = Argument(type="string", choices=tuple(client.settings.specialists))
        others.append(needs.action("assign", handle.id, state.id, given={"specialist": choice}))
    if state.phase == "ending" or (state.status is TaskStatus.CANCELLED and state.resolved):
        return ()
    return _once([*likely, *others])


def of_feature(client: Client, handle: Handle, progress: Progress) -> tuple[Action, ...]:
    """Every action that a feature as a whole takes now."""
    if progress.status.is_over:
        return ()
    table = client.store.features.transitions(handle.id)
    found = needs.by_events(
        handle.id, "", [event for event, arrow in table.items() if progress.status in arrow]
    )
    pointless = "pause" if progress.is_paused else "resume"
    launch = [needs.action("launch", handle.id)] if progress.awaits_launch else []
    knobs = [needs.action("cap", handle.id, given={"most": NUMBER})]
    if any(given.agent for given in client.settings.specialists.values()):
        knobs.append(needs.action("budget", handle.id, given={"amount": needs.TEXT}))
    return _once([*launch, *(one for one in found if one.action != pointless), *knobs])


def _once(found: Iterable[Action]) -> tuple[Action, ...]:
    """Each action once, with a note where its command takes one."""
    return with_notes({one.action: one for one in reversed(list(found))}.values())[::-1]


def with_notes(found: Iterable[Action]) -> tuple[Action, ...]:
    """Actions, each with a note where its command takes one."""
    return tuple(map(_with_note, found))


def _with_note(action: Action) -> Action:
    if action.action in ("launch", "cap", "budget", "skip", "block") or "note" in action.arguments:
        return action
    return action.model_copy(update={"arguments": {**action.arguments, "note": MAYBE_TEXT}})


# How each is carried out


class _Way(NamedTuple):
    carry_out: Callable[[Handle, str, Mapping[str, str]], object]
    message: str
    """With {task}, {feature} and the arguments in it."""


def _note(given: Mapping[str, str]) -> str:
    return given.get("note", "") or given.get("because", "")


OF_A_TASK: Mapping[str, _Way] = {
    "retry": _Way(lambda handle, task, given: handle.retry(task, _note(given)), "{task} runs again."),
    "unblock": _Way(lambda handle, task, given: handle.unblock(task, _note(given)), "{task} runs again."),
    "skip": _Way(lambda handle, task, given: handle.skip(task, _note(given)), "{task} is skipped."),
    "assign": _Way(
        lambda handle, task, given: handle.assign(task, given["specialist"], _note(given)),
        "{task} goes to {specialist}.",
    ),
    "approve": _Way(lambda handle, task, given: handle.approve(task, _note(given)), "{task} is approved."),
    "request-changes": _Way(
        lambda handle, task, given: handle.request_changes(task, _note(given)),
        "{task} goes back to its specialist.",
    ),
    "hold": _Way(lambda handle, task, given: handle.hold(task, _note(given)), "{task} is on hold."),
    "resume": _Way(lambda handle, task, given: handle.resume_task(task, _note(given)), "{task} goes on."),
    "defer": _Way(lambda handle, task, given: handle.defer(task, _note(given)), "{task} is deferred."),
    "block": _Way(lambda handle, task, given: handle.block(task, _note(given)), "{task} is blocked."),
    "cancel": _Way(
        lambda handle, task, given: handle.cancel_task(task, _note(given)), "{task} is cancelled."
    ),
    "fail": _Way(lambda handle, task, given: handle.fail_task(task, _note(given)), "{task} has failed."),
    "budget": _Way(
        lambda handle, task, given: handle.set_budget(given["amount"], task),
        "The budget of {task} is changed.",
    ),
}
"""The actions about one task."""

OF_A_FEATURE: Mapping[str, _Way] = {
    "approve": _Way(lambda handle, _, given: handle.approve_feature(_note(given)), "{feature} is approved."),
    "pause": _Way(lambda handle, _, given: handle.pause(_note(given)), "{feature} is paused."),
    "resume": _Way(lambda handle, _, given: handle.resume(_note(given)), "{feature} goes on."),
    "cancel": _Way(lambda handle, _, given: handle.cancel(_note(given)), "{feature} is cancelled."),
    "fail": _Way(lambda handle, _, given: handle.fail(_note(given)), "{feature} is given up."),
    "launch": _Way(lambda handle, _, given: handle.launch(), "The next batch of {feature} is launched."),
    "cap": _Way(
        lambda handle, _, given: handle.set_cap(_whole(given["most"])), "At most {most} of {feature} at once."
    ),
    "budget": _Way(
        lambda handle, _, given: handle.set_budget(given["amount"]), "The budget of {feature} is changed."
    ),
}
"""The actions about a feature as a whole."""

NEEDED = {
    "assign": "specialist",
    "request-changes": "note",
    "skip": "because",
    "block": "because",
    "cap": "most",
    "budget": "amount",
}
"""The argument without which an action cannot be carried out."""


def carry_out(handle: Handle, action: str, task: str = "", given: Mapping[str, str] | None = None) -> str:
    """Do what somebody decided, and say in a sentence what was done.

    Args:
        handle: The feature.
        action: As in an `Action`, such as retry.
        task: The task; "": the feature as a whole.
        given: The arguments, such as note.

    Raises:
        NoSuchAction: There is none of this name.
        ArgumentMissing: It needs one more argument.
        OrchestratorError: It is refused, as `Handle` says for each.

    Example:
        carry_out(handle, "skip", "T3", {"because": "done by hand"})
    """
    arguments = {name: value for name, value in (given or {}).items() if value}
    ways = OF_A_TASK if task else OF_A_FEATURE
    if action not in ways or (identifiers.is_gates(task) and action != "retry"):
        about = "a task" if task else "a feature"
        raise errors.NoSuchAction(action=action, about=about, known=list(ways))
    needed = NEEDED.get(action)
    if needed and needed not in arguments:
        raise errors.ArgumentMissing(action=action, argument=needed)
    way = ways[action]
    way.carry_out(handle, task, arguments)
    most = arguments.get("most", "")
    shown = {**arguments, "most": words.count(_whole(most), "task")} if most else arguments
    return way.message.format(**{**shown, "task": task, "feature": handle.id})


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # which is refused as no cap
