"""Errors about a feature that is read, planned or stored."""

from __future__ import annotations

from orchestrator.model.errors.base import OrchestratorError, UsageError


class InvalidFeature(UsageError):
    """{source} is not a feature: {count}.
    {mistakes}
    Nothing was stored. Correct {them} and try again."""

    told = ("count", "them")


class CircularDependency(UsageError):
    """{title} cannot be planned: {count}.
    {cycles}
    {remedies}"""

    told = ("title", "count", "cycles", "remedies")


class NotParallel(UsageError):
    """{title} cannot run with the strategy parallel: {task} depends on {dependency}, so they cannot start together.
    Use the strategy batched (it runs in parallel what can), or remove the dependencies."""


class NotInACanvas(UsageError):
    """{title} cannot be a canvas as it is, because a canvas has no state in which this could be kept:
    {lost}
    Enqueue the feature instead (`enqueue(feature)`), or leave these out."""


class CanvasesAreOff(UsageError):
    """{title} cannot be a canvas here: canvases are off, and workers refuse their messages.
    Enqueue the feature instead (`enqueue(feature)`), or turn canvases on, for workers and here: trust.canvas: true, or
    broker.signing (see docs/how-to/secure.md)."""


class NoBarrier(UsageError):
    """{title} cannot wait for launch before a batch: its strategy is dataflow, where no task waits for a batch.
    Leave {asked} out, or use the strategy batched."""


class InvalidId(UsageError):
    """{id!r} is not an id, so it cannot be a part of a path: {rule}."""


class NoSuchFeature(UsageError):
    """No feature has the id {feature}. `orchestrator status` lists all features."""


class AmbiguousFeature(NoSuchFeature):
    """Several features have an id that begins with {feature}: {found}. Write more of it."""


class UnreadableFeature(OrchestratorError):
    """The feature {feature} cannot be read, and nothing of it was changed: {cause}.
    Another version wrote it, or another program did. `orchestrator doctor` compares the versions."""


class NewerFeature(UnreadableFeature):
    """The feature {feature} was written by a newer version (schema {schema}; this one reads up to schema {known}), so
    it is left as it is.
    Install here the version of task-orchestrator that wrote it."""


class FeatureExists(UsageError):
    """A feature with the id {feature} exists already. Choose another id (or leave it out, and one is made up),
    or give an idempotency key if the same enqueue may come twice."""


class BadKey(UsageError):
    """An idempotency key has 1 to {most} printable characters, and this one {found}. Nothing was stored.
    Take a shorter name for this enqueue; of something long, a digest such as its SHA-256."""


class KeyTaken(UsageError):
    """The key {key} stands for {feature}, which was enqueued with other content. What differs: {differences}.
    Nothing was stored. Choose another key to run this one (`orchestrator status {feature}` shows the earlier one)."""


class WaitTimeout(OrchestratorError):
    """{feature} was not finished after {seconds} s: it is {status}, {progress}. It continues to run."""

    exit_code = 4


class FeatureOver(UsageError):
    """The feature {feature} is {status}, so nothing in it changes any more. Enqueue it again to run it again."""


class NotACanvas(OrchestratorError):
    """{name} is no canvas of Celery's: {cause}.
    Name a chain, group, chord or signature of a module in the project's folder, or a function that returns one."""

    exit_code = 2


class NotAFeature(OrchestratorError):
    """The canvas {canvas} is no feature: {cause}.
    The how-to page "From Celery" says what is carried over; `apply_async` runs it as before."""

    exit_code = 2


class NotOver(UsageError):
    """The feature {feature} is {status}, so it is not forgotten. `orchestrator cancel {feature}` ends it."""


class StillRuns(UsageError):
    """The feature {feature} is {status}, but an attempt of it has not ended yet, so it is not forgotten.
    Try again in a few seconds."""


class NothingToLaunch(UsageError):
    """The feature {feature} does not wait for launch: it is {status}, in batch {batch}.
    `orchestrator status {feature}` shows what it does."""


class GrowthContested(OrchestratorError):
    """{feature} changed during each of {tries} tries to add to it, so nothing was added. Try again, or pause it
    first: `orchestrator pause {feature}`."""


class NotDelivered(OrchestratorError):
    """The notification of {event} ({id}) of {feature} did not reach {target}; given up after {tries}: {cause}.
    `orchestrator status {feature}` shows its status. Correct `notifications` in the configuration, or its target."""


class NothingToRetry(UsageError):
    """Nothing of {feature} has stopped{where}. `orchestrator status {feature}` shows where each task stands."""


class CannotGrow(UsageError):
    """The feature {feature} cannot grow while it runs: its strategy is dataflow, which counts its dependencies once.
    Enqueue the new tasks as a feature of their own, or use the strategy batched."""
