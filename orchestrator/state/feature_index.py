"""The index of features: which there are of a status, with a tag, with a text in their id or title, newest first."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.state.chunks import CHUNK
from orchestrator.state.scripts import Call

if TYPE_CHECKING:
    from orchestrator.state.script_runner import ScriptRunner

LOOKED_AT = 1_000
"""The most features that one script looks at: it takes a few milliseconds, and others wait meanwhile."""

CHECK_SECONDS = 60.0
"""Between two checks that the index is complete."""

_CURSOR = re.compile(r"(\d{1,18}:.{1,200})?")


class Found(NamedTuple):
    """A page of features."""

    features: Sequence[str]
    """Their ids."""
    after: str
    """The cursor of the next page; "": there is none."""


class FeatureIndex:
    """Finds features without reading them all.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._checked = float("-inf")

    def find(
        self, *, status: str = "", tag: str = "", text: str = "", after: str = "", limit: int = 50
    ) -> Found:
        """A page of features, newest first.

        Args:
            status: Only those in this status.
            tag: Only those with this tag.
            text: Only those with this text in their id or title, in small or capital letters.
            after: Where the page before ended.
            limit: The most features of the page.

        Raises:
            BadCursor: `after` is not where a page ended.
        """
        if not _CURSOR.fullmatch(after):
            raise errors.BadCursor(cursor=after)
        if status or tag:
            self.complete()
        found: list[str] = []
        small = _small(text)
        while True:
            given = {"status": status, "tag": tag, "text": small, "after": after}
            given |= {"limit": str(limit - len(found)), "most": str(LOOKED_AT)}
            part, after = self._runner.run(Call("find_features", given))
            found += map(str, part)
            if not after or len(found) >= limit:
                return Found(found, str(after))

    def complete(self) -> None:
        """Put features into the index that are in none of its statuses: an older version enqueued or changed them."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        keys = self._runner.keys
        pipeline = self._runner.client.pipeline(transaction=True)
        pipeline.zcard(keys.features)
        for status in FeatureStatus:
            pipeline.zcard(keys.by_status(status))
        total, *indexed = pipeline.execute()
        if total == sum(indexed):
            return
        for start in range(0, total, CHUNK):
            self.update(map(str, self._runner.client.zrange(keys.features, start, start + CHUNK - 1)))

    def update(self, features: Iterable[str]) -> None:
        """Put features into the index as they stand now, or out of it."""
        ids = list(features)
        given: dict[str, Any] = {"features": json.dumps(ids), "statuses": json.dumps(list(FeatureStatus))}
        if ids:
            self._runner.run(Call("index_features", given))


def _small(text: str) -> str:
    """A text with small letters for those of ASCII, as Lua writes them."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)
