"""The metrics in Redis: what was counted, the figures of features, and what else a scrape reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from orchestrator.state import models, refusals, scripts
from orchestrator.state.chunks import chunks
from orchestrator.state.encoding import Place
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    from orchestrator.state.script_runner import ScriptRunner

ASKED_SECONDS = 3_600
"""Workers count for this long after the last scrape."""

FIGURES_SECONDS = 60
"""Figures of features are shown for this long after they were stored."""


@dataclass(frozen=True)
class Scrape:
    """The figures that a scrape reads from the state."""

    now: float
    """Seconds since the epoch, by the clock of Redis."""
    counts: Mapping[str, int]
    """As `metrics.tally.field` names them."""
    figures: Mapping[str, Any]
    """As `metrics.figures.total` makes them; empty if no worker has stored any lately."""
    stored: int
    """Features that are kept."""
    refused: Mapping[str, int]
    limits: Mapping[str, str]
    """The amount of each limit, as `limits.configured` gives it."""
    used: Mapping[str, int]
    swept: float | None
    """The moment of the last sweep for lost work: seconds since the epoch."""
    queues: Mapping[str, int]
    """Messages in each queue; empty if Redis is not the broker."""
    agents: Mapping[str, int]
    """What agents have used: "specialist model kind", with tabs, as usage.lua writes it."""
    models: Mapping[str, float]
    """Seconds until a model opens whose limit was reached."""
    scripts: tuple[int, float] | None
    """How many scripts Redis ran, and the seconds that they took; None if it does not say."""


class FigureScripts:
    """Counts events, and reads and writes the figures of metrics.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._client = runner.client
        self._keys = runner.keys

    def is_asked(self) -> bool:
        """Whether somebody has read the metrics within the last hour."""
        return bool(self._client.exists(self._keys.asked))

    def count(
        self, feature_id: str, cursors: str, before: str, after: str, counts: Mapping[str, int]
    ) -> bool:
        """Count what a feature's events say, once; False if another worker has counted them (see count_events.lua).

        Args:
            feature_id: The feature.
            cursors: The key of the cursors.
            before, after: The last event that was counted before, and after this.
            counts: By how much each field grows.
        """
        given = {"before": before, "after": after, "counts": json.dumps(counts)}
        scope = self._runner.scope(feature_id)
        (code,) = scripts.run(self._client, scope, Call("count_events", given, {"notified": cursors}))
        return bool(code == "counted")

    def of_features(self, feature_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The figures of each feature (see feature_figures.lua), without those that cannot be read."""
        found = {}
        for some in chunks(list(feature_ids)):
            found.update(
                {name: json.loads(text) for name, text in zip(some, self._read(some), strict=True) if text}
            )
        return found

    def _read(self, feature_ids: Sequence[str]) -> list[Any]:
        call = Call("feature_figures")
        try:
            return scripts.run_each(self._client, [(self._runner.scope(one), call) for one in feature_ids])
        except redis.ResponseError:  # a key of one of them has another type
            return [self._read_one(one) for one in feature_ids]

    def _read_one(self, feature_id: str) -> Any:
        try:
            return scripts.run(self._client, self._runner.scope(feature_id), Call("feature_figures"))[0]
        except redis.ResponseError as error:
            if refusals.code(error) != "WRONGTYPE":
                raise
            return None

    def begun(self, feature_id: str, task_id: str, attempt: int) -> tuple[float | None, str]:
        """The start of an attempt, if no later one has begun since, and the specialist of its task."""
        keys = self._keys.feature(feature_id)
        state = json.loads(str(self._client.hget(keys.states, task_id) or "{}"))
        place = self._client.hget(keys.plan, task_id)
        specialist = Place.parse(str(place)).specialist if place else ""
        is_latest = state.get("attempt") == attempt and "started" in state
        return state["started"] / 1000 if is_latest else None, specialist

    def store(self, figures: Mapping[str, Any]) -> None:
        """Store the figures of all features."""
        self._client.set(self._keys.figures, json.dumps(figures), ex=FIGURES_SECONDS)

    def scrape(self, queues: Iterable[str]) -> Scrape:
        """Read all that a scrape shows, and note that somebody reads it: then workers count.

        Args:
            queues: The queues to look at, where Redis is the broker.
        """
        broker = self._runner.queues
        names = sorted(set(queues)) if broker else []
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(self._keys.asked, 1, ex=ASKED_SECONDS)
        pipeline.time()
        pipeline.hgetall(self._keys.metrics)
        pipeline.get(self._keys.figures)
        pipeline.zcard(self._keys.features)
        pipeline.hgetall(self._keys.refused)
        pipeline.hgetall(self._keys.limits)
        pipeline.hgetall(self._keys.used)
        pipeline.hget(self._keys.swept, "looked")
        pipeline.hgetall(self._keys.usage_of_all)
        pipeline.hgetall(self._keys.models)
        if broker:
            for name in names:
                pipeline.llen(broker.key(name))
        (
            _,
            (seconds, micros),
            counts,
            figures,
            stored,
            refused,
            limits,
            used,
            looked,
            agents,
            at_limit,
            *lengths,
        ) = pipeline.execute()
        now = seconds + micros / 1e6
        return Scrape(
            now=now,
            counts=_numbers(counts),
            figures=json.loads(figures or "{}"),
            stored=stored,
            refused=_numbers(refused),
            limits=limits,
            used=_numbers(used),
            swept=int(looked) / 1000 if looked else None,
            queues=dict(zip(names, lengths, strict=True)),
            agents=_numbers(agents),
            models={one.model: one.opens for one in models.read(at_limit, now)},
            scripts=self._script_time(),
        )

    def _script_time(self) -> tuple[int, float] | None:
        try:
            ran = self._client.info("commandstats").get("cmdstat_evalsha", {"calls": 0, "usec": 0})
            return int(ran["calls"]), int(ran["usec"]) / 1e6
        except redis.ResponseError:  # not every provider gives the right to it
            return None


def _numbers(stored: Mapping[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in stored.items()}
