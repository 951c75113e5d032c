"""Gives Prometheus the figures: it reads Redis when Prometheus asks."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from orchestrator.metrics.catalogue import BUCKETS, BY_NAME, METRICS, PREFIX, Kind
from orchestrator.metrics.tally import ALL_OUTCOMES, RECOVERIES, SEPARATOR
from orchestrator.model.feature import OVER
from orchestrator.model.usage import MICRO
from orchestrator.state import forks, refusals, workers

if TYPE_CHECKING:
    from orchestrator.state.figures import Scrape
    from orchestrator.state.store import Store
    from orchestrator.state.workers import Worker

logger = logging.getLogger("orchestrator")

Labels = tuple[str, ...]
Samples = dict[str, dict[Labels, Any]]
"""The name of a metric → the values of its labels → its value."""

TOKENS = ("input", "cache_read", "cache_write", "output")

MOST_MODELS = 50
"""Models that have a name of their own; all others are `other`."""

FAMILIES = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


class FeatureCollector(Collector):
    """The metrics of all features under one prefix. It never raises: others may share its page.

    Args:
        store: The state. Its connections have a short time-out, because the page waits for them.
        queues: The queues of the specialists.
    """

    def __init__(self, store: Store, queues: Iterable[str]) -> None:
        self.store = store
        self.queues = tuple(queues)

    def describe(self) -> Iterator[Any]:
        """Nothing: prometheus_client would read Redis for it when the collector is registered."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """The families of this moment."""
        try:
            with forks.held_off():
                found = samples(self.store.figures.scrape(self.queues), self.store.workers.present())
        except (redis.RedisError, ValueError) as error:
            logger.warning("The metrics of features are not shown: %s", refusals.describe(error))
            found = {"redis_up": {(): 0}}
        return families(found)


def families(found: Samples) -> Iterator[Any]:
    """Samples in the form of prometheus_client, in the order of the catalogue."""
    for metric in METRICS:
        family: Any = FAMILIES[metric.kind](f"{PREFIX}{metric.name}", metric.help, labels=metric.labels)
        for labels, value in sorted(found.get(metric.name, {}).items()):
            if metric.kind is Kind.HISTOGRAM:
                family.add_metric(labels, buckets=_buckets(value), sum_value=value.get("ms", 0) / 1000)
            else:
                family.add_metric(labels, value)
        if family.samples:
            yield family


def _buckets(counts: Mapping[str, int]) -> list[tuple[str, float]]:
    """Prometheus wants each bucket with all that is in those below it."""
    bounds = [*map(str, BUCKETS), "+Inf"]
    sums = accumulate(counts.get(str(place), 0) for place in range(len(bounds)))
    return list(zip(bounds, map(float, sums), strict=True))


def samples(scrape: Scrape, present: list[Worker]) -> Samples:
    """The value of each metric.

    Args:
        scrape: The figures that were read from Redis.
        present: The workers.
    """
    found: Samples = {
        "redis_up": {(): 1},
        "features_stored": {(): scrape.stored},
        "messages_refused": _by(scrape.refused),
        "queue_messages": _by(scrape.queues),
        "workers": {(): len(present)},
        "worker_processes": {(): workers.processes(present)},
        **_limits(scrape),
        **_agents(scrape.agents),
        "model_opens_seconds": _by(scrape.models),
    }
    if scrape.swept is not None:
        found["sweep_age_seconds"] = {(): max(0.0, scrape.now - scrape.swept)}
    if scrape.scripts is not None:
        calls, seconds = scrape.scripts
        found |= {"redis_script_calls": {(): calls}, "redis_script_seconds": {(): seconds}}
    counted = _counted(scrape.counts)
    specialists = [name for (name,) in counted.get("attempts_started", ())]
    if scrape.figures:
        found |= _figures(scrape, dict.fromkeys(specialists, 0))
    for name, zeros in _zeros(specialists).items():
        found[name] = zeros | counted.pop(name, {})
    return found | counted


def _by(counts: Mapping[str, float]) -> dict[Labels, float]:
    return {(name,): value for name, value in counts.items()}


def _figures(scrape: Scrape, none: Mapping[str, int]) -> Samples:
    """The figures of features; `none` has a 0 for each specialist that has ever worked."""
    figures = scrape.figures
    running, launched = {**none, **figures["running"]}, {**none, **figures["launched"]}
    usable = {name: running.get(name, 0) + launched.get(name, 0) for name in {*running, *launched}}
    return {
        "features": _by(figures["features"]),
        "tasks": _by(figures["tasks"]),
        "tasks_waiting": _by(figures["waiting"]),
        "attempts_running": _by(running),
        "queue_length": _by(launched),
        "slots_usable": _by(usable),
        "slots_allowed": {(): figures["allowed"]},
        "leases_ended": {(): figures["leases_ended"]},
        "figures_age_seconds": {(): max(0.0, scrape.now - figures["time"])},
    }


def _limits(scrape: Scrape) -> Samples:
    units = {name: int(amount) for name, amount in scrape.limits.items() if " " not in amount}
    rates = {name: amount.split()[0] for name, amount in scrape.limits.items() if " " in amount}
    waiting = scrape.figures.get("limited", {})
    return {
        "limit_units": _by(units),
        "limit_units_used": _by({name: scrape.used.get(name, 0) for name in units}),
        "limit_rate_per_second": _by({name: 1000 / float(interval) for name, interval in rates.items()}),
        "limit_tasks_waiting": _by({name: waiting.get(name, 0) for name in scrape.limits}),
    }


def _agents(used: Mapping[str, int]) -> Samples:
    """What agents have used. The models come from their programs: only the most used have a name of their own."""
    rows = list[tuple[str, str, str, int]]()
    for field, number in used.items():
        specialist, model, kind = field.split("\t")
        rows.append((specialist, model, kind, number))
    requests = Counter[str]()
    for _, model, kind, number in rows:
        requests[model] += number if kind == "requests" else 0
    named = {model for model, _ in requests.most_common(MOST_MODELS)}
    tokens, asked, cost = Counter[Labels](), Counter[Labels](), defaultdict[Labels, float](float)
    for specialist, model, kind, number in rows:
        labels = (specialist, model if model in named else "other")
        if kind in TOKENS:
            tokens[*labels, kind] += number
        elif kind == "requests":
            asked[labels] += number
        elif kind == "cost":
            cost[labels] += number / MICRO
    return {"agent_tokens": dict(tokens), "agent_requests": dict(asked), "agent_cost_dollars": dict(cost)}


def _zeros(specialists: Iterable[str]) -> Samples:
    """A 0 for each event that has not happened yet, so that Prometheus sees the first one."""
    return {
        "features_enqueued": {(): 0},
        "features_ended": dict.fromkeys(((str(status),) for status in OVER), 0),
        "recoveries": dict.fromkeys(((kind,) for kind in RECOVERIES.values()), 0),
        "attempts_ended": {(name, outcome): 0 for name in specialists for outcome in ALL_OUTCOMES},
    }


def _counted(counts: Mapping[str, int]) -> Samples:
    """The counts of events by metric and labels; what a newer version counts beside is left out."""
    found: Samples = {}
    for stored, count in counts.items():
        name, *labels = stored.split(SEPARATOR)
        metric = BY_NAME.get(name)
        if metric is None:
            continue
        by_labels = found.setdefault(name, {})
        if metric.kind is Kind.HISTOGRAM and len(labels) == len(metric.labels) + 1:
            by_labels.setdefault(tuple(labels[:-1]), {})[labels[-1]] = count
        elif metric.kind is Kind.COUNTER and len(labels) == len(metric.labels):
            by_labels[tuple(labels)] = count
    return {name: by_labels for name, by_labels in found.items() if by_labels}
