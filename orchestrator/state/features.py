"""Reads features: their lists, summaries, heads, batches."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import redis

from orchestrator.model import errors
from orchestrator.model.progress import Progress, Unreadable
from orchestrator.planning import sketch
from orchestrator.planning.sketch import Sketch
from orchestrator.state import encoding, progress_encoding, schema
from orchestrator.state.chunks import CHUNK
from orchestrator.state.script_runner import ScriptRunner, readable, reads_feature
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    from orchestrator.model.feature import Feature
    from orchestrator.model.plan import Route

FEW_FIELDS = 100
"""How many fields of a large hash are read by name; for more, the whole hash is read."""


class FeatureReader:
    """Reads features as a whole, and lists of them.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def minimum(self) -> int:
        """The oldest schema whose workers may work under this prefix; 0 if none is required."""
        return schema.number(self._runner.client.get(self._runner.keys.minimum), nothing=0)

    def newer(self) -> list[str]:
        """The ids of the active features that newer versions wrote."""
        active = self.active()
        pipeline = self._runner.client.pipeline(transaction=False)
        for feature in active:
            pipeline.hget(self._runner.keys.feature(feature).meta, "schema")
        written = pipeline.execute() if active else []
        numbers = map(schema.number, written)
        return [feature for feature, number in zip(active, numbers, strict=True) if number > schema.VERSION]

    def newest(self, newest: int = 50) -> list[str]:
        """The ids of the newest features, newest first."""
        return [
            str(feature)
            for feature in self._runner.client.zrevrange(self._runner.keys.features, 0, newest - 1)
        ]

    def active(self) -> list[str]:
        """The ids of the features that are not over."""
        return sorted(map(str, self._runner.client.smembers(self._runner.keys.active)))

    def finished(self, older_than: float, most: int, start: int = 0) -> list[str]:
        """Ids of features that have been over for `older_than` seconds, oldest first: `most` at most, from `start`."""
        seconds, micros = self._runner.client.time()
        until = seconds * 1000 + micros // 1000 - round(older_than * 1000)
        return [
            str(one)
            for one in self._runner.client.zrangebyscore(
                self._runner.keys.finished, "-inf", until, start, most
            )
        ]

    def starting_with(self, beginning: str) -> list[str]:
        """The feature ids that begin with a text."""
        pattern = re.sub(r"([*?\[\]\\^])", r"\\1", beginning) + "*"
        found = self._runner.client.zscan_iter(self._runner.keys.features, match=pattern, count=CHUNK)
        return sorted(str(feature) for feature, _ in found)

    def exists(self, feature_id: str) -> bool:
        """Whether there is a feature of this id."""
        return bool(self._runner.client.exists(self._runner.keys.feature(feature_id).meta))

    def summary(self, feature_id: str) -> Progress:
        """How far a feature is. The cost does not depend on its size.

        Raises:
            NoSuchFeature: There is none of this id.
            UnreadableFeature: It cannot be read; NewerFeature: a newer version wrote it.
        """
        with readable(feature_id):
            (answer,) = self._runner.run_on(feature_id, Call("feature_summary"), ends=True)
            if answer is None:
                raise errors.NoSuchFeature(feature=feature_id)
            return progress_encoding.parse_progress(feature_id, json.loads(answer))

    def overview(self, feature_ids: Iterable[str]) -> list[Progress | Unreadable]:
        """How far features are, in the given order. One that cannot be read does not hide the others."""
        found: list[Progress | Unreadable] = []
        for feature_id in feature_ids:
            try:
                found.append(self.summary(feature_id))
            except errors.NoSuchFeature:  # it was deleted meanwhile
                continue
            except errors.UnreadableFeature as error:
                found.append(self._unreadable(feature_id, error))
        return found

    def _unreadable(self, feature_id: str, error: errors.UnreadableFeature) -> Unreadable:
        reason = str(error).splitlines()[0]
        if isinstance(error, errors.NewerFeature):
            reason = f"a newer version wrote it (schema {error.schema}; this one reads up to {error.known})"
        title = status = None
        with contextlib.suppress(redis.ResponseError):  # its meta is not a hash
            title, status = self._runner.client.hmget(
                self._runner.keys.feature(feature_id).meta, ["title", "status"]
            )
        return Unreadable(id=feature_id, title=title or "", status=status or "", unreadable=reason)

    @reads_feature
    def head(self, feature_id: str) -> dict[str, Any]:
        """The feature without its tasks: id, title, description, tags.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        head = self._runner.client.hget(self._runner.keys.feature(feature_id).meta, "head")
        if head is None:
            raise errors.NoSuchFeature(feature=feature_id)
        return encoding.parse_head(head)

    @reads_feature
    def result(self, feature_id: str) -> Any:
        """The result that the feature declares: a value with references to results of tasks; None: it declares none."""
        found = self._runner.client.hget(self._runner.keys.feature(feature_id).meta, "result")
        return json.loads(str(found)) if found else None

    @reads_feature
    def transitions(self, feature_id: str) -> Mapping[str, Mapping[str, str]]:
        """The flow of a feature: for each event, where it leads from each status that allows it."""
        fields = ["transitions", "table"]
        transitions, table = self._runner.client.hmget(self._runner.keys.feature(feature_id).meta, fields)
        return encoding.parse_transitions(str(transitions or table or ""))

    def content(self, feature_id: str) -> dict[str, str] | None:
        """The content that was enqueued under an idempotency key; None if that is not known."""
        found = self._runner.client.hget(self._runner.keys.feature(feature_id).meta, "content")
        return dict(json.loads(found)) if found else None

    def durations(self, title: str, specialists: Mapping[str, str]) -> dict[str, Sketch]:
        """How long tasks took in features with the same title; a task that was never completed is left out.

        Args:
            title: The title.
            specialists: The specialist of each task; durations of other specialists do not count.
        """
        key = self._runner.keys.durations(title)
        fields = [f"{specialist} {task}" for task, specialist in specialists.items()]
        if len(fields) <= FEW_FIELDS:
            found = self._runner.client.hmget(key, fields) if fields else []
        else:
            known = self._runner.client.hgetall(key)
            found = [known.get(field) for field in fields]
        return {task: Sketch.parse(str(text)) for task, text in zip(specialists, found, strict=True) if text}

    def learned(self, feature: Feature, routes: Mapping[str, Route]) -> dict[str, float]:
        """The usual seconds of each task that has no estimate but was completed in earlier features."""
        unknown = {task.id: routes[task.id].specialist for task in feature.tasks if task.estimate is None}
        return sketch.medians(self.durations(feature.title, unknown)) if unknown else {}

    @reads_feature
    def batch_sizes(self, feature_id: str) -> dict[int, int]:
        """How many tasks each batch has, by its number."""
        described: Any = self._runner.client.hgetall(self._runner.keys.feature(feature_id).batches)
        return {int(number): len(json.loads(found)["tasks"]) for number, found in described.items()}

    @reads_feature
    def batch(self, feature_id: str, number: int) -> list[str]:
        """The ids of the tasks of one batch, in launch order; empty if there is no such batch."""
        found = self._runner.client.hget(self._runner.keys.feature(feature_id).batches, str(number))
        return list(json.loads(found)["tasks"]) if found else []
