"""Runs the scripts of `lua/`, unless a newer version wrote what they are about."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import redis

from orchestrator.model import errors, words
from orchestrator.model.commands import BatchProgress, Launch, ScheduleResult
from orchestrator.model.feature import FeatureStatus
from orchestrator.state import actor, refusals, schema, scripts
from orchestrator.state.scripts import Call, Scope

if TYPE_CHECKING:
    from redis.client import Pipeline

    from orchestrator.model.queues import Queues
    from orchestrator.state.keys import Keys

SCHEDULE = Call("schedule")

CHECKS = (
    Call("check_schema", {"known": schema.VERSION}),
    Call("check_minimum", {"known": schema.VERSION}),
)
"""Whether this version may work on a feature, and begin new work."""

P = ParamSpec("P")
T = TypeVar("T")

_REFUSED = re.compile(r"\b(?P<code>NEWER|OUTDATED) (?P<schema>\d+)")
"""The first words of the errors with which check_schema.lua and check_minimum.lua end a script."""

NONSENSE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    redis.DataError,  # a value that was read serves as the next argument, and is not a text
)
"""The errors of reading a value that this program would not have written."""


@contextlib.contextmanager
def readable(feature_id: str) -> Iterator[None]:
    """Turn the errors of malformed values in a feature into UnreadableFeature.

    Raises:
        UnreadableFeature: A value in the feature is malformed.
    """
    try:
        yield
    except redis.ResponseError as error:
        if refusals.code(error) not in ("", "WRONGTYPE"):  # an error of the server, not of the feature
            raise
        raise errors.UnreadableFeature(feature=feature_id, cause=refusals.describe(error)) from error
    except NONSENSE as error:
        cause = f"{type(error).__name__}: {words.one_line(str(error))}"
        raise errors.UnreadableFeature(feature=feature_id, cause=cause) from error


def reads_feature(method: Callable[Concatenate[Any, str, P], T]) -> Callable[Concatenate[Any, str, P], T]:
    """Decorate a method that reads a feature: malformed values raise UnreadableFeature."""

    @functools.wraps(method)
    def read(self: Any, feature_id: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with readable(feature_id):
            return method(self, feature_id, *args, **kwargs)

    return read


class ScriptRunner:
    """Runs scripts on the state under one prefix.

    Args:
        client, keys, events_kept, url, queues, replicas, pulled: As in `Store`.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        events_kept: int,
        url: str,
        queues: Queues | None,
        replicas: int,
        pulled: Collection[str] = (),
    ) -> None:
        self.client = client
        self.keys = keys
        self.replicas = replicas
        self.events_kept = events_kept
        self.url = url
        self.queues = queues
        self.pulled = json.dumps(dict.fromkeys(sorted(pulled), True)) if pulled else ""

    def scope(self, feature_id: str = "") -> Scope:
        """The scope of a script: a feature, or all of them."""
        common = {
            "events_kept": self.events_kept,
            "queues": self.queues.text if self.queues else "",
            "queue_prefix": self.queues.prefix if self.queues else "",
            "random": secrets.token_hex(6),
            "person": actor.current(),
            "pulled": self.pulled,
        }
        return Scope(self.keys, feature_id, common)

    def run(self, call: Call) -> Any:
        """Run one script that is about no feature."""
        (answer,) = scripts.run(self.client, self.scope(), call)
        return answer

    def run_on(
        self,
        feature_id: str,
        *calls: Call,
        ends: bool = False,
        run: Callable[..., list[Any]] | None = None,
    ) -> list[Any]:
        """Run scripts on one feature as one script, unless a newer version wrote the feature (see check_schema.lua).

        Args:
            feature_id: The feature.
            calls: The scripts.
            ends: They read, or end work that has begun: they run even if this version may begin no new work.
            run: Runs them, for example and waits for replicas; None: only runs them.
        """
        checks = CHECKS[:1] if ends else CHECKS
        scope = self.scope(feature_id)
        try:
            return run(scope, *checks, *calls) if run else scripts.run(self.client, scope, *checks, *calls)
        except redis.ResponseError as error:
            refused = _REFUSED.search(refusals.describe(error))
            if refused is None:
                raise
            met = int(refused["schema"])
        if refused["code"] == "NEWER":
            raise errors.NewerFeature(feature=feature_id, schema=met, known=schema.VERSION)
        raise errors.Outdated(prefix=self.keys.prefix, minimum=met, known=schema.VERSION)

    def run_safely(self, scope: Scope, *calls: Call, after: Pipeline | None = None) -> list[Any]:
        """Run scripts whose writes must survive a failover. Without calls: check that all earlier writes survive one.

        The commands of the pipeline `after` go ahead of them.

        Raises:
            NotReplicated: The scripts have run, but too few replicas have their writes.
        """
        if not self.replicas:
            return scripts.run(self.client, scope, *calls, after=after) if calls else []
        if after:
            after.execute()
        answers, there = scripts.run_replicated(
            self.client, scope, *calls, mark=self.keys.replicated, replicas=self.replicas
        )
        if there < self.replicas:
            raise errors.NotReplicated(url=self.url, there=there, wanted=self.replicas)
        return answers

    def check(self, feature_id: str, exists: object, written: str | bytes | None) -> None:
        """Raise if a feature does not exist, or a newer version wrote it.

        Args:
            feature_id: Its id.
            exists: A field of its meta that every feature has; None if there is no such feature.
            written: The schema that it was written in.
        """
        if exists is None:
            raise errors.NoSuchFeature(feature=feature_id)
        if schema.number(written) > schema.VERSION:
            raise errors.NewerFeature(feature=feature_id, schema=schema.number(written), known=schema.VERSION)


def read_schedule_result(
    feature_id: str, answer: Sequence[Any] | None, finished: BatchProgress | None = None
) -> ScheduleResult:
    """Read what schedule.lua answers.

    Raises:
        NoSuchFeature: There is no such feature.
    """
    if answer is None:
        raise errors.NoSuchFeature(feature=feature_id)
    status, launched, opened, wake = answer if len(answer) > 1 else (*answer, (), (), ())
    return ScheduleResult(
        feature=feature_id,
        status=schema.word(FeatureStatus, status),
        launched=tuple(Launch(task, attempt, who, bool(left)) for task, attempt, who, *left in launched),
        opened=tuple(opened),
        finished=finished,
        wake=tuple(wake),
    )
