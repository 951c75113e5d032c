"""A page of the list of features: newest first, found by a text, a status or a tag."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from orchestrator.contract.feature_answers import FeaturesAnswer
from orchestrator.model.progress import Progress
from orchestrator.report import json_features

if TYPE_CHECKING:
    from orchestrator.client.client import Client

LIMIT = 50
MOST = 500


class Asked(NamedTuple):
    """The features that a list is asked for."""

    text: str = ""
    """In the id or the title."""
    status: str = ""
    tag: str = ""
    after: str = ""
    """The cursor at which the page before ended."""
    limit: int = LIMIT

    def next_page(self, after: str) -> str:
        """The query of the page after this one.

        Example:
            >>> Asked(text="log in").next_page("12:auth")
            'q=log+in&after=12%3Aauth'
        """
        given = {"q": self.text, "status": self.status, "tag": self.tag, "after": after}
        return urlencode({name: value for name, value in given.items() if value})


def features(client: Client, asked: Asked) -> FeaturesAnswer:
    """A page of the features that are asked for.

    Raises:
        BadCursor: `after` is not where a page ended.
    """
    page = client.store.index.find(
        status=asked.status, tag=asked.tag, text=asked.text.strip(), after=asked.after, limit=asked.limit
    )
    found, now = client.store.features.overview(page.features), time.time()
    there = {one.id for one in found}
    elsewhere = [one.id for one in found if isinstance(one, Progress) and one.status != asked.status]
    # A worker of an older version does not keep the index.
    stale = [*(one for one in page.features if one not in there), *(elsewhere if asked.status else ())]
    client.store.index.update(stale)
    lines = [json_features.feature_line(one, now) for one in found if one.id not in stale]
    return FeaturesAnswer(features=tuple(lines), after=page.after)
