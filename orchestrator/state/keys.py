"""The names of all Redis keys. The keys of a feature share its hash tag, so they live on one node."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

TYPES: Mapping[str, str] = {
    **dict.fromkeys(("meta", "tasks", "plan", "batches", "states", "counts", "waits", "dependents"), "hash"),
    **dict.fromkeys(("waiting", "outcomes", "limits", "used", "last_started", "arrival_times"), "hash"),
    **dict.fromkeys(("swept", "refused", "metrics", "usage_of_all"), "hash"),
    **dict.fromkeys(
        ("workers", "tails", "replaced", "durations", "agents", "usage", "models", "reserved"), "hash"
    ),
    **dict.fromkeys(("ready", "slots", "delayed", "features", "finished", "due", "offered"), "zset"),
    **dict.fromkeys(("active", "unassigned"), "set"),
    **dict.fromkeys(("dependency_updates", "released"), "list"),
    **dict.fromkeys(
        ("sweeper", "configured", "turn", "taken", "replicated", "gone", "identity", "minimum"), "string"
    ),
    "events": "stream",
}
"""The Redis type of each key (the answer to TYPE), by its name here."""

RARE = ("delayed", "unassigned", "dependency_updates", "released", "waiting", "limits")
"""Keys that most features do not have most of the time, so that scripts look whether there is any of them."""

OF_DATAFLOW = ("waits", "dependents")
"""Keys that all features with this strategy have, and others where a canvas has replaced a task."""

BEFORE_SCHEMA_4: Mapping[str, str] = {"released": "freed", "dependency_updates": "resolved"}
"""The names that keys of a feature had before schema 4. Features of older schemas still use them."""


def part_of(name: str) -> str:
    """A name as it stands in a key.

    Example:
        >>> part_of("dependency_updates")
        'dependency-updates'
    """
    return name.replace("_", "-")


@dataclass(frozen=True)
class FeatureKeys:
    """The keys of one feature."""

    prefix: str
    feature: str

    def part(self, part: str) -> str:
        """The key with this last part."""
        return f"{self.prefix}:{{{self.feature}}}:{part}"

    @property
    def meta(self) -> str:
        """Hash: schema, title, status, cap, current batch, times."""
        return self.part("meta")

    @property
    def tasks(self) -> str:
        """Hash: task id → the task as it was enqueued, JSON."""
        return self.part("tasks")

    @property
    def plan(self) -> str:
        """Hash: task id → "rank:batch:specialist": its place in the launch order, and its specialist ("": none yet)."""
        return self.part("plan")

    @property
    def batches(self) -> str:
        """Hash: batch number → its task ids in launch order and its expected seconds, JSON."""
        return self.part("batches")

    @property
    def states(self) -> str:
        """Hash: task id → status, attempt, times, JSON. A task without an entry is pending, never launched."""
        return self.part("states")

    @property
    def counts(self) -> str:
        """Hash: "status" → tasks of the feature in it; "batch:status" → tasks of that batch in it."""
        return self.part("counts")

    @property
    def ready(self) -> str:
        """Sorted set: tasks that wait for nothing but a slot, by launch order."""
        return self.part("ready")

    @property
    def waits(self) -> str:
        """Hash, `OF_DATAFLOW`: task id → how many of its dependencies are unresolved; removed when none is."""
        return self.part("waits")

    @property
    def dependents(self) -> str:
        """Hash, `OF_DATAFLOW`: task id → the tasks that depend on it, JSON."""
        return self.part("dependents")

    @property
    def dependency_updates(self) -> str:
        """List, with `OF_DATAFLOW`: "+task" for a task that was resolved, "-task" for one that is so no longer."""
        return self.part("dependency-updates")

    @property
    def waiting(self) -> str:
        """Hash: class of tasks → "limit turn": the limit that it waits for, and its turn (see wait_queue.lua)."""
        return self.part("waiting")

    def waiting_of(self, kind: str) -> str:
        """Sorted set: the tasks of a class that wait for its limit, by launch order. They are not in `ready`."""
        return f"{self.waiting}:{kind}"

    @property
    def released(self) -> str:
        """List: [task, {limit: units}] of attempts that ended, to be given back, JSON."""
        return self.part("released")

    @property
    def unassigned(self) -> str:
        """Set: tasks that wait for a specialist: their turn has come, and they have none."""
        return self.part("unassigned")

    @property
    def slots(self) -> str:
        """Sorted set: launched, unfinished tasks. Score: minus the moment of the launch in ms until the attempt starts;
        then the end of its lease.
        """
        return self.part("slots")

    @property
    def delayed(self) -> str:
        """Sorted set: tasks that wait for a retry, by the moment it is due in ms."""
        return self.part("delayed")

    @property
    def outcomes(self) -> str:
        """Hash: task id → outcome of its last attempt, JSON."""
        return self.part("outcomes")

    @property
    def events(self) -> str:
        """Stream: every transition, oldest first, trimmed."""
        return self.part("events")

    @property
    def tails(self) -> str:
        """Hash: task → the end of the output of its running attempt (see save_log_tail.lua)."""
        return self.part("tails")

    @property
    def agents(self) -> str:
        """Hash: "session task" → the conversation of its agent, JSON; "earlier task" → its attempts before, a JSON
        list of JSON texts.
        """
        return self.part("agents")

    @property
    def usage(self) -> str:
        """Hash: "attempt:task" → what an agent has used, by model, JSON; "spent task", "tokens task", "spent": sums."""
        return self.part("usage")

    @property
    def gone(self) -> str:
        """Number: how many of the oldest events were trimmed (see prelude.lua)."""
        return f"{self.events}:gone"

    def staged(self, token: str) -> FeatureKeys:
        """The keys under which a feature is written before it becomes visible; `token` tells writers apart."""
        return FeatureKeys(f"{self.prefix}:staged:{token}", self.feature)

    def all(self) -> tuple[str, ...]:
        """Every key of the feature."""
        return tuple(str(getattr(self, name)) for name in OF_FEATURE)

    def parts(self) -> list[str]:
        """The last parts of all its keys, including those of older schemas."""
        return [key.removeprefix(self.part("")) for key in self.all()] + list(BEFORE_SCHEMA_4.values())


OF_FEATURE = tuple(name for name, value in vars(FeatureKeys).items() if isinstance(value, property))
"""The names of the keys of a feature."""


@dataclass(frozen=True)
class Keys:
    """The keys under one prefix.

    Example:
        >>> Keys("to").feature("auth").meta
        'to:{auth}:meta'
    """

    prefix: str = "to"

    def feature(self, feature: str) -> FeatureKeys:
        """The keys of one feature."""
        return FeatureKeys(self.prefix, feature)

    def celery(self) -> str:
        """The prefix of all keys and channels of Celery and kombu: queues, bindings, events, control, results."""
        return f"{self.prefix}:celery:"

    def queue(self, name: str) -> str:
        """List: the messages of a queue, if this Redis is the broker."""
        return f"{self.celery()}{name}"

    def control(self, database: int) -> str:
        """Channel: Celery's remote control, if this Redis is the broker."""
        return f"{self.celery()}/{database}.celery.pidbox"

    @property
    def identity(self) -> str:
        """String: a random name of this state. The marks in folders on workers' machines contain it."""
        return f"{self.prefix}:identity"

    @property
    def features(self) -> str:
        """Sorted set: every feature, by the moment of its enqueue in ms."""
        return f"{self.prefix}:features"

    def by_status(self, status: str) -> str:
        """Sorted set: the features in a status, by the moment of their enqueue in ms."""
        return f"{self.prefix}:by-status:{status}"

    def by_tag(self, tag: str) -> str:
        """Sorted set: the features with a tag, by the moment of their enqueue in ms."""
        return f"{self.prefix}:by-tag:{tag}"

    @property
    def active(self) -> str:
        """Set: features that are not over."""
        return f"{self.prefix}:active"

    @property
    def finished(self) -> str:
        """Sorted set: features that are over, by the moment of their end in ms."""
        return f"{self.prefix}:finished"

    @property
    def sweeper(self) -> str:
        """String: the worker that sweeps, with an expiry."""
        return f"{self.prefix}:sweeper"

    @property
    def sweeper_schema(self) -> str:
        """String: the schema that the sweeping worker knows, with the same expiry; a worker of schema 1 stores none."""
        return f"{self.prefix}:sweeper:schema"

    @property
    def minimum(self) -> str:
        """String: the oldest schema whose workers may work under this prefix (see schema.py)."""
        return f"{self.prefix}:minimum"

    @property
    def workers(self) -> str:
        """Hash: start of a worker → its last announcement (see workers.py), JSON."""
        return f"{self.prefix}:workers"

    @property
    def swept(self) -> str:
        """Hash: "looked": the moment of the last sweep; "patient": until when sweeps take nothing back; both in ms."""
        return f"{self.prefix}:swept"

    @property
    def last_started(self) -> str:
        """Hash: specialist → the launch time, in ms, of the attempt that its workers started last."""
        return f"{self.prefix}:last-started"

    def offered(self, specialist: str) -> str:
        """Sorted set: "feature task attempt" of tasks that wait for an agent, by launch order (see offers.py)."""
        return f"{self.prefix}:offered:{specialist}"

    @property
    def offers(self) -> str:
        """Number: how many tasks were offered so far."""
        return f"{self.prefix}:offers"

    @property
    def limits(self) -> str:
        """Hash: limit → its amount now: units, or "ms burst" of a rate (see limits.py)."""
        return f"{self.prefix}:limits"

    @property
    def configured(self) -> str:
        """String: the limits as they were configured last, JSON."""
        return f"{self.prefix}:configured"

    @property
    def used(self) -> str:
        """Hash: limit → units in use."""
        return f"{self.prefix}:used"

    def holders(self, limit: str) -> str:
        """Hash: "feature:task" → the units of a limit that it holds."""
        return f"{self.prefix}:holders:{limit}"

    def waiting(self, limit: str) -> str:
        """Sorted set: "feature class" that wait for a limit, by priority, then by turn."""
        return f"{self.prefix}:waiting:{limit}"

    @property
    def turn(self) -> str:
        """Number: the last turn that was given out."""
        return f"{self.prefix}:turn"

    @property
    def arrival_times(self) -> str:
        """Hash: rate → its theoretical arrival time (of the algorithm GCRA): the moment in ms at which it has all its
        tokens again; "start:specialist" → that of a specialist's starts.
        """
        return f"{self.prefix}:arrival-times"

    @property
    def due(self) -> str:
        """Sorted set: rates that tasks wait for, by the moment of their next token in ms; "retry:feature", by the
        moment of its next retry.
        """
        return f"{self.prefix}:due"

    @property
    def wake(self) -> str:
        """Channel: wakes the sweeping worker when a new token or retry is due before all others."""
        return f"{self.prefix}:wake"

    @property
    def replicated(self) -> str:
        """String: a mark that is written last, so that WAIT has a write to wait for."""
        return f"{self.prefix}:replicated"

    @property
    def refused(self) -> str:
        """Hash: reason → how many messages workers refused for it (see message_validation.py)."""
        return f"{self.prefix}:refused"

    @property
    def metrics(self) -> str:
        """Hash: a metric with its labels → how much was counted (see metrics/tally.py)."""
        return f"{self.prefix}:metrics"

    @property
    def figures(self) -> str:
        """String: the figures of all features that are not over, JSON, with an expiry (see metrics/figures.py)."""
        return f"{self.prefix}:metrics:figures"

    @property
    def asked(self) -> str:
        """String: exists while somebody reads the metrics: else no worker counts."""
        return f"{self.prefix}:metrics:asked"

    @property
    def models(self) -> str:
        """Hash: model → when its limit opens, and for how many attempts, JSON (see model_limit.lua)."""
        return f"{self.prefix}:models"

    def at_work(self, model: str) -> str:
        """Sorted set: attempts that work with a model, by the moment in ms at which they began."""
        return f"{self.prefix}:model:{model}"

    @property
    def reserved(self) -> str:
        """Hash: "feature:task" → "attempt amount", what is kept of budgets for attempts that run (see reserve.lua)."""
        return f"{self.prefix}:reserved"

    def usage_of_day(self, day: int) -> str:
        """Hash: "specialist model kind", with tabs → what agents have used on a day (days since 1970, UTC); "spent"."""
        return f"{self.prefix}:usage:{day}"

    @property
    def usage_of_all(self) -> str:
        """Hash: as `usage_of_day`, of all days, for metrics."""
        return f"{self.prefix}:usage:all"

    def taken(self, process: str) -> str:
        """String: "delivery queue", and the message that a process took last, with an expiry (see take_next.lua)."""
        return f"{self.prefix}:taken:{process}"

    def nonce(self, nonce: str) -> str:
        """String: exists while a signed canvas message that was taken once could come again."""
        return f"{self.prefix}:nonce:{nonce}"

    @property
    def replaced(self) -> str:
        """Hash: worker → how many of its processes were replaced because they hung (see watchdog.py)."""
        return f"{self.prefix}:replaced"

    def notified(self, notification: str) -> str:
        """Hash: feature → the last event that the notification sent; "@seen" → how far it has read `features` (ms)."""
        return f"{self.prefix}:notified:{notification}"

    def durations(self, title: str) -> str:
        """Hash: "specialist task" → how long the task took in features of this title (see attempts.lua)."""
        return f"{self.prefix}:{{{_digest(title)}}}:durations"

    def draft(self, name: str) -> str:
        """String: the fields of a feature that was planned and not enqueued, JSON, with an expiry (see drafts.py)."""
        return f"{self.prefix}:draft:{name}"

    def idempotency(self, key: str) -> str:
        """String: the feature that an idempotency key stands for."""
        return f"{self.prefix}:idempotency:{key}"


@functools.lru_cache(maxsize=256)  # every attempt asks
def _digest(title: str) -> str:
    return hashlib.sha256(title.encode()).hexdigest()[:32]
