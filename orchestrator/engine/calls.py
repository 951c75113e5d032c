"""Calls: a Celery task of the project's own app, as it is, does the work of a task, inside one of our attempts.

Celery's own tracer runs it: with its hooks, its signals and its log lines, under its own name. But a retry or a
replacement sends no message, and a result goes to no backend: they become the outcome of the attempt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, NoReturn

from celery import current_task, exceptions, states
from celery.result import ResultBase
from celery.utils.saferepr import saferepr
from kombu.utils import json as kombu_json

from orchestrator import specialists
from orchestrator.engine import called_task, replacement
from orchestrator.model import errors, references, words
from orchestrator.model.calls import request_id, seen_id
from orchestrator.model.outcome import Cancelled, Failed, FailureCause, NextCall, Outcome, RetryLater
from orchestrator.model.raised import Raised
from orchestrator.model.references import Reference
from orchestrator.model.typed_values import plain, restored
from orchestrator.specialists import event_loop, masking, values
from orchestrator.specialists.python import alarm, outcome_of_result
from orchestrator.specialists.registry import describe_exception

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.config.settings import Settings
    from orchestrator.specialists import Context

SENT_AS = ("queue", "exchange", "routing_key", "priority")
"""The options of a task that say where its messages go."""


def destination(app: Celery, name: str) -> dict[str, Any]:
    """Celery's options for the messages of a task: the task's own, and those of `task_routes`."""
    task: Any = app.tasks.get(name)
    given = task._get_exec_options() if task is not None else {}
    options = {each: given[each] for each in SENT_AS if given.get(each) is not None}
    routed = app.amqp.router.route(options, name, (), {}, task_type=task)
    return {each: routed[each] for each in SENT_AS if routed.get(each) is not None}


def perform(context: Context, app: Celery, settings: Settings) -> Outcome:
    """Do the work of a task that is a call, and return its outcome."""
    timeout = specialists.time_limit(context.specialist, context.task, settings)
    outcome = specialists.carry_out(
        CallRunner(app, settings, timeout),
        context,
        settings,
        timeouts=(TimeoutError, exceptions.SoftTimeLimitExceeded),
    )
    if not isinstance(outcome, Failed) or outcome.error is None:
        return outcome
    raised, secrets = Raised.of(outcome.error), masking.all_secret_texts(settings)
    masked = raised.model_copy(update={"args": tuple(masking.mask(raised.args, secrets))})
    return outcome.model_copy(update={"raised": masked})


class SoftTimeLimitExceeded(exceptions.SoftTimeLimitExceeded, TimeoutError):
    """Raised in a called task at its time limit. The task may catch either class."""

    __module__ = "celery.exceptions"  # so it is stored, and read by programs that know Celery's alone

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


@dataclass(frozen=True)
class CallRunner:
    """A specialist that is a task of a Celery app.

    Args:
        app: The Celery app.
        settings: The settings.
        timeout: Seconds after which the task is interrupted; None: never.
    """

    app: Celery
    settings: Settings
    timeout: float | None = None

    def perform(self, context: Context) -> Outcome:
        """Run the Celery task. Its exceptions pass through.

        Raises:
            TimeoutError: It was interrupted at its time limit.
        """
        settings, continues = self.settings, context.continues
        name = continues.call if continues else str(context.task.call)
        if not settings.may_call(name, from_file=False):
            refused = errors.CallRefused(tasks=f"Task {context.task.id}", call=name)
            return Failed(cause=FailureCause.DEPENDENCY, reason=str(refused), retry=False)
        task: Any = self.app.tasks.get(name)
        if task is None:
            error = errors.NoSuchCall(
                task=context.task.id, call=name, hint=words.did_you_mean(name, self.app.tasks)
            )
            return Failed(cause=FailureCause.DEPENDENCY, reason=str(error), retry=False)
        if waits := _not_now(context):
            return waits
        wanted = continues or context.task
        try:
            if continues and continues.gives is not None:
                return outcome_of_result(_filled(continues.gives, context), settings.limits, _encode)
            args, kwargs = _filled(wanted.args, context), _filled(wanted.kwargs, context)
        except LookupError as missing:
            return Failed(cause=FailureCause.DEPENDENCY, reason=str(missing.args[0]), retry=False)
        call = Call(context, name, args, kwargs, self.app, is_eager=settings.redis.is_in_memory)
        with alarm(self.timeout, SoftTimeLimitExceeded):
            result, info, *_ = called_task.run(task, call)
        if info is None:
            return outcome_of_result(result, settings.limits, _encode)
        outcome = call.outcome(info)
        following = outcome.next if isinstance(outcome, RetryLater) else None
        if following and (size := len(following.model_dump_json())) > settings.limits.params:
            most = f"at most {settings.limits.params:,} (limits.params)"
            return Failed(reason=f"the arguments to go on with have {size:,} characters; {most}", retry=False)
        return outcome


def _not_now(context: Context) -> Outcome | None:
    """The outcome of a task that may not begin now (countdown, eta, expires); None: it may."""
    task, now = context.task, time.time()
    options = task.options
    if options is None or context.continues is not None:  # it has waited
        return None
    if options.expires is not None and now > options.expires:
        return Failed(reason=f"expired: it was to begin {now - options.expires:.3g} s earlier", retry=False)
    wait = options.countdown or (max(0.0, options.eta - now) if options.eta else 0.0)
    if not wait:
        return None
    since, eta = context.retries + 1, now + wait
    same = NextCall(call=str(task.call), args=task.args, kwargs=task.kwargs, since=since, eta=eta)
    return RetryLater(after=wait, reason="it is to begin later", next=same)


def _filled(given: Any, context: Context) -> Any:
    """A value in which the results of the task's dependencies stand where it refers to them.

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

    return _restored(references.fill(given, find))


def _restored(value: Any) -> Any:
    """A value with the types that it had, also those that the project has registered with kombu."""
    try:
        return kombu_json.loads(json.dumps(value))
    except ValueError:  # it has a type that nobody knows here
        return restored(value)


@dataclass
class Call:
    """One run of a Celery task for an attempt.

    Args:
        context: The attempt.
        name: The name of the Celery task.
        args, kwargs: The arguments of the task.
        app: The Celery app.
        is_eager: It runs in the process that enqueued it.
    """

    context: Context
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    app: Celery
    is_eager: bool = False
    asked: Any = field(default=None, init=False)
    """The signature with which it asked for a retry, if that has other arguments."""

    @property
    def retries(self) -> int:
        """How often this task was tried again."""
        continues = self.context.continues
        return self.context.retries - (continues.since if continues else 0)

    @property
    def id(self) -> str:
        """The id that the task sees."""
        return seen_id(self.context.feature.id, self.context.task)

    @property
    def is_cancelled(self) -> Callable[[], bool]:
        """Whether a person has cancelled the attempt."""
        return self.context.is_cancelled

    @property
    def _eta(self) -> str | None:
        continues = self.context.continues
        if continues is None or continues.eta is None:
            return None
        return datetime.fromtimestamp(continues.eta, UTC).isoformat()

    def request(self, task: Any) -> dict[str, Any]:
        """The request that the task sees: that of the attempt's message, with changes."""
        outer = dict(vars(current_task.request)) if current_task and not self.is_eager else {}
        place = {"is_eager": True} if self.is_eager else outer.get("delivery_info") or {}
        limits = (task.time_limit, task.soft_time_limit)
        return {
            **{name: value for name, value in outer.items() if not name.startswith("_")},
            "id": self.id,
            "correlation_id": self.id,
            "task": task.name,
            "root_id": request_id(self.context.feature.id),
            "parent_id": None,
            "group": None,
            "retries": self.retries,
            "eta": self._eta,
            "argsrepr": saferepr(self.args),
            "kwargsrepr": saferepr(self.kwargs),
            "timelimit": list(limits) if any(limits) else [None, None],
            "ignore_result": True,  # the store keeps it
            # A repeated message starts nothing anyway; and Celery would take a redelivered run for done.
            "delivery_info": {**place, "redelivered": False},
            "is_eager": self.is_eager,
            "called_directly": False,
            "callbacks": None,
            "errbacks": None,
            "chain": None,
            "chord": None,
            **self._headers(),
            called_task.ATTRIBUTE: self,
        }

    def _headers(self) -> dict[str, Any]:
        """The headers that its canvas gave it, as Celery shows them; stamps stand by themselves too."""
        options = self.context.task.options
        headers = dict(options.headers) if options else {}
        stamped = headers.pop("stamped_headers", None)
        if not isinstance(stamped, list):
            return {"headers": headers} if headers else {}
        stamps = {str(name): headers[str(name)] for name in list(stamped) if name in headers}
        return {"headers": headers, "stamped_headers": stamped, "stamps": stamps, **stamps}

    def outcome(self, info: Any) -> Outcome:
        """The outcome of a run that did not return.

        Args:
            info: Celery's state of the run, and what was raised.

        Raises:
            Exception: The task failed with it.
        """
        raised = info.retval
        if isinstance(raised, event_loop.CancelledByPerson):
            return Cancelled()
        match info.state:
            case states.RETRY:
                reason = describe_exception(raised.exc) if raised.exc else str(raised)
                return RetryLater(
                    after=_seconds_until(raised.when, self.app.timezone), reason=reason, next=self._next_try()
                )
            case states.REJECTED if raised.requeue:
                return RetryLater(
                    after=SOON, reason=f"rejected, to be tried again: {raised.reason or 'no reason'}"
                )
            case states.REJECTED:
                return Failed(reason=f"rejected: {raised.reason or 'no reason'}", retry=False)
            case states.IGNORED if isinstance(raised, replacement.Replacing):
                (signature,) = raised.args
                if isinstance(signature, RetryLater):
                    return signature
                wait = _seconds_until(signature.options.get("countdown"), self.app.timezone)
                return RetryLater(
                    after=wait,
                    reason=f"goes on as {signature.task}",
                    next=self._following(signature, self.context.retries + 1),
                )
            case states.IGNORED:
                return Cancelled(reason=f"the task asked to be ignored: {raised or 'no reason'}")
        raise raised

    def _next_try(self) -> NextCall | None:
        """The call that a retry makes; None: that of the feature's task."""
        continues = self.context.continues
        if self.asked:
            return self._following(self.asked, continues.since if continues else 0)
        return continues.model_copy(update={"moves": False}) if continues else None

    def _following(self, signature: Any, since: int) -> NextCall:
        """The call that the next attempt makes.

        Args:
            signature: The signature of it.
            since: The number of retries from which it counts its own.
        """
        return NextCall(
            call=signature.task,
            args=tuple(references.literal(plain(value)) for value in signature.args),
            kwargs={name: references.literal(plain(value)) for name, value in signature.kwargs.items()},
            moves=signature.task != self.name,
            since=since,
        )

    def retried(self, signature: Any) -> Any:
        """The signature of a retry. Its `apply_async` does nothing: our store launches the retry at its time."""
        if [list(signature.args), dict(signature.kwargs)] != [self.args, self.kwargs]:
            self.asked = signature
        signature.apply_async = lambda *_, **__: None
        return signature

    def replaced(self, signature: Any) -> NoReturn:
        """End the run: what the signature names goes on in its place.

        Raises:
            Replacing: As Celery's own raises its Ignore.
            Exception: See `replacement.replacing`.
        """
        raise replacement.replacing(signature, self.context, self.app)

    def report(self, state: Any, meta: Any) -> None:
        """Report the progress that a task tells by `update_state`."""
        found = meta if isinstance(meta, Mapping) else {}
        note = ", ".join(f"{name}: {value}" for name, value in found.items() if name not in SHARES)
        percent = _percent(found)
        self.context.progress(percent, words.one_line(note or str(state or "")))


SOON = 0.001
"""Seconds of the shortest wait."""

SHARES = ("current", "total", "percent", "progress")


def _encode(value: Any) -> Any:
    """A value of a result that JSON does not have: as Celery's backends or its JSON write it, else as ours does.

    Raises:
        TypeError: None of them has a way to write it.
    """
    if isinstance(value, ResultBase):  # of a canvas that the task has sent
        return value.as_tuple()  # type: ignore[attr-defined]  # each class of Celery's has it
    try:
        return kombu_json.JSONEncoder().default(value)
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


def _seconds_until(when: Any, timezone: tzinfo) -> float:
    """Seconds until a moment, of this timezone if it names none; a number is the seconds themselves."""
    if isinstance(when, datetime):
        now = datetime.now(UTC)
        return max(SOON, ((when if when.tzinfo else when.replace(tzinfo=timezone)) - now).total_seconds())
    return max(SOON, float(when or 0))
