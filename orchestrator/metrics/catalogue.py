"""Every metric: its name, kind, labels and meaning. The collector and the reference are made from this list."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

PREFIX = "task_orchestrator_"

BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Seconds: the upper bounds of the histograms' buckets; the last bucket has none."""


class Kind(StrEnum):
    """How Prometheus reads a metric."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One metric."""

    name: str
    """Without the prefix, and without the `_total` that a counter gets."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as Prometheus knows it.

        Example:
            >>> Metric("attempts_started", Kind.COUNTER, "Attempts that began.").full_name
            'task_orchestrator_attempts_started_total'
        """
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


METRICS = (
    # Features and tasks
    Metric("features", Kind.GAUGE, "Features that are not over, by status.", ("status",)),
    Metric("features_stored", Kind.GAUGE, "Features that Redis keeps, with those that are over."),
    Metric("features_enqueued", Kind.COUNTER, "Features that were enqueued."),
    Metric("features_ended", Kind.COUNTER, "Features that ended, by their last status.", ("status",)),
    Metric("tasks", Kind.GAUGE, "Tasks of the features that are not over, by status.", ("status",)),
    Metric(
        "tasks_waiting",
        Kind.GAUGE,
        "Tasks whose turn has come, by what they wait for: a slot, a limit, a retry or a specialist.",
        ("reason",),
    ),
    # Work
    Metric(
        "queue_length", Kind.GAUGE, "Tasks that are launched, and that no worker has taken.", ("specialist",)
    ),
    Metric(
        "queue_messages",
        Kind.GAUGE,
        "Messages in a queue, with those of other programs. Only where Redis is the broker.",
        ("queue",),
    ),
    Metric("attempts_running", Kind.GAUGE, "Attempts that workers hold under a lease.", ("specialist",)),
    Metric("leases_ended", Kind.GAUGE, "Attempts whose lease has ended. The next sweep takes them back."),
    Metric(
        "slots_usable",
        Kind.GAUGE,
        "Tasks that run or could run now: what caps and limits let through. As many processes have work.",
        ("specialist",),
    ),
    Metric("slots_allowed", Kind.GAUGE, "The sum of max_parallel_tasks of the features that are at work."),
    Metric(
        "attempts_started", Kind.COUNTER, "Attempts that workers began, those of gates too.", ("specialist",)
    ),
    Metric(
        "attempts_ended",
        Kind.COUNTER,
        "Attempts that ended, by outcome: completed, failed, blocked, retried (another one follows), lost (its worker "
        "was silent), handed-back (its worker ended), stopped (a person took it away).",
        ("specialist", "outcome"),
    ),
    Metric(
        "attempt_wait_seconds",
        Kind.HISTOGRAM,
        "Time from the launch of an attempt until a worker begins it.",
        ("specialist",),
    ),
    Metric(
        "attempt_run_seconds",
        Kind.HISTOGRAM,
        "Time from the begin of an attempt to its end.",
        ("specialist",),
    ),
    Metric(
        "recoveries",
        Kind.COUNTER,
        "What was taken up again: the attempt of a lost worker, a lost message, an attempt that was handed back.",
        ("kind",),
    ),
    Metric("messages_refused", Kind.COUNTER, "Messages that workers refused, by reason.", ("reason",)),
    # Limits over all features
    Metric("limit_units", Kind.GAUGE, "How much a limit over all features allows.", ("limit",)),
    Metric("limit_units_used", Kind.GAUGE, "How much of a limit is in use.", ("limit",)),
    Metric("limit_rate_per_second", Kind.GAUGE, "Starts a second that a rate allows.", ("limit",)),
    Metric("limit_tasks_waiting", Kind.GAUGE, "Tasks that wait for a limit.", ("limit",)),
    # Agents
    Metric(
        "agent_tokens",
        Kind.COUNTER,
        "Tokens that agents have used: input (without those from a cache), cache_read, cache_write, output.",
        ("specialist", "model", "kind"),
    ),
    Metric("agent_requests", Kind.COUNTER, "Requests of agents to their models.", ("specialist", "model")),
    Metric(
        "agent_cost_dollars",
        Kind.COUNTER,
        "What agents have cost, as far as it is known.",
        ("specialist", "model"),
    ),
    Metric(
        "model_opens_seconds",
        Kind.GAUGE,
        "Time until a model whose limit was reached opens again. Absent for all others.",
        ("model",),
    ),
    # Workers and Redis
    Metric("workers", Kind.GAUGE, "Workers that have announced themselves in the last seconds."),
    Metric("worker_processes", Kind.GAUGE, "How many tasks these workers run at once."),
    Metric("sweep_age_seconds", Kind.GAUGE, "Time since a worker last looked for what was lost."),
    Metric(
        "figures_age_seconds",
        Kind.GAUGE,
        "Time since a worker last counted. Above 60, the figures of features are left out.",
    ),
    Metric("redis_up", Kind.GAUGE, "1 if Redis answered this scrape, else 0."),
    Metric(
        "redis_script_calls", Kind.COUNTER, "Lua scripts that Redis ran since its start, for all its users."
    ),
    Metric(
        "redis_script_seconds",
        Kind.COUNTER,
        "Time that Redis spent in Lua scripts since its start, for all its users.",
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}
