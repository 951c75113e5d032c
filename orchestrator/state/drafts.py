"""Drafts: features that were planned and not enqueued, kept for a day, so that a caller sends a feature once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors

if TYPE_CHECKING:
    from orchestrator.state.store import Store

KEPT = 86_400
"""Seconds that a draft is kept after it was planned last."""

DIGITS = 10
"""Characters of the hash that name a draft."""


def keep(store: Store, fields: Mapping[str, Any]) -> str:
    """Keep the fields of a feature. Equal fields have one draft.

    Args:
        store: Where.
        fields: As a feature file has them.

    Returns:
        The draft's name: a hash of the fields.
    """
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    name = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    store.client.set(store.keys.draft(name), text, ex=KEPT)
    return name


def find(store: Store, name: str) -> dict[str, Any]:
    """The fields of a draft.

    Raises:
        NoSuchDraft: There is none of this name, or it is older than a day.
    """
    text = store.client.get(store.keys.draft(name))
    if text is None:
        raise errors.NoSuchDraft(draft=name)
    fields: dict[str, Any] = json.loads(str(text))
    return fields
