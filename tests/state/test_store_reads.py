"""The reads of people: progress, states, events."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
import redis

from orchestrator.model import errors
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.outcome import Blocked, Completed, Failed, RetryLater
from orchestrator.model.task import TaskStatus
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import Run, check, enqueue, launched
from tests.state.factories import read as stored


class Counting:
    """A client that counts what is sent to the server."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.sent: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not callable(found):
            return found

        def calling(*args: Any, **kwargs: Any) -> Any:
            self.sent.append(name)
            answer = found(*args, **kwargs)
            return _Pipeline(answer, self.sent) if name == "pipeline" else answer

        return calling


class _Pipeline:
    def __init__(self, pipeline: Any, sent: list[str]) -> None:
        self.pipeline = pipeline
        self.sent = sent

    def __getattr__(self, name: str) -> Any:
        self.sent.append(name)
        return getattr(self.pipeline, name)


def busy(store: Store) -> Run:
    """A feature of two batches with a task in every situation, cap 3."""
    run = launched(store, *(task(f"T{number}") for number in range(8)), task("T9", "T0"), cap=3)
    run.complete("T0")
    for name, outcome in (
        ("T1", Failed(reason="broken")),
        ("T2", Blocked(reason="no key")),
        ("T3", RetryLater(after=60)),
    ):
        run.do(name, outcome)
    run.start("T4")
    return run


def test_progress_counts_every_situation(store: Store) -> None:
    with busy(store) as run:
        progress = store.features.summary(run.id)
        assert progress.counts == {"completed": 1, "failed": 1, "blocked": 1, "in-progress": 1}
        assert (progress.in_flight, progress.queued, progress.delayed) == (3, 1, 1)
        assert (progress.batch, progress.batches, progress.batch_total, progress.batch_resolved) == (
            1,
            2,
            8,
            1,
        )
        assert (progress.completed, progress.stopped, progress.percent) == (1, 2, 11)
        assert progress.cap == 3
        assert not progress.is_settled


def test_states_name_the_phase_of_what_is_pending(store: Store) -> None:
    with busy(store) as run:
        assert [(state.id, state.status, state.phase) for state in store.tasks.states(run.id)] == [
            ("T0", "completed", ""),
            ("T1", "failed", ""),
            ("T2", "blocked", ""),
            ("T3", "pending", "delayed"),
            ("T4", "in-progress", ""),
            ("T5", "pending", "launched"),
            ("T6", "pending", "launched"),
            ("T7", "pending", "queued"),
            ("T9", "pending", "waiting"),
        ]


def test_states_of_some_batches_are_the_same_as_those_of_all(store: Store) -> None:
    with busy(store) as run:
        whole = store.tasks.states(run.id)
        assert store.tasks.states(run.id, [2]) == [state for state in whole if state.batch == 2]
        assert store.tasks.states(run.id, iter([1, 2])) == whole
        assert store.tasks.states(run.id, [99]) == store.tasks.states(run.id, []) == []
        assert store.tasks.state(run.id, "T3") in whole


def test_what_is_not_there_is_named(store: Store) -> None:
    launched(store)
    reads = (
        store.features.summary,
        store.tasks.states,
        store.tasks.all,
        store.features.head,
        lambda id: store.tasks.states(id, [1]),
    )
    for read in reads:
        with pytest.raises(errors.NoSuchFeature, match="nobody"):
            read("nobody")
    for of_task in (store.tasks.state, store.tasks.find):
        with pytest.raises(errors.NoSuchTask, match="T99"):
            of_task("auth", "T99")
        with pytest.raises(errors.NoSuchFeature, match="nobody"):
            of_task("nobody", "T1")


def test_the_newest_features_come_first(store: Store, client: redis.Redis) -> None:
    for place, feature_id in enumerate(("one", "two", "three")):
        enqueue(store, task("T1"), feature_id=feature_id)
        client.zadd(store.keys.features, {feature_id: place})
    assert store.features.newest() == ["three", "two", "one"]
    assert store.features.newest(newest=2) == ["three", "two"]


def test_outcomes_of_what_has_not_ended_are_left_out(store: Store) -> None:
    with launched(store) as run:
        run.do("T1", Completed(result=[1, 2]))
        assert store.tasks.outcomes(run.id, ["T1", "T2", "T3"]) == {"T1": Completed(result=[1, 2])}
        assert store.tasks.outcomes(run.id, []) == {}


def commands_of_progress(client: redis.Redis, feature_id: str) -> int:
    counting: Any = Counting(client)
    Store(counting, Keys("to")).features.summary(feature_id)
    return len(counting.sent)


def test_progress_sends_one_command_whatever_the_size(store: Store, client: redis.Redis) -> None:
    launched(store, *(task(f"T{number}") for number in range(10)), feature_id="small")
    launched(store, *(task(f"T{number}") for number in range(10_000)), feature_id="large", cap=100)
    store.features.summary("small")  # the script is loaded
    assert commands_of_progress(client, "small") == commands_of_progress(client, "large") == 1


@pytest.mark.real
def test_progress_runs_as_many_commands_in_the_server_whatever_the_size(
    store: Store, client: redis.Redis
) -> None:
    if type(client).__module__.startswith("fakeredis"):
        pytest.skip("the fake does not count commands")

    def commands(feature_id: str) -> int:
        client.config_resetstat()
        store.features.summary(feature_id)
        stats: Any = client.info("commandstats")
        return sum(stats[name]["calls"] for name in stats if "config" not in name and "info" not in name)

    # 10 batches each, so that only the size differs
    small = [task(f"T{n}", *([f"T{n - 1}"] if n else [])) for n in range(10)]
    large = [task(f"T{n}", *([f"T{n - 1000}"] if n >= 1000 else [])) for n in range(10_000)]
    launched(store, *small, feature_id="small")
    launched(store, *large, feature_id="large")
    store.features.summary("small")
    assert commands("small") == commands("large")


# --- events ---------------------------------------------------------------------------------------------


def test_events_tell_the_story_in_order(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.complete("T1", "T2")
        assert [(event.event, event.task) for event in store.events.read(run.id)] == [
            ("feature_enqueued", ""),
            ("batch_opened", ""),
            ("task_launched", "T1"),
            ("work_started", "T1"),
            ("first_task_started", ""),
            ("implementation_complete", "T1"),
            ("batch_opened", ""),
            ("task_launched", "T2"),
            ("work_started", "T2"),
            ("implementation_complete", "T2"),
            ("all_tasks_complete", ""),
        ]


def test_an_event_has_its_facts(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1", worker="w7")
        run.end("T1", Failed(reason="broken"))
        by_name = {event.event: event for event in store.events.read(run.id)}

        opened, launch, start = by_name["batch_opened"], by_name["task_launched"], by_name["work_started"]
        assert opened.batch == 1
        assert (launch.task, launch.attempt, launch.batch) == ("T1", 1, 1)
        assert (start.source, start.target, start.worker) == ("pending", "in-progress", "w7")
        assert by_name["work_failed"].cause == "reported"
        assert by_name["task_stopped"].target == "blocked"
        moments = [event.time for event in store.events.read(run.id)]
        assert moments == sorted(moments)


def test_events_after_one_are_the_rest(store: Store) -> None:
    with launched(store) as run:
        run.complete("T1")
        whole = store.events.read(run.id)
        for place, event in enumerate(whole):
            assert store.events.read(run.id, after=event.id) == whole[place + 1 :]
        assert store.events.read(run.id, after=whole[0].id, block=5) == whole[1:]
        assert store.events.read(run.id, block=5) == whole
        assert store.events.read(run.id, after=whole[-1].id, block=0.01) == []
        assert store.events.read("nobody") == []


def test_events_are_at_most_a_thousand_at_once_and_none_is_missed(store: Store) -> None:
    with launched(store, *(task(f"T{number}") for number in range(1_100)), cap=1_100) as run:
        found = store.events.read(run.id)
        assert len(found) == 1_000
        while more := store.events.read(run.id, after=found[-1].id):
            found += more
        assert sum(event.event == "task_launched" for event in found) == 1_100


def test_a_wait_for_an_event_ends_with_it(store: Store) -> None:
    with launched(store) as run:
        last = store.events.read(run.id)[-1].id
        found: list[Any] = []
        waiting = threading.Thread(
            target=lambda: found.extend(store.events.read(run.id, after=last, block=60))
        )
        waiting.start()
        run.start("T1")
        waiting.join(50)
        assert [event.event for event in found] == ["work_started", "first_task_started"]


def test_the_stream_is_trimmed(client: redis.Redis) -> None:
    store = Store(client, Keys("to"), events_kept=10)
    run = launched(store, *(task(f"T{number}") for number in range(300)), cap=300)
    kept = client.xlen(run.keys.events)
    assert kept < 300  # Redis trims whole nodes of about a hundred entries
    # And it is known how many are gone: enqueued, opened, and a launch of each task were told
    assert store.events.gone(run.id) + kept == 302
    check(run)


def test_of_a_story_that_is_whole_nothing_is_gone(store: Store) -> None:
    with launched(store) as run:
        assert store.events.gone(run.id) == 0


def test_a_repeated_call_is_no_event(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"), cap=8, auto_launch=False) as run:
        # Given a feature that waits for its launch, with a task that was skipped and one that has a specialist
        run.complete("T1")
        skip = partial(run.ask, "T2", TaskEvent.TASK_SKIPPED, "not needed", resolve="resolve")
        store.requests.assign(run.id, "T2", "writer")
        for call in (
            partial(store.requests.update_feature, run.id, FeatureEvent.FEATURE_RESUMED, {"paused": 0}),
            partial(store.requests.update_feature, run.id, "cap_changed", {"cap": 8}, "8"),
            partial(store.requests.assign, run.id, "T2", "writer"),
        ):
            # When what is so already is asked for again and again, then nothing is told
            before = store.events.read(run.id)
            for _ in range(3):
                call()
            assert store.events.read(run.id) == before, call
        # And what is asked for once is told once
        store.requests.update_feature(run.id, "cap_changed", {"cap": 9}, "9")
        store.requests.update_feature(run.id, "cap_changed", {"cap": 9}, "9")
        skip()
        skip()
        told = [event.event for event in store.events.read(run.id)]
        assert (told.count("cap_changed"), told.count("task_skipped")) == (1, 1)
        assert stored(run).states["T2"]["remarks"] == ["not needed"]


def test_a_pause_is_told_once_and_so_is_its_end(store: Store) -> None:
    with launched(store) as run:
        run.start("T1")
        for event, paused in (
            (FeatureEvent.FEATURE_PAUSED, 1),
            (FeatureEvent.FEATURE_PAUSED, 1),
            (FeatureEvent.FEATURE_RESUMED, 0),
        ):
            store.requests.update_feature(run.id, event, {"paused": paused})
        told = [event.event for event in store.events.read(run.id)]
        assert (told.count("feature_paused"), told.count("feature_resumed")) == (1, 1)


def test_what_an_attempt_says_of_its_progress_is_not_all_of_the_story(store: Store) -> None:
    with launched(store) as run:
        # Given an attempt that says a thousand things within a moment, and the last one of them again
        run.start("T1")
        for number in range(1_000):
            store.attempts.report_progress(run.id, "T1", 1, number / 10, f"row {number}")
        store.attempts.report_progress(run.id, "T1", 1, 99.9, "row 999")
        # Then some of it is in the story, and the newest of it in the task's state
        told = [event for event in store.events.read(run.id) if event.event == "progress"]
        assert 20 <= len(told) < 200
        assert store.tasks.state(run.id, "T1").note == "row 999"


def test_a_note_that_says_nothing_new_is_no_event(store: Store) -> None:
    with launched(store) as run:
        run.start("T1")
        for _ in range(3):
            store.attempts.report_progress(run.id, "T1", 1, 50, "half way")
        assert [event.event for event in store.events.read(run.id)].count("progress") == 1


def test_an_expected_end_is_shown_only_while_it_is_to_come(store: Store) -> None:
    with launched(store, task("T1", estimate="10m"), task("T2", "T1", estimate="20m")) as run:
        progress = store.features.summary(run.id)
        assert progress.expected_end is not None
        assert 1_790 < progress.expected_end - progress.created < 1_900
        run.complete("T1", "T2")
        assert store.features.summary(run.id).expected_end is None
        assert run.status("T2") == TaskStatus.COMPLETED


def test_what_waits_for_a_person_is_found_in_whichever_batch_without_a_look_at_what_has_not_begun(
    store: Store,
) -> None:
    with launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"), task("T4", "T3")) as run:
        run.ask("T3", TaskEvent.TASK_HELD)
        run.skip("T4")
        assert store.tasks.resting(run.id) == ["T3"]
        assert store.tasks.dependencies(run.id) == {"T1": [], "T2": ["T1"], "T3": ["T2"], "T4": ["T3"]}
        run.ask("T3", TaskEvent.TASK_RESUMED)
        assert store.tasks.resting(run.id) == []


def test_a_task_that_was_skipped_before_its_batch_has_not_stopped(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.skip("T2")
        progress = store.features.summary(run.id)
        assert (progress.skipped, progress.stopped) == (1, 0)
