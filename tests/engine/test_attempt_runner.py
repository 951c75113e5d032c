"""An attempt in a worker: begin, work, conclude, follow up; its time limit; what it sees of others."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.engine import attempt_runner, shutdown
from orchestrator.engine.attempt_runner import AttemptRunner, perform
from orchestrator.engine.canvas_task import CanvasAttempt
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.visibility import TaskFailed, TaskStopped
from orchestrator.model import identifiers
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.flows import FeatureEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Blocked, Completed, Failed, FailureCause, Outcome
from orchestrator.model.task import TaskStatus
from orchestrator.planning import planner, routing
from orchestrator.specialists import Context
from orchestrator.specialists.python import alarm
from orchestrator.state import connections
from orchestrator.state.store import Store
from tests.engine.brokers import NOWHERE, app_with, messages
from tests.model import factories
from tests.model.factories import task
from tests.specialists.contexts import a_context

WHO = "implementation-specialist"


@pytest.fixture
def store(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.chdir(tmp_path)
    return store


def runner_on(broker: str = "memory://") -> AttemptRunner:
    app = app_with(broker)
    return AttemptRunner(app)


def launch(runner: AttemptRunner, feature: Feature | None = None) -> None:
    feature = feature or factories.feature(task("T1"), task("T2", "T1"))
    runner.store.enqueue("auth", planner.plan(feature), routing.route(feature, runner.settings))
    runner.store.schedule("auth")


@pytest.fixture
def runner(store: Store) -> AttemptRunner:
    """Runs the attempts of the feature auth, of which T1 is launched."""
    runner = runner_on()
    launch(runner)
    return runner


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Context], Outcome]], None]:
    """Do the work by a function of the test's."""

    def by(function: Callable[[Context], Outcome]) -> None:
        monkeypatch.setattr(attempt_runner, "perform", lambda context, settings: function(context))

    return by


def test_an_attempt_ends_with_what_follows_on_its_way(runner: AttemptRunner, store: Store, work: Any) -> None:
    work(lambda context: Completed(summary=context.task.id))

    assert runner.run(WHO, "auth", "T1", 1, "w1") == "T1: completed"

    assert store.tasks.state("auth", "T1").status is TaskStatus.COMPLETED
    assert store.features.summary("auth").status is FeatureStatus.IN_DEVELOPMENT
    assert [message.body[0] for message in messages()] == [["auth", "T2", 1]]
    assert store.features.durations("Login", {"T1": WHO})["T1"].times == 1


@pytest.mark.parametrize(
    ("outcome", "told"),
    [(Failed(reason="2 of 9 fail"), TaskFailed), (Blocked(reason="no key"), TaskStopped)],
)
def test_celery_is_told_what_did_not_complete(
    runner: AttemptRunner, store: Store, work: Any, outcome: Failed | Blocked, told: type[Exception]
) -> None:
    work(lambda context: outcome)

    with pytest.raises(told, match=f"T1: {outcome.status}: {outcome.reason}"):
        runner.run(WHO, "auth", "T1", 1, "w1")

    assert store.tasks.state("auth", "T1").status == outcome.status
    assert store.features.summary("auth").status is FeatureStatus.BLOCKED
    assert messages() == []


def test_what_may_not_start_does_no_work(runner: AttemptRunner, store: Store, work: Any) -> None:
    done: list[str] = []

    def note_it(context: Context) -> Outcome:
        done.append(context.task.id)
        return Completed()

    work(note_it)

    runner.run(WHO, "auth", "T1", 1, "w1")
    for name, attempt in (("T1", 1), ("T1", 2), ("T9", 1)):
        with pytest.raises((Ignore, TaskStopped), match="not started: "):
            runner.run(WHO, "auth", name, attempt, "w2")

    assert done == ["T1"]


def test_a_feature_that_is_not_stored_is_counted_as_refused(runner: AttemptRunner, store: Store) -> None:
    for feature, task_id in (("nowhere", "T1"), ("auth", "T9")):
        with pytest.raises(TaskStopped, match="not started: it is not stored here"):
            runner.run(WHO, feature, task_id, 1, "w1")

    assert store.client.hgetall(store.keys.refused) == {"unknown-feature": "2"}


def test_a_message_for_another_specialist_is_counted_as_refused(
    runner: AttemptRunner, store: Store, work: Any
) -> None:
    work(lambda context: Completed())

    with pytest.raises(TaskStopped, match="not started: another specialist is to do it"):
        runner.run("reviewer", "auth", "T1", 1, "w1")

    assert store.client.hgetall(store.keys.refused) == {"misplaced": "1"}
    assert runner.run(WHO, "auth", "T1", 1, "w1") == "T1: completed"


def test_a_broker_that_is_gone_loses_nothing(
    store: Store, work: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a broker that does not answer any more
    runner = runner_on(NOWHERE)
    launch(runner)
    work(lambda context: Completed())

    # When an attempt ends
    assert runner.run(WHO, "auth", "T1", 1, "w1") == "T1: completed"

    # Then it is committed, the log tells of the broker, and the sweep knows what to publish
    assert store.tasks.state("auth", "T1").status is TaskStatus.COMPLETED
    assert any("Cannot reach the broker" in message for message in caplog.messages)
    _, unpublished = store.recovery.recover("auth", losses=1, patience=-1)
    assert [launch.task for launch in unpublished] == ["T2"]


def test_an_attempt_that_lost_its_lease_changes_nothing(
    runner: AttemptRunner, store: Store, work: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def lose(context: Context) -> Outcome:
        store.client.zadd(store.keys.feature("auth").slots, {"T1": 1})
        store.recovery.recover("auth", losses=1, patience=60)
        assert context.is_cancelled()
        return Completed()

    work(lose)
    caplog.set_level(logging.WARNING, "orchestrator")
    runner.run(WHO, "auth", "T1", 1, "w1")

    assert store.tasks.state("auth", "T1").status is TaskStatus.PENDING
    assert store.tasks.state("auth", "T1").attempt == 2
    assert any("this worker no longer held it" in message for message in caplog.messages)


def forget_the_start(store: Store) -> None:
    """As Redis does where it loses its last second: T1 is launched, and not started."""
    keys = store.keys.feature("auth")
    state = json.loads(str(store.client.hget(keys.states, "T1")))
    store.client.hset(keys.states, "T1", json.dumps({**state, "status": "pending", "delivery": None}))
    store.client.zadd(keys.slots, {"T1": -1})
    for name in ("in-progress", "1:in-progress"):
        store.client.hincrby(keys.counts, name, -1)


@pytest.mark.parametrize("asks", [True, False])
def test_an_attempt_whose_start_was_forgotten_goes_on_and_is_committed(
    runner: AttemptRunner, store: Store, work: Any, asks: bool
) -> None:
    def outlive(context: Context) -> Outcome:
        forget_the_start(store)
        assert not (asks and context.is_cancelled())
        return Completed()

    work(outlive)
    assert runner.run(WHO, "auth", "T1", 1, "w1") == "T1: completed"
    assert store.tasks.state("auth", "T1").status is TaskStatus.COMPLETED
    assert store.features.summary("auth").counts == {"completed": 1}


def test_an_attempt_whose_start_was_forgotten_is_lost_where_another_worker_has_begun_it(
    runner: AttemptRunner, store: Store, work: Any
) -> None:
    def outlive(context: Context) -> Outcome:
        forget_the_start(store)
        begun = store.attempts.start("auth", "T1", 1, specialist=WHO, worker="w2", lease=60, delivery="other")
        assert begun.code == "started"
        assert context.is_cancelled()
        return Completed()

    work(outlive)
    runner.run(WHO, "auth", "T1", 1, "w1")
    assert store.tasks.state("auth", "T1").status is TaskStatus.IN_PROGRESS


def test_an_attempt_that_another_delivery_began_meanwhile_is_not_handed_back(
    runner: AttemptRunner, store: Store, work: Any
) -> None:
    def be_ended(context: Context) -> Outcome:
        forget_the_start(store)
        begun = store.attempts.start("auth", "T1", 1, specialist=WHO, worker="w1", lease=60, delivery="other")
        assert begun.code == "started"
        raise shutdown.WorkerShutdown

    work(be_ended)
    with pytest.raises(TaskStopped, match="the worker ends"):
        runner.run(WHO, "auth", "T1", 1, "w1")
    state = store.tasks.state("auth", "T1")
    assert (state.status, state.attempt) == (TaskStatus.IN_PROGRESS, 1)


def test_a_message_of_before_agents_claimed_the_tasks_is_left_to_them(
    store: Store, monkeypatch: pytest.MonkeyPatch, work: Any
) -> None:
    # Given a message that was sent while a worker did the work
    feature = factories.feature(task("T1"))
    store.enqueue("auth", planner.plan(feature), routing.route(feature, Settings()))
    store.schedule("auth")
    # When agents do it by now, and the message comes
    new = Store(store.client, store.keys, pulled=[WHO])
    monkeypatch.setattr(connections, "open_store", lambda settings: new)
    pulled = AttemptRunner(app_with("memory://", specialists={WHO: {"agent": {"runtime": "pull"}}}))
    with pytest.raises(TaskStopped, match="left to an agent"):
        pulled.run(WHO, "auth", "T1", 1, "w1")
    # Then it waits for an agent
    assert [(offer.task, offer.attempt) for offer in new.offers.waiting([WHO])] == [("T1", 2)]
    assert messages() == []


def test_an_attempt_says_how_far_it_is_and_learns_of_a_cancel(
    runner: AttemptRunner, store: Store, work: Any
) -> None:
    def look(context: Context) -> Outcome:
        context.progress(50, "half way")
        assert store.tasks.state("auth", "T1").note == "half way"
        assert not context.is_cancelled()
        store.requests.update_feature("auth", FeatureEvent.FEATURE_CANCELLED)
        assert context.is_cancelled()
        return Completed()

    work(look)
    runner.run(WHO, "auth", "T1", 1, "w1")
    assert store.features.summary("auth").is_settled


def test_what_an_attempt_says_of_its_progress_shows_no_secret(store: Store, work: Any) -> None:
    runner = AttemptRunner(
        app_with("memory://", specialists={WHO: {"env": {"KEY": "first-line\nsecond-line\n"}}})
    )
    launch(runner)

    def tell(context: Context) -> Outcome:
        context.progress(50, "with second-line")
        return Completed()

    work(tell)
    runner.run(WHO, "auth", "T1", 1, "w1")
    assert [event.note for event in store.events.read("auth") if event.event == "progress"] == ["with **"]


def test_an_attempt_sees_the_outcomes_of_its_dependencies(
    runner: AttemptRunner, store: Store, work: Any
) -> None:
    work(lambda context: Completed(result=[1, 2]))
    runner.run(WHO, "auth", "T1", 1, "w1")

    seen: list[dict[str, Completed]] = []

    def look(context: Context) -> Outcome:
        seen.append(dict(context.dependencies))
        return Completed()

    work(look)
    runner.run(WHO, "auth", "T2", 1, "w1")

    assert seen == [{"T1": Completed(result=[1, 2])}]


# --- work from a message alone ---------------------------------------------------------------------------

_texts = some.text(max_size=9) | some.sampled_from(
    ["auth", "T1", "../../x", "/tmp/x", "..", "a/b", "\0", "é"]
)
_values = _texts | some.integers() | some.none() | some.lists(_texts, max_size=2) | some.floats()
_heads = _values | some.dictionaries(some.sampled_from(["id", "title", "tags", "x"]), _values, max_size=4)
_tasks = _values | some.dictionaries(
    some.sampled_from(["id", "title", "run", "params", "timeout", "x"]), _values, max_size=4
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    _heads | some.just({"id": "auth", "title": "Login"}),
    _tasks | some.just({"id": "T1"}),
    _texts | some.just("1"),
)
def test_what_a_message_names_stays_in_its_folders(
    tmp_path: Path, head: Any, task: Any, attempt: str
) -> None:
    # Given a specialist that writes where it is told to, and any arguments at all
    given = Settings(
        logs=tmp_path / "logs",
        redis=RedisSettings(url="redis://127.0.0.1:1"),
        specialists={WHO: SpecialistSettings(python=f"{__name__}:write_here")},
    )
    given._start = tmp_path

    # When they come in a message
    try:
        outcome = CanvasAttempt(given, WHO, head, task, {}, attempt, Attempts()).work()
    except ValidationError:
        return

    # Then they are refused, or all files are where this attempt's belong, and no command of theirs ran
    if task.get("run"):
        assert isinstance(outcome, Failed)
        assert "trust.inline_commands" in outcome.reason
        return
    assert isinstance(outcome, Completed)
    assert isinstance(outcome.result, list)
    name = identifiers.file_name(head["id"])
    folders = [(tmp_path / folder / name).resolve() for folder in (given.folder / "work", "logs")]
    assert [Path(str(place)).resolve().parent for place in outcome.result] == folders


def write_here(context: Context) -> list[str]:
    """Say where the files of this attempt are."""
    return [str(context.workdir), str(context.log_file)]


def test_dependencies_are_read_once_and_only_when_looked_at() -> None:
    class Outcomes:
        asked = 0

        def read(self, task_ids: Sequence[str]) -> dict[str, Outcome]:
            self.asked += 1
            assert task_ids == ("T1", "T2", "T3")
            return {"T1": Completed(result=1), "T2": Failed(reason="x")}

    outcomes = Outcomes()
    dependencies = Dependencies(outcomes.read, task("T4", "T1", "T2", "T3"))
    assert outcomes.asked == 0

    assert dependencies["T1"].result == 1
    assert (list(dependencies), len(dependencies)) == (["T1"], 1)
    for missing in ("T2", "T3", "T9"):
        assert missing not in dependencies
        with pytest.raises(KeyError):
            dependencies[missing]
    assert outcomes.asked == 1


# --- the time limit -------------------------------------------------------------------------------------


def never_ends(context: Context) -> None:
    """Work that goes on until it is interrupted."""
    while True:
        threading.Event().wait(0.001)


def test_an_alarm_interrupts_what_runs_longer() -> None:
    with pytest.raises(TimeoutError, match=r"still running after 0\.02 s"), alarm(0.02):
        never_ends(None)  # type: ignore[arg-type]


def test_an_alarm_leaves_nothing_behind() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        with alarm(3_600):
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        signal.raise_signal(signal.SIGALRM)
        assert rung == [1]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_without_a_limit_there_is_no_alarm() -> None:
    with alarm(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_in_a_thread_there_is_no_alarm() -> None:
    passed: list[bool] = []

    def inside() -> None:
        with alarm(3_600):
            passed.append(signal.getitimer(signal.ITIMER_REAL) == (0, 0))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert passed == [True]


@pytest.mark.parametrize(
    ("of_task", "of_specialist"), [("20ms", None), (None, "20ms"), ("20ms", "1h")], ids=str
)
def test_an_attempt_over_its_time_limit_fails(
    tmp_path: Path, of_task: str | None, of_specialist: str | None
) -> None:
    slow = SpecialistSettings.model_validate({"python": f"{__name__}:never_ends", "timeout": of_specialist})
    context = a_context(tmp_path, task("T1", timeout=of_task))
    outcome = perform(context, Settings(specialists={"reviewer": slow}))
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.TIMEOUT
