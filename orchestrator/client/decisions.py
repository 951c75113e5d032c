"""The decisions of people about one feature, each checked by its flow and committed in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.client import checks
from orchestrator.feature_file import reader
from orchestrator.model import commands, errors, identifiers, lifecycle
from orchestrator.model.feature import Feature
from orchestrator.model.flows import Flow, TaskEvent
from orchestrator.model.outcome import Blocked
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import MICRO, dollars
from orchestrator.planning import budgets, extension, routing

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.engine.dispatcher import Dispatcher
    from orchestrator.model.commands import ScheduleResult
    from orchestrator.model.plan import Route
    from orchestrator.model.task import Task
    from orchestrator.state.store import Store


class Decisions:
    """The decisions about one feature. `Handle` describes the arguments and errors of each method."""

    def __init__(
        self, feature_id: str, store: Store, settings: Settings, open_dispatcher: Callable[[], Dispatcher]
    ) -> None:
        self.feature_id = feature_id
        self.store = store
        self.settings = settings
        self.open_dispatcher = open_dispatcher

    def transition(self, task_id: str, *events: TaskEvent, note: str = "", **options: Any) -> None:
        """Move a task, or the gates of the feature, by events of its flow; options as of `Store.transition_task`."""
        flow = self._flow(task_id)
        transition = lifecycle.transition(flow, *events)
        self._follow_up(
            self.store.requests.transition_task(self.feature_id, task_id, flow, transition, note, **options)
        )

    def _flow(self, task_id: str) -> Flow:
        if identifiers.is_gates(task_id):
            return lifecycle.ASKED_OF_GATES
        return self.settings.flow_for(self.store.tasks.find(self.feature_id, task_id).tags)

    def advance(self, task_id: str, to: str | None, note: str) -> None:
        """Move a task forward by hand, to a status of its flow or to the next one."""
        task = self.store.tasks.find(self.feature_id, task_id)
        flow = self.settings.flow_for(task.tags)
        near = self.store.tasks.states_of(self.feature_id, [task_id, *task.depends_on])
        states = {state.id: state for state in near}
        if flow.rules.validate_prerequisites:
            checks.check_prerequisites(self.feature_id, states[task_id], states)
        events = lifecycle.path_forward(flow, states[task_id].status, to)
        self.transition(task_id, *events, note=note, resolve="if-completed")

    def approve(self, task_id: str, note: str) -> None:
        """Approve a task that is in review. A task with gates goes to a worker, which runs them."""
        task = self.store.tasks.find(self.feature_id, task_id)
        flow = self.settings.flow_for(task.tags)
        events = [TaskEvent.REVIEW_APPROVED]
        if flow.has("in-review") and flow.after("in-review") == "testing":
            stages = lifecycle.stages_ahead(flow, "testing")
            if not any(self.settings.task_gates(stage, task.tags) for stage in stages):
                events += lifecycle.path_to_rest(flow, "testing")
        transition = lifecycle.at_once(flow, "in-review", *events)
        self._follow_up(
            self.store.requests.transition_task(
                self.feature_id, task_id, flow, transition, note, resolve="if-completed"
            )
        )

    def assign(self, task_id: str, specialist: str, note: str) -> None:
        """Give a task that has not started to a specialist who has work for it."""
        task = self.store.tasks.find(self.feature_id, task_id)
        route = routing.recommend(
            task.model_copy(update={"specialist": specialist, "call": None}), self.settings
        )
        if not (task.run or task.call) and not checks.has_work(route.specialist, self.settings):
            raise errors.NothingToDo(tasks=task_id, specialist=route.specialist)
        self._follow_up(self.store.requests.assign(self.feature_id, task_id, route.specialist, note))

    def grow(
        self,
        tasks: Sequence[Task] = (),
        dependencies: Mapping[str, Sequence[str]] | None = None,
        note: str = "",
    ) -> None:
        """Add tasks and dependencies, all or none."""

        def decide(shape: extension.Shape) -> extension.Growth:
            grown = extension.grow(shape, tasks, dependencies, note)
            reader.check(grown.feature, self.settings.limits)
            return grown

        def route(added: Sequence[Task]) -> Mapping[str, Route]:
            part = Feature.model_construct(title=self.feature_id, tasks=tuple(added))
            routes = routing.route(part, self.settings)
            checks.check_work(part, routes, self.settings)
            return routes

        self._follow_up(self.store.requests.grow(self.feature_id, decide, route))

    def update_feature(
        self, event: str, changes: Mapping[str, str | int] | None = None, note: str = ""
    ) -> None:
        """Change the feature by an event; changes as of `Store.update_feature`."""
        self._follow_up(self.store.requests.update_feature(self.feature_id, event, changes, note))

    def set_budget(self, amount: float | str, task_id: str) -> float:
        """Change a budget, and let the tasks go on that wait for it."""
        specialist = self.store.tasks.specialist(self.feature_id, task_id) if task_id else ""
        configured = self.settings.allowed(specialist)
        held = self.store.usage.account(self.feature_id, task_id, configured).allowed
        wanted = budgets.read(amount, held.cost if task_id else held.feature, task_id or self.feature_id)
        field, whose = (f"budget {task_id}", task_id) if task_id else ("budget", "the feature")
        note = f"{dollars(wanted)} for {whose}"
        self.update_feature("budget_changed", {field: round(wanted * MICRO)}, note)
        self._let_go_on("task" if task_id else "feature", task_id)
        return wanted

    def _let_go_on(self, budget: str, task_id: str) -> None:
        """Unblock the tasks whose agents have used up this budget."""
        tasks = [task_id] if task_id else self.store.tasks.resting(self.feature_id)
        outcomes = self.store.tasks.outcomes(self.feature_id, tasks)
        met = [
            task
            for task, outcome in outcomes.items()
            if isinstance(outcome, Blocked) and outcome.budget == budget
        ]
        for state in self.store.tasks.states_of(self.feature_id, met):
            if state.status is TaskStatus.BLOCKED:
                self.transition(state.id, TaskEvent.BLOCKER_RESOLVED, reset_retries=True)

    def _follow_up(self, scheduled: ScheduleResult) -> None:
        self.open_dispatcher().send(commands.follow_up(scheduled))
