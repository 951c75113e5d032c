"""The store of these tests is on a Redis server."""

from __future__ import annotations

from tests.state.conftest import store

__all__ = ["store"]
