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

    def note(self, name: str, task: str = "", **fields: Any) -> Writer:
        """Record an event."""
        number = len(self.events) + 1
        fields.setdefault("source", self.status.get(task, "pending" if task and "target" in fields else ""))
        if fields.get("target"):
            self.status[task] = fields["target"]
        else:
            fields["source"] = ""
        self.events.append(Event(id=f"{number}000-0", time=number, event=name, task=task, **fields))
        return self

    def launch(self, task: str, attempt: int = 1) -> Writer:
        """Give it a slot."""
        return self.note("task_launched", task, attempt=attempt)

    def start(self, task: str, attempt: int = 1, worker: str = ONE) -> Writer:
        """A worker begins, and the task leaves its trace."""
        self.note("work_started", task, target="in-progress", attempt=attempt, worker=worker)
        return self.leave("began", task, attempt)

    def begin(self, task: str, attempt: int = 1, worker: str = ONE) -> Writer:
        """Give it a slot, and a worker begins."""
        return self.launch(task, attempt).start(task, attempt, worker)

    def leave(self, moment: str, task: str, attempt: int = 1, **fields: Any) -> Writer:
        """Write a line into the task's file."""
        line = {"feature": "f1", "task": task, "moment": moment, "attempt": attempt, "pid": 7}
        self.effects.append(Effect.model_validate({**line, "time": float(len(self.events)), **fields}))
        return self

    def develop(self) -> Writer:
        """The feature follows its first task."""
        return self.note("first_task_started", target="in-development")

    def complete(self, task: str, attempt: int = 1, worker: str = ONE) -> Writer:
        """Commit that it is done."""
        self.leave("done", task, attempt)
        given = {"attempt": attempt, "worker": worker}
        return self.note("implementation_complete", task, target="completed", **given)

    def lose(self, task: str, attempt: int = 1, worker: str = ONE) -> Writer:
        """Take it from a worker that was silent for too long."""
        given = {"attempt": attempt, "worker": worker, "cause": "worker-lost"}
        return self.note("worker_lost", task, target="pending", **given)

    def hold(self, task: str, attempt: int = 1) -> Writer:
        """A person puts it on hold."""
        return self.note("task_held", task, target="on-hold", attempt=attempt)

    def resume(self, task: str, attempt: int = 1) -> Writer:
        """A person lets it run again."""
        return self.note("task_resumed", task, target="pending", attempt=attempt)

    def skip(self, task: str, attempt: int = 1) -> Writer:
        """A person skips it."""
        return self.note("task_skipped", task, target="cancelled", attempt=attempt)

    def cancel(self, task: str, **fields: Any) -> Writer:
        """A person cancels it."""
        return self.note("task_cancelled", task, target="cancelled", attempt=1, **fields)

    def let_end(self, task: str, attempt: int = 1, worker: str = ONE) -> Writer:
        """The attempt that a person took away has ended."""
        self.leave("ended", task, attempt)
        return self.note("attempt_ended", task, attempt=attempt, worker=worker)

    def run(self, *tasks: str) -> Writer:
        """Run tasks one after the other."""
        for task in tasks:
            self.begin(task)
            if self.status[""] == "planning":
                self.develop()
            self.complete(task)
        return self

    def end(self) -> Writer:
        """End the feature."""
        return self.note("all_tasks_complete", target="completed")

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


def one_task() -> Writer:
    """A feature of a single task."""
    return Writer({"T1": []})


def two_tasks(**given: Any) -> Writer:
    """A feature of two tasks that depend on nothing."""
    return Writer({"T1": [], "T2": []}, **given)


def well() -> Writer:
    """A feature that came to its end: two tasks, and one behind them."""
    return Writer({"T1": [], "T2": [], "T3": ["T1"]}).run("T1", "T2", "T3").end()


def laws(history: History) -> set[str]:
    """The laws that a history breaks."""
    return {violation.law for violation in check(history)}


def change(history: History, **changes: Any) -> History:
    """The history with another story."""
    return history.model_copy(update={"stories": (history.stories[0].model_copy(update=changes),)})


KILL = Strike(fault="kill-worker", began=3.5, ended=3.5, workers=(ONE,))
LOST = {"cause": "worker-lost", "worker": ONE}


def daemon(**fields: Any) -> Writer:
    """A process that outlives its attempt."""
    outlived = one_task().begin("T1").develop().cancel("T1", **fields).skip("T1")
    return outlived.leave("lives", "T1", time=5.5, pid=8)


def once() -> Writer:
    """A task that is not to run twice."""
    writer = one_task()
    (task,) = writer.feature.tasks
    task = task.model_copy(update={"idempotent": False})
    writer.feature = writer.feature.model_copy(update={"tasks": (task,)})
    return writer


def blocked() -> Writer:
    writer = Writer({"T1": [], "T2": ["T1"]}).begin("T1")
    writer.note("blocker_detected", "T1", target="blocked", attempt=1, worker=ONE)
    return writer.note("task_stopped", target="blocked")


def gated() -> History:
    """A feature whose gates ran, in a flow of their own."""
    writer = one_task().run("T1").note("all_tasks_complete", target="testing").launch("@testing")
    writer.note("work_started", "@testing", target="in-progress", attempt=1, worker=ONE)
    writer.note("implementation_complete", "@testing", target="completed", attempt=1, worker=ONE)
    return change(writer.note("feature_tests_passed", target="completed").history(), gated=("testing",))


# --- what is well ---------------------------------------------------------------------------------------

IN_ORDER: dict[str, Callable[[], History]] = {
    "a run that is well": lambda: well().history(),
    "a loss that a fault explains": lambda: (
        one_task()
        .begin("T1")
        .develop()
        .lose("T1")
        .begin("T1", 2, TWO)
        .complete("T1", 2, TWO)
        .end()
        .history(KILL)
    ),
    "limits that hold": lambda: well().history(limits={SPECIALIST: 1, EVERYONE: 1, "mason": 1}),
    "a feature that waits for somebody": lambda: blocked().history(),
    "no barrier in dataflow": lambda: (
        Writer({"T1": [], "T2": [], "T3": ["T1"]}, strategy="dataflow").run("T1", "T3", "T2").end().history()
    ),
    "the gates of a feature": gated,
}


@pytest.mark.parametrize("history", IN_ORDER.values(), ids=IN_ORDER)
def test_what_is_well_breaks_no_law(history: Callable[[], History]) -> None:
    assert check(history()) == []


def cancelled_before() -> History:
    """A limit of one, which a cancelled feature had launched a task under."""
    cancelled = one_task().launch("T1").note("feature_cancelled", target="cancelled").story()
    events = tuple(event.model_copy(update={"time": event.time - 100}) for event in cancelled.events)
    feature = cancelled.feature.model_copy(update={"id": "f0"})
    earlier = cancelled.model_copy(update={"feature": feature, "events": events})
    return well().history(limits={EVERYONE: 1}, stories=(earlier, well().story()))


def taken_away() -> History:
    """Attempts that a person took away; what waits for their slot goes on when they have ended."""
    writer = Writer({"T1": [], "T2": ["T1"], "T3": []}, cap=1, strategy="dataflow")
    writer.begin("T1").develop().hold("T1").resume("T1").let_end("T1")
    return writer.begin("T1", 2).hold("T1", 2).skip("T1", 2).let_end("T1", 2).run("T2", "T3").history()


FROZEN = Strike(fault="freeze-worker", began=3.5, ended=9.0, workers=(ONE,))
KEPT: dict[str, tuple[set[str], Callable[[], History]]] = {
    "what a cancelled feature had launched counts no more": ({"limits_hold"}, cancelled_before),
    "what a person takes away": ({"cap_holds", "dependencies_come_first", *NEIGHBOURS}, taken_away),
    "what is ending may live until it has ended": (
        {"nothing_outlives_its_attempt"},
        lambda: daemon().note("attempt_ended", "T1", attempt=1).history(),
    ),
    "what runs on while its worker stands still": (
        {"nothing_outlives_its_attempt"},
        lambda: daemon(**LOST).history(FROZEN),
    ),
    "a cap that is raised makes room": (
        {"cap_holds"},
        lambda: (
            two_tasks(cap=1)
            .launch("T1")
            .note("cap_changed", note="2", target="planning")
            .launch("T2")
            .history()
        ),
    ),
    "what a person took away and resumed may run again, though its worker was lost": (
        {"people_are_asked_first"},
        lambda: (
            once()
            .begin("T1")
            .hold("T1")
            .resume("T1")
            .note("attempt_ended", "T1", attempt=1, **LOST)
            .launch("T1", 2)
            .history(KILL)
        ),
    ),
}


@pytest.mark.parametrize(("kept", "history"), KEPT.values(), ids=KEPT)
def test_a_law_is_kept(kept: set[str], history: Callable[[], History]) -> None:
    assert not kept & laws(history())


# --- what is not ----------------------------------------------------------------------------------------


def given_away(**changes: Any) -> History:
    """A slot given away before its attempt has ended, as a move did that freed the slot at once."""
    return two_tasks(cap=1).begin("T1").hold("T1").launch("T2").history(**changes)


def lost_and_completed() -> History:
    writer = one_task().begin("T1").develop().lose("T1")
    writer.status["T1"] = "in-progress"
    return writer.complete("T1").end().history(KILL)


def started_twice() -> History:
    writer = one_task().begin("T1")
    again = {"source": "pending", "target": "in-progress", "attempt": 1, "worker": TWO}
    return writer.note("work_started", "T1", **again).complete("T1").end().history()


def failed_without_an_event() -> History:
    history = well().history()
    first, *others = history.stories[0].states
    return change(history, states=(first.model_copy(update={"status": TaskStatus.FAILED}), *others))


def counted(**changes: int) -> History:
    """A history whose counters are changed; by 0: left out."""
    history = well().history()
    counts = {**history.stories[0].counts, **changes}
    return change(history, counts={name: count for name, count in counts.items() if count})


def without_work() -> History:
    writer = well()
    writer.effects = [each for each in writer.effects if (each.task, each.moment) != ("T2", "done")]
    return writer.history()


def lost(*strikes: Strike, **changes: Any) -> History:
    return one_task().begin("T1").lose("T1").history(*strikes, **changes)


COMPLETE: dict[str, Any] = {"source": "in-progress", "target": "completed", "attempt": 1}
PLANTED: list[tuple[str, str, Callable[[], History]]] = [
    (
        "dependencies_come_first",
        "a task before its dependency",
        lambda: Writer({"T1": [], "T2": ["T1"]}, strategy="dataflow").run("T2", "T1").end().history(),
    ),
    (
        "batches_wait",
        "a batch before the one before it closed",
        lambda: Writer({"T1": [], "T2": [], "T3": ["T1"]}).run("T1", "T3", "T2").end().history(),
    ),
    (
        "cap_holds",
        "a task over the cap",
        lambda: Writer({"T1": [], "T2": [], "T3": []}).launch("T1").launch("T2").launch("T3").history(),
    ),
    ("cap_holds", "a slot given away before its attempt has ended", given_away),
    (
        "limits_hold",
        "a unit of a limit given away before its attempt has ended",
        lambda: given_away(limits={SPECIALIST: 1}),
    ),
    (
        "attempts_follow_each_other",
        "a second attempt beside the first",
        lambda: one_task().begin("T1").hold("T1").resume("T1").launch("T1", 2).history(),
    ),
    (
        "dependencies_come_first",
        "a skip that does not wait",
        lambda: (
            Writer({"T1": [], "T2": ["T1"]}, strategy="dataflow")
            .begin("T1")
            .cancel("T1")
            .skip("T1")
            .launch("T2")
            .history()
        ),
    ),
    (
        "processes_end_first",
        "a process that outlives its slot",
        lambda: (
            one_task()
            .begin("T1")
            .hold("T1")
            .note("attempt_ended", "T1", attempt=1, worker=ONE)
            .resume("T1")
            .leave("ended", "T1")
            .history()
        ),
    ),
    (
        "processes_end_first",
        "an attempt that begins before the last process has ended",
        lambda: one_task().begin("T1").begin("T1", 2).launch("T1", 3).leave("ended", "T1").history(),
    ),
    (
        "completed_once",
        "a second completion",
        lambda: well().note("implementation_complete", "T1", **COMPLETE).history(),
    ),
    ("attempts_are_fenced", "an end by a worker that lost it", lost_and_completed),
    (
        "attempts_are_fenced",
        "an end by another worker",
        lambda: one_task().begin("T1").develop().complete("T1", worker=TWO).end().history(),
    ),
    ("attempts_are_fenced", "a second start", started_twice),
    (
        "transitions_are_legal",
        "a step that the flow does not have",
        lambda: well().note("work_started", "T1", target="in-progress", attempt=1).history(),
    ),
    (
        "transitions_are_legal",
        "a step from where it did not stand",
        lambda: one_task().launch("T1").note("implementation_complete", "T1", **COMPLETE).history(),
    ),
    (
        "transitions_are_legal",
        "a step of the feature",
        lambda: well().note("feature_resumed", target="in-development").history(),
    ),
    (
        "ends_or_waits",
        "a feature that stands still",
        lambda: Writer({"T1": [], "T2": ["T1"]}).run("T1").history(),
    ),
    (
        "ends_or_waits",
        "a feature that waits for nobody",
        lambda: one_task().note("person_awaited", target="on-hold", cause="decision").history(),
    ),
    ("ends_or_waits", "a success with a task undone", lambda: two_tasks().run("T1").end().history()),
    (
        "people_are_asked_first",
        "a repetition that nobody asked for",
        lambda: once().begin("T1").lose("T1").launch("T1", 2).history(KILL),
    ),
    ("no_slot_leaks", "a slot that nobody frees", lambda: change(well().history(), slots=("T2",))),
    ("states_follow_events", "a state that no event led to", failed_without_an_event),
    ("counters_equal_states", "a wrong counter", lambda: counted(completed=2)),
    (
        "counters_equal_states",
        "a counter of a batch that was forgotten",
        lambda: counted(**{"2:completed": 0}),
    ),
    ("nothing_is_lost", "a feature that is gone", lambda: well().history(stories=(), effects=())),
    ("work_was_done", "a completion without work", without_work),
    (
        "attempts_run_once",
        "an attempt carried out twice",
        lambda: well().leave("began", "T2").history(),
    ),
    (
        "attempts_run_once",
        "an attempt that nobody started",
        lambda: well().leave("began", "T2", attempt=2).history(),
    ),
    ("nothing_outlives_its_attempt", "a daemon of an ended attempt", lambda: daemon().history()),
    ("nothing_outlives_its_attempt", "a daemon of a killed worker", lambda: daemon(**LOST).history(KILL)),
    ("losses_are_explained", "a loss without a fault", lost),
    (
        "losses_are_explained",
        "a loss by a worker that no fault touched",
        lambda: lost(KILL.model_copy(update={"workers": (TWO,)})),
    ),
    (
        "limits_hold",
        "a task over the limit of its specialist",
        lambda: two_tasks().launch("T1").launch("T2").history(limits={SPECIALIST: 1}),
    ),
    (
        "limits_hold",
        "a task over the limit of all",
        lambda: two_tasks().launch("T1").launch("T2").history(limits={EVERYONE: 1}),
    ),
    (
        "nothing_is_left_behind",
        "a key that is left",
        lambda: well().history(leftover=("to:{f1}:slots",)),
    ),
]


@pytest.mark.parametrize(
    ("law", "plant"), [(law, plant) for law, _, plant in PLANTED], ids=[n for _, n, _ in PLANTED]
)
def test_a_violation_is_found(law: str, plant: Callable[[], History]) -> None:
    assert law in laws(plant())


def test_every_law_has_a_violation_that_is_planted() -> None:
    every = {law.__name__ for law in (*checker.STORY_LAWS, *checker.HISTORY_LAWS)}
    assert {law for law, _, _ in PLANTED} == every


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
    assert ("losses_are_explained" not in laws(lost(strike))) is explains


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
    history = lost(lease=1.0, waits=waits)

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
    writer = one_task().begin("T1").lose("T1").begin("T1", 2, TWO)

    # Then it was held, and started again after 2.5 s
    measured = recovery(writer.history(KILL))
    assert (measured.held, measured.restarted) == (1, 1)
    assert (measured.noticed, measured.typical, measured.worst) == (0.5, 2.5, 2.5)


def test_what_has_no_kill_behind_it_is_not_measured() -> None:
    assert recovery(lost()).held == 0


def test_repeated_and_lost_are_counted() -> None:
    history = lost()
    found = report(history, check(history))
    assert (found.repeated, found.stopped_as_lost, found.executions) == (1, 1, 1)
    assert found.lost > 0  # it never came to an end
    assert report(well().history(), []).lost == 0
