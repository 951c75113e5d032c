"""Every metric for Prometheus, from the list that the collector is made from."""

from __future__ import annotations

from orchestrator.metrics.catalogue import BUCKETS, METRICS
from orchestrator.metrics.meter import MOST_NAMES
from reference.markdown import code, head, table

ABOUT = f"""\
Prometheus reads them at Flower's `/metrics`, or at a worker's `metrics.port`
([how to](../how-to/monitor.md)). Each shows the same figures: those of all features under `redis.prefix`.

Gauges tell what is so now. Counters and histograms count the events of features, each event once, from the
first time that somebody reads the metrics. Times are in seconds; the buckets of histograms end at
{", ".join(f"{one:g}" for one in BUCKETS)}.

Labels hold words of the program and names of the configuration: specialists (or the Celery tasks that are
called), queues, limits. Of the specialists that the configuration does not name, {MOST_NAMES} get a name of
their own, and all others are `other`. No label holds an id, a title, a parameter or a result."""


def page() -> str:
    """docs/reference/metrics.md."""
    rows = [
        [code(metric.full_name), metric.kind, ", ".join(map(code, metric.labels)), metric.help]
        for metric in METRICS
    ]
    return "\n".join([*head("Metrics", ABOUT), *table(["metric", "kind", "labels", "meaning"], rows)]) + "\n"
