"""The checker finds what it is there for: each kind of violation is planted in a history that is well."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from chaos import checker
from chaos.checker import check
from chaos.history import EVERYONE, Effect, History, Story, Strike, Wait
from chaos.report import recovery, report
from chaos.strain import Strain
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.flows import SHIPPED_FEATURE_FLOWS, SHIPPED_FLOWS, Flow
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.task import Task, TaskStatus
from orchestrator.planning import planner

ONE, TWO = "w0@chaos", "w1@chaos"
FLOW = Flow("default", SHIPPED_FLOWS["default"])
SPECIALIST = "builder"
NEIGHBOURS = {"attempts_follow_each_other", "processes_end_first", "attempts_are_fenced", "attempts_run_once"}


class Writer:
    """Writes the history of a feature as the store would record it.

    Example:
        writer = Writer(depends={"T1": [], "T2": ["T1"]})
        writer.run("T1", "T2")
        history = writer.history()
    """

    def __init__(self, depends: dict[str, list[str]], cap: int = 2, strategy: str = "batched") -> None:
        tasks = [Task(id=task, depends_on=tuple(on)) for task, on in depends.items()]
        self.feature = Feature(
            id="f1", title="One", strategy=strategy, max_parallel_tasks=cap, tasks=tuple(tasks)
        )
        self.plan = planner.schedule(self.feature, cap)
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.status: dict[str, str] = {}
        self.note("feature_enqueued", target="planning")

    def note(self, name: str, task: str = "", **fields: Any) -> None:
        """Record an event."""
        number = len(self.events) + 1
        fields.setdefault("source", self.status.get(task, "pending" if task and "target" in fields else ""))
        if fields.get("target"):
            self.status[task] = fields["target"]
        else:
            fields["source"] = ""
        self.events.append(Event(id=f"{number}000-0", time=number, event=name, task=task, **fields))

    def launch(self, task: str, attempt: int = 1) -> None:
        """Give it a slot."""
        self.note("task_launched", task, attempt=attempt)

    def start(self, task: str, attempt: int = 1, worker: str = ONE) -> None:
        """A worker begins, and the task leaves its trace."""
        self.note("work_started", task, target="in-progress", attempt=attempt, worker=worker)
        self.leave("began", task, attempt)

    def leave(self, moment: str, task: str, attempt: int = 1) -> None:
        """Write a line into the task's file."""
        now = float(len(self.events))
        line = {"feature": "f1", "task": task, "moment": moment, "time": now, "attempt": attempt, "pid": 7}
        self.effects.append(Effect.model_validate(line))

    def complete(self, task: str, attempt: int = 1, worker: str = ONE) -> None:
        """Commit that it is done."""
        self.leave("done", task, attempt)
        given = {"attempt": attempt, "worker": worker}
        self.note("implementation_complete", task, target="completed", **given)

    def lose(self, task: str, attempt: int = 1, worker: str = ONE) -> None:
        """Take it from a worker that was silent for too long."""
        self.note("worker_lost", task, target="pending", attempt=attempt, worker=worker, cause="worker-lost")

    def hold(self, task: str, attempt: int = 1) -> None:
        """A person puts it on hold."""
        self.note("task_held", task, target="on-hold", attempt=attempt)

    def let_end(self, task: str, attempt: int = 1, worker: str = ONE) -> None:
        """The attempt that a person took away has ended."""
        self.leave("ended", task, attempt)
        self.note("attempt_ended", task, attempt=attempt, worker=worker)

    def run(self, *tasks: str) -> None:
        """Run tasks one after the other."""
        for task in tasks:
            self.launch(task)
            self.start(task)
            if self.status[""] == "planning":
                self.note("first_task_started", target="in-development")
            self.complete(task)

    def end(self) -> None:
        """End the feature."""
        self.note("all_tasks_complete", target="completed")

    def story(self) -> Story:
        """What was written."""
        place = {task: batch.number for batch in self.plan.batches for task in batch.tasks}
        states = tuple(
            TaskState(
                id=task.id,
                title=task.id,
                specialist=SPECIALIST,
                status=TaskStatus(self.status.get(task.id, "pending")),
                batch=place[task.id],
                resolved=self.status.get(task.id) == "completed",
            )
            for task in self.feature.tasks
        )
        counts = dict[str, int]()
        for state in states:
            for name in [state.status, *(["resolved"] if state.resolved else [])]:
                if name != "pending":
                    counts[name] = counts.get(name, 0) + 1
                    counts[f"{state.batch}:{name}"] = counts.get(f"{state.batch}:{name}", 0) + 1
        return Story(
            feature=self.feature,
            strategy=self.plan.strategy,
            cap=self.plan.cap,
            batches=tuple(batch.tasks for batch in self.plan.batches),
            specialists={task.id: SPECIALIST for task in self.feature.tasks},
            flows={task.id: FLOW.statuses for task in self.feature.tasks},
            feature_flow=SHIPPED_FEATURE_FLOWS["default"],
            events=tuple(self.events),
            progress=self._progress(counts),
            states=states,
            counts=counts,
        )

    def _progress(self, counts: dict[str, int]) -> Progress:
        return Progress(
            id="f1",
            title="One",
            status=FeatureStatus(self.status[""]),
            strategy=self.plan.strategy,
            cap=self.plan.cap,
            auto_launch=True,
            total=len(self.feature.tasks),
            counts={TaskStatus(name): count for name, count in counts.items() if name in list(TaskStatus)},
            in_flight=0,
            queued=0,
            delayed=0,
            batch=1,
            batches=len(self.plan.batches),
            batch_total=len(self.plan.batches[0].tasks),
            batch_resolved=counts.get("1:resolved", 0),
            batch_counts={},
            created=0.0,
        )

    def history(self, *strikes: Strike, **changes: Any) -> History:
        """A run of this feature alone."""
        return History(
            seed=1,
            lease=2.0,
            enqueued=("f1",),
            stories=(self.story(),),
            effects=tuple(self.effects),
            strikes=strikes,
        ).model_copy(update=changes)


def well() -> Writer:
    """A feature that came to its end: two tasks, and one behind them."""
    writer = Writer({"T1": [], "T2": [], "T3": ["T1"]})
    writer.run("T1", "T2", "T3")
    writer.end()
    return writer


def laws(history: History) -> set[str]:
    """The laws that a history breaks."""
    return {violation.law for violation in check(history)}


def change(history: History, **changes: Any) -> History:
    """The history with another story."""
    return history.model_copy(update={"stories": (history.stories[0].model_copy(update=changes),)})


KILL = Strike(fault="kill-worker", began=3.5, ended=3.5, workers=(ONE,))


# --- what is well ---------------------------------------------------------------------------------------


def test_a_run_that_is_well_breaks_no_law() -> None:
    assert check(well().history()) == []


def test_a_loss_that_a_fault_explains_breaks_no_law() -> None:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.note("first_task_started", target="in-development")
    writer.lose("T1")
    writer.launch("T1", 2)
    writer.start("T1", 2, TWO)
    writer.complete("T1", 2, TWO)
    writer.end()
    assert check(writer.history(KILL)) == []


def test_limits_that_hold_break_no_law() -> None:
    assert check(well().history(limits={SPECIALIST: 1, EVERYONE: 1, "mason": 1})) == []


def test_what_a_cancelled_feature_had_launched_counts_no_more() -> None:
    cancelled = Writer({"T1": []})
    cancelled.launch("T1")
    cancelled.note("feature_cancelled", target="cancelled")
    earlier = cancelled.story()
    earlier = earlier.model_copy(
        update={
            "feature": earlier.feature.model_copy(update={"id": "f0"}),
            "events": tuple(event.model_copy(update={"time": event.time - 100}) for event in earlier.events),
        }
    )
    stories = (earlier, well().story())
    history = well().history(limits={EVERYONE: 1}).model_copy(update={"stories": stories})
    assert "limits_hold" not in laws(history)


def test_what_a_person_takes_away_and_what_goes_on_when_it_has_ended_breaks_no_law() -> None:
    writer = Writer({"T1": [], "T2": ["T1"], "T3": []}, cap=1, strategy="dataflow")
    writer.launch("T1")
    writer.start("T1")
    writer.note("first_task_started", target="in-development")
    writer.hold("T1")
    writer.note("task_resumed", "T1", target="pending", attempt=1)
    writer.let_end("T1")
    writer.launch("T1", 2)
    writer.start("T1", 2)
    writer.note("task_held", "T1", target="on-hold", attempt=2)
    writer.note("task_skipped", "T1", target="cancelled", attempt=2)
    writer.let_end("T1", 2)
    writer.run("T2", "T3")
    assert not {"cap_holds", "dependencies_come_first", *NEIGHBOURS} & laws(writer.history())


def test_a_feature_that_waits_for_somebody_breaks_no_law() -> None:
    writer = Writer({"T1": [], "T2": ["T1"]})
    writer.launch("T1")
    writer.start("T1")
    writer.note("blocker_detected", "T1", target="blocked", attempt=1, worker=ONE)
    writer.note("task_stopped", target="blocked")
    assert check(writer.history()) == []


def test_dataflow_has_no_barrier() -> None:
    writer = Writer({"T1": [], "T2": [], "T3": ["T1"]}, strategy="dataflow")
    writer.run("T1", "T3", "T2")
    writer.end()
    assert check(writer.history()) == []


def test_what_is_ending_may_live_until_it_has_ended() -> None:
    writer = a_daemon_that_outlives_its_attempt()
    writer.note("attempt_ended", "T1", attempt=1)
    assert "nothing_outlives_its_attempt" not in laws(writer.history())


def test_what_runs_on_while_its_worker_stands_still_breaks_no_law() -> None:
    writer = a_daemon_that_outlives_its_attempt(cause="worker-lost", worker=ONE)
    frozen = Strike(fault="freeze-worker", began=3.5, ended=9.0, workers=(ONE,))
    assert "nothing_outlives_its_attempt" not in laws(writer.history(frozen))


def test_a_cap_that_is_raised_makes_room() -> None:
    writer = Writer({"T1": [], "T2": []}, cap=1)
    writer.launch("T1")
    writer.note("cap_changed", note="2", target="planning")
    writer.launch("T2")
    assert "cap_holds" not in laws(writer.history())


# --- what is not ----------------------------------------------------------------------------------------


def plant_a_task_before_its_dependency() -> History:
    writer = Writer({"T1": [], "T2": ["T1"]}, strategy="dataflow")
    writer.run("T2", "T1")
    writer.end()
    return writer.history()


def plant_a_batch_before_the_one_before_it_closed() -> History:
    writer = Writer({"T1": [], "T2": [], "T3": ["T1"]})
    writer.run("T1", "T3", "T2")
    writer.end()
    return writer.history()


def plant_a_task_over_the_cap() -> History:
    writer = Writer({"T1": [], "T2": [], "T3": []}, cap=2)
    for task in ("T1", "T2", "T3"):
        writer.launch(task)
    return writer.history()


def plant_a_slot_given_away_before_its_attempt_has_ended() -> History:
    """As a move did that freed the slot at once."""
    writer = Writer({"T1": [], "T2": []}, cap=1)
    writer.launch("T1")
    writer.start("T1")
    writer.hold("T1")
    writer.launch("T2")
    return writer.history()


def plant_a_unit_of_a_limit_given_away_before_its_attempt_has_ended() -> History:
    history = plant_a_slot_given_away_before_its_attempt_has_ended()
    return history.model_copy(update={"limits": {SPECIALIST: 1}})


def plant_a_second_attempt_beside_the_first() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.hold("T1")
    writer.note("task_resumed", "T1", target="pending", attempt=1)
    writer.launch("T1", 2)
    return writer.history()


def plant_a_skip_that_does_not_wait() -> History:
    writer = Writer({"T1": [], "T2": ["T1"]}, strategy="dataflow")
    writer.launch("T1")
    writer.start("T1")
    writer.note("task_cancelled", "T1", target="cancelled", attempt=1)
    writer.note("task_skipped", "T1", target="cancelled", attempt=1)
    writer.launch("T2")
    return writer.history()


def plant_a_process_that_outlives_its_slot() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.hold("T1")
    writer.note("attempt_ended", "T1", attempt=1, worker=ONE)
    writer.note("task_resumed", "T1", target="pending", attempt=1)
    writer.leave("ended", "T1")
    return writer.history()


def plant_an_attempt_that_begins_before_the_last_process_has_ended() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.launch("T1", 2)
    writer.start("T1", 2)
    writer.launch("T1", 3)
    writer.leave("ended", "T1")
    return writer.history()


def plant_a_second_completion() -> History:
    writer = well()
    writer.note("implementation_complete", "T1", source="in-progress", target="completed", attempt=1)
    return writer.history()


def plant_an_end_by_a_worker_that_lost_it() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.note("first_task_started", target="in-development")
    writer.lose("T1")
    writer.status["T1"] = "in-progress"
    writer.complete("T1")
    writer.end()
    return writer.history(KILL)


def plant_an_end_by_another_worker() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1", worker=ONE)
    writer.note("first_task_started", target="in-development")
    writer.complete("T1", worker=TWO)
    writer.end()
    return writer.history()


def plant_a_second_start() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.note("work_started", "T1", source="pending", target="in-progress", attempt=1, worker=TWO)
    writer.complete("T1")
    writer.end()
    return writer.history()


def plant_a_step_that_the_flow_does_not_have() -> History:
    writer = well()
    writer.note("work_started", "T1", target="in-progress", attempt=1)
    return writer.history()


def plant_a_step_from_where_it_did_not_stand() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.note("implementation_complete", "T1", source="in-progress", target="completed", attempt=1)
    return writer.history()


def plant_a_step_of_the_feature() -> History:
    writer = well()
    writer.note("feature_resumed", target="in-development")
    return writer.history()


def plant_a_feature_that_stands_still() -> History:
    writer = Writer({"T1": [], "T2": ["T1"]})
    writer.run("T1")
    return writer.history()


def plant_a_feature_that_waits_for_nobody() -> History:
    writer = Writer({"T1": []})
    writer.note("person_awaited", target="on-hold", cause="decision")
    return writer.history()


def plant_a_success_with_a_task_undone() -> History:
    writer = Writer({"T1": [], "T2": []})
    writer.run("T1")
    writer.end()
    return writer.history()


def plant_a_repetition_that_nobody_asked_for() -> History:
    writer = Writer({"T1": []})
    (task,) = writer.feature.tasks
    writer.feature = writer.feature.model_copy(
        update={"tasks": (task.model_copy(update={"idempotent": False}),)}
    )
    writer.launch("T1")
    writer.start("T1")
    writer.lose("T1")
    writer.launch("T1", 2)
    return writer.history(KILL)


def test_what_a_person_took_away_and_resumed_may_run_again() -> None:
    # Given a task that is not to run twice, held and resumed while it ran, whose worker was lost before it had ended
    writer = Writer({"T1": []})
    (task,) = writer.feature.tasks
    writer.feature = writer.feature.model_copy(
        update={"tasks": (task.model_copy(update={"idempotent": False}),)}
    )
    writer.launch("T1")
    writer.start("T1")
    writer.hold("T1")
    writer.note("task_resumed", "T1", target="pending", attempt=1)
    writer.note("attempt_ended", "T1", attempt=1, worker=ONE, cause="worker-lost")
    writer.launch("T1", 2)
    assert "people_are_asked_first" not in laws(writer.history(KILL))


def plant_a_slot_that_nobody_frees() -> History:
    return change(well().history(), slots=("T2",))


def plant_a_state_that_no_event_led_to() -> History:
    history = well().history()
    first, *others = history.stories[0].states
    return change(history, states=(first.model_copy(update={"status": TaskStatus.FAILED}), *others))


def plant_a_wrong_counter() -> History:
    history = well().history()
    return change(history, counts={**history.stories[0].counts, "completed": 2})


def plant_a_counter_of_a_batch_that_was_forgotten() -> History:
    history = well().history()
    counts = {name: count for name, count in history.stories[0].counts.items() if name != "2:completed"}
    return change(history, counts=counts)


def plant_a_feature_that_is_gone() -> History:
    return well().history(stories=(), effects=())


def plant_a_completion_without_work() -> History:
    writer = well()
    writer.effects = [each for each in writer.effects if (each.task, each.moment) != ("T2", "done")]
    return writer.history()


def plant_an_attempt_carried_out_twice() -> History:
    writer = well()
    writer.leave("began", "T2")
    return writer.history()


def plant_an_attempt_that_nobody_started() -> History:
    writer = well()
    writer.leave("began", "T2", attempt=2)
    return writer.history()


def plant_a_loss_without_a_fault() -> History:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.lose("T1")
    return writer.history()


def plant_a_loss_by_a_worker_that_no_fault_touched() -> History:
    return plant_a_loss_without_a_fault().model_copy(
        update={"strikes": (KILL.model_copy(update={"workers": (TWO,)}),)}
    )


def plant_a_task_over_the_limit_of_its_specialist() -> History:
    writer = Writer({"T1": [], "T2": []})
    writer.launch("T1")
    writer.launch("T2")
    return writer.history(limits={SPECIALIST: 1})


def plant_a_task_over_the_limit_of_all() -> History:
    writer = Writer({"T1": [], "T2": []})
    writer.launch("T1")
    writer.launch("T2")
    return writer.history(limits={EVERYONE: 1})


def a_daemon_that_outlives_its_attempt(**changes: Any) -> Writer:
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.note("first_task_started", target="in-development")
    writer.note("task_cancelled", "T1", target="cancelled", attempt=1, **changes)
    writer.note("task_skipped", "T1", target="cancelled", attempt=1)
    lives = {"feature": "f1", "task": "T1", "moment": "lives", "time": 5.5, "attempt": 1, "pid": 8}
    writer.effects.append(Effect.model_validate(lives))
    return writer


def plant_a_daemon_of_an_ended_attempt() -> History:
    return a_daemon_that_outlives_its_attempt().history()


def plant_a_daemon_of_a_killed_worker() -> History:
    lost = {"cause": "worker-lost", "worker": ONE}
    return a_daemon_that_outlives_its_attempt(**lost).history(KILL)


def plant_a_key_that_is_left() -> History:
    return well().history(leftover=("to:{f1}:slots",))


PLANTED: list[tuple[Callable[[], History], str]] = [
    (plant_a_task_before_its_dependency, "dependencies_come_first"),
    (plant_a_batch_before_the_one_before_it_closed, "batches_wait"),
    (plant_a_task_over_the_cap, "cap_holds"),
    (plant_a_slot_given_away_before_its_attempt_has_ended, "cap_holds"),
    (plant_a_unit_of_a_limit_given_away_before_its_attempt_has_ended, "limits_hold"),
    (plant_a_second_attempt_beside_the_first, "attempts_follow_each_other"),
    (plant_a_skip_that_does_not_wait, "dependencies_come_first"),
    (plant_a_process_that_outlives_its_slot, "processes_end_first"),
    (plant_an_attempt_that_begins_before_the_last_process_has_ended, "processes_end_first"),
    (plant_a_second_completion, "completed_once"),
    (plant_an_end_by_a_worker_that_lost_it, "attempts_are_fenced"),
    (plant_an_end_by_another_worker, "attempts_are_fenced"),
    (plant_a_second_start, "attempts_are_fenced"),
    (plant_a_step_that_the_flow_does_not_have, "transitions_are_legal"),
    (plant_a_step_from_where_it_did_not_stand, "transitions_are_legal"),
    (plant_a_step_of_the_feature, "transitions_are_legal"),
    (plant_a_feature_that_stands_still, "ends_or_waits"),
    (plant_a_feature_that_waits_for_nobody, "ends_or_waits"),
    (plant_a_success_with_a_task_undone, "ends_or_waits"),
    (plant_a_repetition_that_nobody_asked_for, "people_are_asked_first"),
    (plant_a_slot_that_nobody_frees, "no_slot_leaks"),
    (plant_a_state_that_no_event_led_to, "states_follow_events"),
    (plant_a_wrong_counter, "counters_equal_states"),
    (plant_a_counter_of_a_batch_that_was_forgotten, "counters_equal_states"),
    (plant_a_feature_that_is_gone, "nothing_is_lost"),
    (plant_a_completion_without_work, "work_was_done"),
    (plant_an_attempt_carried_out_twice, "attempts_run_once"),
    (plant_an_attempt_that_nobody_started, "attempts_run_once"),
    (plant_a_daemon_of_an_ended_attempt, "nothing_outlives_its_attempt"),
    (plant_a_daemon_of_a_killed_worker, "nothing_outlives_its_attempt"),
    (plant_a_loss_without_a_fault, "losses_are_explained"),
    (plant_a_loss_by_a_worker_that_no_fault_touched, "losses_are_explained"),
    (plant_a_task_over_the_limit_of_its_specialist, "limits_hold"),
    (plant_a_task_over_the_limit_of_all, "limits_hold"),
    (plant_a_key_that_is_left, "nothing_is_left_behind"),
]


@pytest.mark.parametrize(("plant", "law"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_violation_is_found(plant: Callable[[], History], law: str) -> None:
    assert law in laws(plant())


def test_every_law_has_a_violation_that_is_planted() -> None:
    every = {law.__name__ for law in (*checker.STORY_LAWS, *checker.HISTORY_LAWS)}
    assert {law for _, law in PLANTED} == every


# --- what faults explain --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strike", "explains"),
    [
        (KILL, True),
        (KILL.model_copy(update={"workers": (EVERYONE,)}), True),
        (KILL.model_copy(update={"began": 100.0, "ended": 100.0}), False),
        (KILL.model_copy(update={"workers": (), "feature": "f1"}), True),
        (KILL.model_copy(update={"feature": "f2"}), False),
    ],
    ids=["its worker", "everyone", "after the loss", "the feature itself", "another feature"],
)
def test_what_explains_a_loss(strike: Strike, explains: bool) -> None:
    history = plant_a_loss_without_a_fault().model_copy(update={"strikes": (strike,)})
    assert ("losses_are_explained" not in laws(history)) is explains


@pytest.mark.parametrize(
    ("wait", "explains"),
    [
        ({}, True),
        ({"worker": TWO}, False),
        ({"seconds": 0.4}, False),
        ({"began": 90.0, "ended": 91.0}, False),
    ],
    ids=["half of the lease", "another worker", "less", "after the loss"],
)
def test_a_machine_with_too_much_to_do_is_told_from_a_fault(wait: dict[str, Any], explains: bool) -> None:
    # Given a worker that lost an attempt at 4 s, and had waited for a processor for half of the lease of 1 s
    waits = (Wait.model_validate({"worker": ONE, "began": 2.5, "ended": 3.5, "seconds": 0.5, **wait}),)
    history = plant_a_loss_without_a_fault().model_copy(update={"lease": 1.0, "waits": waits})

    # Then that is no law broken, and is counted
    assert ("losses_are_explained" not in laws(history)) is explains
    assert report(history, ()).by_strain == explains


def test_what_a_process_waits_for_is_seen() -> None:
    strain = Strain()
    processes = {"w1": os.getpid()}
    strain.look(10.0, processes)
    strain._before["w1"] -= 1.0  # as if it had waited since
    strain.look(10.1, processes)
    assert strain.waits == []  # too soon
    strain.look(11.0, processes)
    (wait,) = strain.waits
    assert (wait.worker, wait.began, wait.ended) == ("w1", 10.0, 11.0)
    assert wait.seconds >= 1.0


# --- the report -----------------------------------------------------------------------------------------


def test_the_recovery_is_measured_from_the_kill_to_the_next_start() -> None:
    # Given a task that started at 3 s on a worker killed at 3.5 s, whose loss was noticed at 4 s, with a start at 6 s
    writer = Writer({"T1": []})
    writer.launch("T1")
    writer.start("T1")
    writer.lose("T1")
    writer.launch("T1", 2)
    writer.start("T1", 2, TWO)

    # Then it was held, and started again after 2.5 s
    measured = recovery(writer.history(KILL))
    assert (measured.held, measured.restarted) == (1, 1)
    assert (measured.noticed, measured.typical, measured.worst) == (0.5, 2.5, 2.5)


def test_what_has_no_kill_behind_it_is_not_measured() -> None:
    assert recovery(plant_a_loss_without_a_fault()).held == 0


def test_repeated_and_lost_are_counted() -> None:
    history = plant_a_loss_without_a_fault()
    found = report(history, check(history))
    assert (found.repeated, found.stopped_as_lost, found.executions) == (1, 1, 1)
    assert found.lost > 0  # it never came to an end
    assert report(well().history(), []).lost == 0


def test_the_gates_of_a_feature_have_a_flow_of_their_own() -> None:
    writer = Writer({"T1": []})
    writer.run("T1")
    writer.note("all_tasks_complete", target="testing")
    writer.launch("@testing")
    writer.note("work_started", "@testing", target="in-progress", attempt=1, worker=ONE)
    writer.note("implementation_complete", "@testing", target="completed", attempt=1, worker=ONE)
    writer.note("feature_tests_passed", target="completed")
    assert check(change(writer.history(), gated=("testing",))) == []
