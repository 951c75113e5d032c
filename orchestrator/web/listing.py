"""A page of the list of features: newest first, found by a text, a status or a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from orchestrator.contract.feature_answers import FeaturesAnswer
from orchestrator.report import json_features

if TYPE_CHECKING:
    from orchestrator.client.client import Client

LIMIT = 50
MOST = 500


class Asked(NamedTuple):
    """Which features are asked for."""

    text: str = ""
    """In the id or the title."""
    status: str = ""
    tag: str = ""
    after: str = ""
    """The last feature of the page before."""
    limit: int = LIMIT

    def next_page(self, after: str) -> str:
        """The query of the page after this one.

        Example:
            >>> Asked(text="log in").next_page("auth-1")
            'q=log+in&after=auth-1'
        """
        given = {"q": self.text, "status": self.status, "tag": self.tag, "after": after}
        return urlencode({name: value for name, value in given.items() if value})


def features(client: Client, asked: Asked) -> FeaturesAnswer:
    """The features that are asked for."""
    found = client.overview(asked.limit)
    return FeaturesAnswer(features=tuple(json_features.feature_line(one) for one in found))
