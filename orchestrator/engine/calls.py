"""Calls: a Celery task of an app of the project's own does the work of a task, as it is, inside one of our attempts.

Celery's own tracer runs it: with its hooks, its signals and its log lines, under its own name. But all that would
send a message (a retry, a replacement) or write to the result backend becomes part of the attempt's outcome.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery import current_task, exceptions, states
from celery.app.trace import build_tracer
from celery.utils.saferepr import saferepr

from orchestrator import specialists
from orchestrator.engine import installation
from orchestrator.model import errors, references, typed_values, words
from orchestrator.model.outcome import Cancelled, Failed, FailureCause, Outcome, RetryLater
from orchestrator.model.references import Reference
from orchestrator.specialists import values
from orchestrator.specialists.python import alarm, outcome_of_result
from orchestrator.specialists.registry import describe_exception

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.specialists import Context

SENT_AS = ("queue", "exchange", "routing_key", "priority")
"""The options of a task that say where its messages go."""

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "task-orchestrator")


def request_id(feature_id: str, task_id: str = "") -> str:
    """The id that a called task sees (`self.request.id`): the same in each attempt, and in the form that Celery's have.

    Example:
        >>> request_id("auth", "T1") == request_id("auth", "T1") != request_id("auth", "T2")
        True
    """
    return str(uuid.uuid5(NAMESPACE, f"{feature_id}/{task_id}"))


def destination(app: Celery, name: str) -> dict[str, Any]:
    """Where Celery sends the messages of a task: its options, the task's own and those of `task_routes`."""
    task: Any = app.tasks.get(name)
    given = task._get_exec_options() if task is not None else {}
    options = {each: given[each] for each in SENT_AS if given.get(each) is not None}
    routed = app.amqp.router.route(options, name, (), {}, task_type=task)
    return {each: routed[each] for each in SENT_AS if routed.get(each) is not None}


def perform(context: Context, app: Celery) -> Outcome:
    """Do the work of a task that is a call, and return its outcome."""
    settings = installation.of(app).settings
    timeout = specialists.time_limit(context.specialist, context.task, settings)
    return specialists.carry_out(
        CallRunner(app, timeout), context, settings, timeouts=(TimeoutError, exceptions.SoftTimeLimitExceeded)
    )


@dataclass(frozen=True)
class CallRunner:
    """A specialist that is a task of a Celery app.

    Args:
        app: The Celery app.
        timeout: Seconds after which the task is interrupted; None: never.
    """

    app: Celery
    timeout: float | None = None

    def perform(self, context: Context) -> Outcome:
        """Run the Celery task. Its exceptions pass through.

        Raises:
            TimeoutError: It was interrupted at its time limit.
        """
        name = str(context.task.call)
        settings = installation.of(self.app).settings
        if not settings.may_call(name, from_file=False):
            refused = errors.CallRefused(tasks=f"Task {context.task.id}", call=name)
            return Failed(cause=FailureCause.DEPENDENCY, reason=str(refused), retry=False)
        task: Any = self.app.tasks.get(name)
        if task is None:
            error = errors.NoSuchCall(
                task=context.task.id, call=name, hint=words.did_you_mean(name, self.app.tasks)
            )
            return Failed(cause=FailureCause.DEPENDENCY, reason=str(error), retry=False)
        try:
            args, kwargs = _arguments(context)
        except LookupError as error:
            return Failed(cause=FailureCause.DEPENDENCY, reason=str(error.args[0]), retry=False)
        call = Call(context, args, kwargs)
        adapt(task)
        tracer = task.__trace__ or build_tracer(name, task, app=self.app)
        with alarm(self.timeout):
            result, info, *_ = tracer(call.id, call.args, call.kwargs, call.request(task))
        return outcome_of_result(result, settings.limits, _encode) if info is None else call.outcome(info)


def _arguments(context: Context) -> tuple[list[Any], dict[str, Any]]:
    """What the task is called with: the results of its dependencies stand where its arguments refer to them.

    Raises:
        LookupError: There is no such result.
    """

    def find(reference: Reference) -> Any:
        outcome = context.dependencies.get(reference.task)
        if outcome is None:
            raise LookupError(
                f"an argument is the result of {reference.task}, which has none: it was skipped"
            )
        try:
            return reference.of(outcome.summary or None if outcome.result is None else outcome.result)
        except LookupError as error:
            whole = f"{reference.path} of the result of {reference.task}"
            raise LookupError(f"an argument is {whole}, and there is {error.args[0]}") from None

    task = context.task
    args, kwargs = (typed_values.restored(references.fill(given, find)) for given in (task.args, task.kwargs))
    return args, kwargs


@dataclass
class Call:
    """One run of a Celery task for an attempt.

    Args:
        context: The attempt.
        args, kwargs: What the task is called with.
    """

    context: Context
    args: list[Any]
    kwargs: dict[str, Any]
    changed: bool = field(default=False, init=False)
    """It asked to be tried again with other arguments."""

    @property
    def id(self) -> str:
        """The id that the task sees."""
        return request_id(self.context.feature.id, self.context.task.id)

    def request(self, task: Any) -> dict[str, Any]:
        """The request that the task sees, made of that of the attempt's message."""
        outer = dict(vars(current_task.request)) if current_task else {}
        limits = (task.time_limit, task.soft_time_limit)
        return {
            **{name: value for name, value in outer.items() if not name.startswith("_")},
            "id": self.id,
            "correlation_id": self.id,
            "task": task.name,
            "root_id": request_id(self.context.feature.id),
            "parent_id": None,
            "group": None,
            "retries": self.context.retries,
            "argsrepr": saferepr(self.args),
            "kwargsrepr": saferepr(self.kwargs),
            "timelimit": list(limits) if any(limits) else [None, None],
            "ignore_result": True,  # the store keeps it
            "called_directly": False,
            "callbacks": None,
            "errbacks": None,
            "chain": None,
            "chord": None,
            ATTRIBUTE: self,
        }

    def outcome(self, info: Any) -> Outcome:
        """The outcome of a run that did not return.

        Args:
            info: Celery's state of the run, and what was raised.

        Raises:
            Exception: The task failed with it.
        """
        raised = info.retval
        match info.state:
            case states.RETRY if self.changed:
                return Failed(
                    reason="asked to be tried again with other arguments than it was called with, which a task of a "
                    "feature cannot; let it find the arguments itself, or grow the feature",
                    retry=False,
                )
            case states.RETRY:
                reason = describe_exception(raised.exc) if raised.exc else str(raised)
                return RetryLater(after=_seconds_until(raised.when), reason=reason)
            case states.REJECTED if raised.requeue:
                return RetryLater(
                    after=SOON, reason=f"rejected, to be tried again: {raised.reason or 'no reason'}"
                )
            case states.REJECTED:
                return Failed(reason=f"rejected: {raised.reason or 'no reason'}", retry=False)
            case states.IGNORED:
                return Cancelled(reason=f"the task asked to be ignored: {raised or 'no reason'}")
        raise raised

    def retried(self, signature: Any) -> Any:
        """The signature of a retry, which our store sends when the time has come, and nobody else does."""
        self.changed = [list(signature.args), dict(signature.kwargs)] != [self.args, self.kwargs]
        signature.apply_async = lambda *_, **__: None
        return signature

    def report(self, state: Any, meta: Any) -> None:
        """Report the progress that a task tells by `update_state`."""
        found = meta if isinstance(meta, Mapping) else {}
        note = ", ".join(f"{name}: {value}" for name, value in found.items() if name not in SHARES)
        percent = _percent(found)
        self.context.progress(percent, words.one_line(note or str(state or "")))


SOON = 0.001
"""Seconds of the shortest wait."""

ATTRIBUTE = "orchestrator"
"""The attribute of a Celery request that holds our call."""

SHARES = ("current", "total", "percent", "progress")


def _encode(value: Any) -> Any:
    """A value of a result that JSON does not have: as Celery's JSON writes it, else as ours does.

    Raises:
        TypeError: Neither has a way to write it.
    """
    try:
        return typed_values.encode(value)
    except TypeError:
        return values.to_json_value(value)


def _percent(meta: Mapping[str, Any]) -> float | None:
    """How far a task says that it is, in the usual words: current and total, or percent."""
    current, total = meta.get("current"), meta.get("total")
    if isinstance(current, int | float) and isinstance(total, int | float) and total > 0:
        return min(100.0, max(0.0, 100.0 * current / total))
    found = meta.get("percent", meta.get("progress"))
    is_share = isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= 100
    return float(found) if is_share else None


def _seconds_until(when: Any) -> float:
    """Seconds until a moment; a number is the seconds themselves."""
    if isinstance(when, datetime):
        now = datetime.now(UTC)
        return max(SOON, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
    return max(SOON, float(when or 0))


def adapt(task: Any) -> None:
    """Let a Celery task work inside our attempts: what it would send or store then, the attempt decides.

    Runs that are not ours are not touched.
    """
    if getattr(task.signature_from_request, ATTRIBUTE, False):
        return
    sign, tell, replace = task.signature_from_request, task.update_state, task.replace

    def signature_from_request(request: Any = None, *args: Any, **kwargs: Any) -> Any:
        call = _call_of(task)
        signature = sign(request, *args, **kwargs)
        return call.retried(signature) if call else signature

    def update_state(task_id: Any = None, state: Any = None, meta: Any = None, **more: Any) -> None:
        call = _call_of(task)
        if call and task_id in (None, call.id):
            call.report(state, meta)
        else:
            tell(task_id, state, meta, **more)

    def replaced(signature: Any) -> Any:
        if _call_of(task):
            raise NotImplementedError(
                "self.replace(…) in a task of a feature is not supported yet: let the feature grow instead"
            )
        return replace(signature)

    setattr(signature_from_request, ATTRIBUTE, True)
    task.signature_from_request, task.update_state, task.replace = (
        signature_from_request,
        update_state,
        replaced,
    )


def _call_of(task: Any) -> Call | None:
    return getattr(task.request, ATTRIBUTE, None)
