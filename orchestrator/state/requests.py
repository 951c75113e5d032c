"""The requests of people, in Redis: decisions on tasks, changes of a feature, growth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors, lifecycle, sanitizer
from orchestrator.model.flows import FeatureEvent, Flow
from orchestrator.state import encoding
from orchestrator.state.keys import FeatureKeys
from orchestrator.state.script_runner import SCHEDULE, ScriptRunner, read_schedule_result
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    from orchestrator.model.commands import ScheduleResult
    from orchestrator.model.lifecycle import Transition
    from orchestrator.model.plan import Route
    from orchestrator.model.task import Task
    from orchestrator.planning.extension import Growth, Shape
    from orchestrator.state.keys import FeatureKeys

GROWTH_TRIES = 20
"""How often a growth is worked out again because the feature went on meanwhile."""


class RequestScripts:
    """Changes features and tasks as people ask for it.

    Args:
        runner: Runs the scripts.
        read_shape: Reads the shape of a feature that is to grow.
        schedule: Launches the tasks of a feature that may start now.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        read_shape: Callable[[str], Shape],
        schedule: Callable[[str], ScheduleResult],
    ) -> None:
        self._runner = runner
        self._read_shape = read_shape
        self._schedule = schedule

    def transition_task(
        self,
        feature_id: str,
        task_id: str,
        flow: Flow,
        transition: Transition,
        note: str = "",
        *,
        resolve: str = "never",
        revoke: bool = False,
        reset_retries: bool = False,
    ) -> ScheduleResult:
        """Change the status of a task at a person's request, and launch the tasks that may start now.

        Args:
            feature_id: The feature.
            task_id: The task.
            flow: The task's flow, for the message of a refusal.
            transition: The transition.
            note: Why, in the person's words.
            resolve: "resolve": the task counts as resolved then; "if-completed"; "never".
            revoke: A running attempt is revoked.
            reset_retries: Count the retries of the task from zero again.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            RefusedTransition: The flow does not allow it from the task's status, or the feature is over.
            AttemptRuns: An attempt runs, and `revoke` is false.
        """
        call = Call(
            "transition_task",
            {
                "task": task_id,
                "steps": transition.written_steps,
                "note": sanitizer.as_text(note),
                "resolve": resolve,
                "revoke": int(revoke),
                "reset_retries": int(reset_retries),
            },
        )
        (code, status, _), answer = self._runner.run_on(feature_id, call, SCHEDULE)
        scheduled = read_schedule_result(feature_id, answer)
        match code:
            case "missing":
                raise errors.NoSuchTask(feature=feature_id, task=task_id)
            case "running":
                raise errors.AttemptRuns(feature=feature_id, task=task_id, status=status)
            case "over":
                raise errors.FeatureOver(feature=feature_id, status=status, event=transition.event)
            case "refused":
                raise lifecycle.refuse(
                    feature_id, task_id, transition.steps[0][0], status, flow.table, flow.name
                )
        return scheduled

    def assign(self, feature_id: str, task_id: str, specialist: str, note: str = "") -> ScheduleResult:
        """Give a task that has not started another specialist, and launch it if its turn has come.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            AttemptRuns: Its message is published, or it runs.
        """
        given = {"task": task_id, "specialist": specialist, "note": sanitizer.as_text(note)}
        call = Call("assign", given)
        (code, *_), answer = self._runner.run_on(feature_id, call, SCHEDULE)
        scheduled = read_schedule_result(feature_id, answer)
        if code == "missing":
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        if code == "running":
            raise errors.AttemptRuns(feature=feature_id, task=task_id, status="launched")
        return scheduled

    def update_feature(
        self, feature_id: str, event: str, changes: Mapping[str, Any] | None = None, note: str = ""
    ) -> ScheduleResult:
        """Change a feature's status or options at a person's request, and launch the tasks that may start now.

        Args:
            feature_id: The feature.
            event: A feature event changes the status by the feature's flow; any other event is only recorded.
            changes: Fields of its meta to set: cap, auto_launch, released, paused, stops.
            note: The person's reason.

        Raises:
            NoSuchFeature: There is none of this id.
            RefusedTransition: The flow does not allow the event from the feature's status.
        """
        update = Call(
            "update_feature",
            {
                "event": event,
                "moves": int(event in list(FeatureEvent)),
                "changes": json.dumps(dict(changes or {})),
                "note": sanitizer.as_text(note),
            },
        )
        (code, status), answer = self._runner.run_on(feature_id, update, SCHEDULE)
        if code == "missing":
            raise errors.NoSuchFeature(feature=feature_id)
        if code == "refused":
            raise lifecycle.refuse(feature_id, "", event, status, *self._flow(feature_id))
        return read_schedule_result(feature_id, answer)

    def _flow(self, feature_id: str) -> tuple[Mapping[str, Mapping[str, str]], str]:
        """The transitions of a feature's flow, and its name."""
        fields = ["flow", "transitions", "table"]
        flow, transitions, table = self._runner.client.hmget(
            self._runner.keys.feature(feature_id).meta, fields
        )
        return encoding.parse_transitions(str(transitions or table or "")), str(flow)

    def grow(
        self,
        feature_id: str,
        decide: Callable[[Shape], Growth],
        route: Callable[[Sequence[Task]], Mapping[str, Route]],
    ) -> ScheduleResult:
        """Add tasks and dependencies to a feature, and launch the tasks that may start now.

        The feature keeps running while the growth is planned. If it has changed in a way that matters, the growth is
        planned again.

        Args:
            feature_id: The feature.
            decide: Plans the growth from the feature's current shape (see `extension.grow`). If it raises, nothing is
                changed, and the exception passes through.
            route: Chooses the specialist of each new task; a task whose route has none waits for one.

        Raises:
            NoSuchFeature: There is none of this id.
            GrowthContested: The feature changed during every try.

        Example:
            store.requests.grow("auth", lambda shape: extension.grow(shape, [Task(id="T9")]), lambda tasks: routes)
        """
        for _ in range(GROWTH_TRIES):
            decided = decide(self._read_shape(feature_id))
            if not decided.added and not decided.changed:
                return self._schedule(feature_id)
            grow = self._grow(feature_id, decided, route(decided.added))
            code, answer = self._runner.run_on(feature_id, grow, SCHEDULE)
            if code == "grown":
                return read_schedule_result(feature_id, answer)
        raise errors.GrowthContested(feature=feature_id, tries=GROWTH_TRIES)

    def _grow(self, feature_id: str, decided: Growth, routes: Mapping[str, Route]) -> Call:
        stored = self._stored(self._runner.keys.feature(feature_id), decided.changed)
        given = {
            "open": decided.shape.open,
            "grown": decided.shape.grown,
            "growth": json.dumps(encoding.describe_growth(decided, routes, stored)),
        }
        return Call("grow", given)

    def _stored(self, keys: FeatureKeys, tasks: Sequence[Task]) -> dict[str, Any]:
        ids = [task.id for task in tasks]
        return dict(zip(ids, self._runner.client.hmget(keys.tasks, ids), strict=True)) if ids else {}
