"""The keys of a project, as `doctor` checks them."""

from __future__ import annotations

import pytest

from orchestrator.state.keys import TYPES, Keys

KINDS = {"Hash": "hash", "Sorted set": "zset", "Set": "set", "List": "list", "Stream": "stream"}
"""How a docstring begins → the Redis type. All others are strings."""


@pytest.mark.parametrize("name", [name for name, value in vars(Keys).items() if isinstance(value, property)])
def test_a_key_has_the_type_that_its_docstring_says(name: str) -> None:
    kind = str(getattr(Keys, name).__doc__).partition(":")[0]
    assert TYPES.get(name, "string") == KINDS.get(kind, "string")
