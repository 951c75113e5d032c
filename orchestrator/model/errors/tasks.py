"""Errors about one task, its status and its output."""

from __future__ import annotations

from orchestrator.model.errors.base import UsageError


class NoTaskNamed(UsageError):
    """The command names no task, or names one twice.
    Name an enqueued task (ID and TASK), or the tags of one that is not (--tags backend,bug)."""


class BadTags(UsageError):
    """{tags} cannot be tags: {reason}.
    Write up to 32 of up to 64 characters, with commas between them: --tags backend,bug."""


class BadTask(UsageError):
    """{source} cannot be read as a task: {cause}.
    A task is a mapping with the fields that it has in a feature file. Nothing was added."""


class NoSuchTask(UsageError):
    """The feature {feature} has no task {task}. `orchestrator status {feature}` lists its tasks."""


class RefusedTransition(UsageError):
    """{subject} cannot take {event}: it is {status}. From there the flow {flow} allows {events}."""

    told = ("subject", "events")


class NotCompleted(UsageError):
    """{task} of {feature} has no result: {reason}. `orchestrator status {feature}` shows where it stands."""


class NoLog(UsageError):
    """There is no output of attempt {attempt} of {task} of {feature} on this machine: {reason}.
    `orchestrator explain {feature} {task}` says where the task stands."""


class AttemptRuns(UsageError):
    """{task} of {feature} is {status}: a worker holds it. Wait until the attempt has ended, or take it away from the
    worker with `orchestrator hold {feature} {task}`."""


class Unresolved(UsageError):
    """{task} of {feature} cannot advance before {dependencies}, which it depends on, is resolved.
    Wait for it, skip it, or set status_validation.validate_prerequisites: false."""


class CannotAdvance(UsageError):
    """A task that is {status} cannot be advanced to {to}: in the flow {flow} the next status is {following}
    (only a worker puts a task in progress).
    status_validation.enforce_sequential: false allows a person to skip statuses."""


class TaskStarted(UsageError):
    """{task} of {feature} has started already (it is {status}), so it cannot wait for {dependencies} any more.
    Add a new task that depends on both, or cancel the feature and enqueue it again."""


class CannotRemember(UsageError):
    """The choice for {task} was made, but cannot be remembered: {reason}.
    Write {line} there by hand, and the next such task is routed."""


class NoSuchClaim(UsageError):
    """{claim} is no claim. A claim is what `orchestrator claim` or the tool `claim` answered with."""


class ClaimEnded(UsageError):
    """This claim of {task} of {feature} has ended: {reason}.
    Nothing was changed. Stop this work; the next task: `orchestrator claim`."""


class BadOutcome(UsageError):
    """The outcome of {task} of {feature} cannot be taken: {reason}.
    Nothing was changed: report it again."""
