"""The leader counts each event once, and sums the figures of the features that are not over."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics import meter as meters
from orchestrator.metrics.collector import MOST_MODELS, FeatureCollector
from orchestrator.metrics.meter import Meter
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import Blocked, Failed
from orchestrator.model.usage import Usage
from orchestrator.state.store import Store
from tests.model import factories as features
from tests.state import factories

SAMPLES = dict[tuple[str, tuple[str, ...]], float]


def meter_of(store: Store, *, leads: bool = True) -> Meter:
    return Meter(store, lambda: leads, ["builder"])


def shown(store: Store) -> SAMPLES:
    """Each sample of the page, by its name without the prefix and the values of its labels."""
    registry = CollectorRegistry()
    registry.register(FeatureCollector(store, ["builder"]))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name.removeprefix("task_orchestrator_"), tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def look(meter: Meter) -> SAMPLES:
    """The metrics after the meter has counted all events."""
    shown(meter.store)  # a scrape asks the workers to count
    while meter.look():
        pass
    return shown(meter.store)


def test_nothing_is_counted_until_somebody_reads(store: Store) -> None:
    # Given a leader, and a feature with events
    run = factories.launched(store, features.task("T1"))
    # When it looks before anybody has read the metrics, and after
    meter = meter_of(store)
    meter.look()
    stored_before = store.client.exists(store.keys.metrics, store.keys.figures)
    found = look(meter)
    # Then it counts from then on, what came before too
    assert stored_before == 0
    assert found["features_enqueued_total", ()] == 1
    assert run.id


def test_what_agents_use_is_shown_by_specialist_and_model(store: Store) -> None:
    run = factories.launched(store, features.task("T1"), features.task("T2"))
    for name, cost in (("T1", 0.25), ("T2", None)):
        run.start(name)
        used = Usage(model="haiku", input=900, cache_read=50, output=100, requests=2, cost=cost)
        for _ in range(2):  # a report that comes twice counts once
            store.usage.report(run.id, name, 1, "builder", [used])
    store.models.close("haiku", 60)
    found = shown(store)
    tokens = {labels[0]: value for (name, labels), value in found.items() if name == "agent_tokens_total"}
    assert tokens == {"input": 1_800, "cache_read": 100, "output": 200}
    assert found["agent_requests_total", ("haiku", "builder")] == 4
    assert found["agent_cost_dollars_total", ("haiku", "builder")] == 0.25
    assert 50 < found["model_opens_seconds", ("haiku",)] <= 60


def test_models_without_end_share_a_name(store: Store) -> None:
    run = factories.launched(store, features.task("T1"))
    run.start("T1")
    used = [Usage(model=f"m{number}", requests=1 + (number < 3)) for number in range(MOST_MODELS + 20)]
    store.usage.report(run.id, "T1", 1, "builder", used)
    models = {
        labels[0]: value for (name, labels), value in shown(store).items() if name == "agent_requests_total"
    }
    assert len(models) == MOST_MODELS + 1
    assert models["other"] == 20
    assert models["m1"] == 2


def test_only_the_leader_counts(store: Store) -> None:
    factories.launched(store, features.task("T1"))
    assert look(meter_of(store, leads=False))["features_enqueued_total", ()] == 0


def test_the_figures_are_those_of_this_moment(store: Store) -> None:
    # Given two tasks that run, one that is launched, and two that wait for a slot
    run = factories.launched(store, *(features.task(f"T{number}") for number in range(5)), cap=3)
    run.start("T0")
    run.start("T1")
    run.schedule()
    # When the leader looks
    found = look(meter_of(store))
    # Then each figure is there
    assert found["features", ("in-development",)] == 1
    assert found["tasks", ("in-progress",)] == 2
    assert found["tasks", ("pending",)] == 3
    assert found["tasks_waiting", ("slot",)] == 2
    assert found["attempts_running", ("builder",)] == 2
    assert found["queue_length", ("builder",)] == 1
    assert found["slots_usable", ("builder",)] == 3
    assert found["slots_allowed", ()] == 3
    assert found["attempts_started_total", ("builder",)] == 2


def test_a_feature_that_is_over_leaves_the_figures_and_stays_in_the_counts(store: Store) -> None:
    # Given a feature of one task that was seen at work
    run, meter = factories.launched(store, features.task("T1")), meter_of(store)
    assert look(meter)["features", ("planning",)] == 1
    # When it ends
    run.complete("T1")
    found = look(meter)
    # Then no figure names it, and the counts do
    assert found.get(("features", ("planning",)), 0) == 0
    assert found.get(("tasks", ("completed",)), 0) == 0
    assert found["features_ended_total", ("completed",)] == 1
    assert found["attempts_ended_total", ("completed", "builder")] == 1
    assert found["attempt_run_seconds_count", ("builder",)] == 1
    assert found["attempt_wait_seconds_count", ("builder",)] == 1
    assert found["features_stored", ()] == 1


def test_retries_blocks_failures_and_losses_are_counted(store: Store) -> None:
    run = factories.launched(store, *(features.task(f"T{number}") for number in range(4)), cap=4)
    run.do("T0", Failed(reason="once"), retries=1)
    run.do("T1", Failed(reason="for good"))
    run.do("T2", Blocked(reason="no key"))
    run.start("T3")
    run.expire_lease("T3")
    assert look(meter_of(store))["leases_ended", ()] == 1
    run.recover()
    found = look(meter_of(store))
    for outcome in ("retried", "failed", "blocked", "lost"):
        assert found["attempts_ended_total", (outcome, "builder")] == 1
    assert found["recoveries_total", ("attempt",)] == 1
    assert found["leases_ended", ()] == 0


def test_each_event_is_counted_once_by_two_who_believe_that_they_lead(store: Store) -> None:
    # Given two leaders, as after a pause of the first, that read the same events
    run = factories.launched(store, features.task("T1"), features.task("T2"))
    first, second = meter_of(store), meter_of(store)
    shown(store)
    reading = first.cursors.look()
    run.complete("T1", "T2")
    # When both count what they have read
    for meter in (first, second):
        meter._count(run.id, reading.told[run.id])
    # Then the second is refused, and later looks add nothing
    found = look(second)
    assert found["attempts_ended_total", ("completed", "builder")] == 2
    assert found["features_enqueued_total", ()] == 1
    assert look(first)["attempts_ended_total", ("completed", "builder")] == 2


def test_a_new_leader_knows_when_a_running_attempt_began(store: Store) -> None:
    # Given an attempt whose begin another leader has counted
    run = factories.launched(store, features.task("T1"))
    run.start("T1")
    look(meter_of(store))
    # When it ends under a new one
    run.end("T1")
    # Then its run time is known
    found = look(meter_of(store))
    assert found["attempts_ended_total", ("completed", "builder")] == 1
    assert found["attempt_run_seconds_count", ("builder",)] == 1


def test_a_new_leader_finds_the_begin_of_an_attempt_that_another_one_has_followed(store: Store) -> None:
    # Given an attempt whose begin another leader has counted
    run = factories.launched(store, features.task("T1"))
    run.start("T1")
    look(meter_of(store))
    # When it fails, and the next attempt at the task is launched before the new leader looks
    run.end("T1", Failed(reason="once"), retries=1)
    run.make_due("T1")
    run.schedule()
    # Then its run time is known
    assert look(meter_of(store))["attempt_run_seconds_count", ("builder",)] == 1


def test_more_events_than_one_portion_are_all_counted(store: Store) -> None:
    # Given more events than the store reads at once
    tasks = [features.task(f"T{number}") for number in range(400)]
    run, meter = factories.launched(store, *tasks, cap=400), meter_of(store)
    look(meter)
    run.complete(*(task.id for task in tasks))
    assert store.client.xlen(run.keys.events) > 1_000
    # When the leader looks, then none is left out
    assert look(meter)["attempts_ended_total", ("completed", "builder")] == 400


def test_the_figures_follow_events_that_took_more_than_one_look(store: Store) -> None:
    # Given a leader that has stored the figures of a feature
    run, meter = factories.launched(store, features.task("T1"), features.task("T2"), cap=1), meter_of(store)
    assert look(meter)["queue_length", ("builder",)] == 1
    # When a task begins, and the leader looks until there is no more
    run.start("T1")
    # Then the figures know it, and that without a refresh
    assert look(meter)["attempts_running", ("builder",)] == 1


def test_a_leader_that_is_not_sure_for_a_moment_forgets_no_begin(store: Store) -> None:
    # Given a leader that has counted the begin of an attempt
    leads = [True]
    meter = Meter(store, lambda: leads[0], ["builder"])
    run = factories.launched(store, features.task("T1"))
    run.start("T1")
    look(meter)
    # When it asks Redis whether it still leads, and meanwhile the attempt ends and the next one is launched
    leads[0] = False
    meter.look()
    run.end("T1", Failed(reason="once"), retries=1)
    run.make_due("T1")
    run.schedule()
    leads[0] = True
    # Then the run time of the first is known
    assert look(meter)["attempt_run_seconds_count", ("builder",)] == 1


def test_what_a_person_takes_away_is_counted_as_stopped(store: Store) -> None:
    run = factories.launched(store, features.task("T1"))
    run.start("T1")
    run.ask("T1", TaskEvent.TASK_CANCELLED, revoke=True)
    run.finish("T1")
    found = look(meter_of(store))
    assert found["attempts_ended_total", ("stopped", "builder")] == 1
    assert found["attempts_ended_total", ("completed", "builder")] == 0


def test_a_feature_that_cannot_be_read_does_not_hold_up_the_others(store: Store) -> None:
    broken, sound = (
        factories.launched(store, features.task("T1"), feature_id=name) for name in ("broken", "sound")
    )
    for key in (broken.keys.slots, broken.keys.events):
        store.client.delete(key)
        store.client.set(key, "junk")
    meter = meter_of(store)
    look(meter)
    sound.complete("T1")
    found = look(meter)
    assert found["features_ended_total", ("completed",)] == 1


def test_limits_show_what_they_allow_what_is_used_and_who_waits(store: Store) -> None:
    store.limits.configure({"resource:gpu": "1", "rate:builder": "2000 1"})
    tasks = [features.task(name, resources={"gpu": 1}) for name in ("T1", "T2")]
    factories.launched(store, *tasks)
    found = look(meter_of(store))
    assert found["limit_units", ("resource:gpu",)] == 1
    assert found["limit_units_used", ("resource:gpu",)] == 1
    assert (
        found["limit_tasks_waiting", ("resource:gpu",)] + found["limit_tasks_waiting", ("rate:builder",)] == 1
    )
    assert found["tasks_waiting", ("limit",)] == 1
    assert found["limit_rate_per_second", ("rate:builder",)] == pytest.approx(0.5)


def test_refusals_and_scripts_are_shown(store: Store) -> None:
    store.refuse("malformed")
    found = look(meter_of(store))
    assert found["messages_refused_total", ("malformed",)] == 1
    assert found["redis_up", ()] == 1
    assert found["redis_script_calls_total", ()] > 0
    assert found["redis_script_seconds_total", ()] > 0


def test_the_metrics_name_a_bounded_number_of_specialists(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given room for one name beside those of the settings
    monkeypatch.setattr(meters, "MOST_NAMES", 1)
    meter = meter_of(store)
    # When more come
    names = [meter.name(name) for name in ("builder", "call:proj.add", "call:proj.more", "call:proj.add")]
    # Then the rest is one
    assert names == ["builder", "proj.add", "other", "proj.add"]


def test_nothing_that_a_feature_says_is_shown(store: Store) -> None:
    # Given a feature whose texts are secret
    secret = "sentinel-4711"
    task = features.task("T1", title=secret, description=secret, params={"key": secret})
    run = factories.launched(store, task, title=secret, feature_id="secret-feature")
    run.do("T1", Failed(reason=secret))
    # When its metrics are read
    look(meter_of(store))
    registry = CollectorRegistry()
    registry.register(FeatureCollector(store, ["builder"]))
    page = generate_latest(registry).decode()
    # Then neither they nor its ids are on the page
    assert 'outcome="failed",specialist="builder"} 1.0' in page
    assert [word for word in (secret, "secret-feature", "T1") if word in page] == []


def test_a_redis_that_is_away_is_a_figure_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    def fail(queues: Any) -> Any:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(store.figures, "scrape", fail)
    assert shown(store) == {("redis_up", ()): 0}


def test_what_has_not_happened_yet_counts_as_none(store: Store) -> None:
    # Given a specialist whose attempts all went well
    run, meter = factories.launched(store, features.task("T1"), features.task("T2")), meter_of(store)
    look(meter)
    run.complete("T1")
    found = look(meter)
    # Then its losses are 0: a rate over them sees the first
    assert found["attempts_ended_total", ("lost", "builder")] == 0
    assert found["recoveries_total", ("message",)] == 0
