"""The store of these tests is on the fake, then on each Redis server of this machine."""

from __future__ import annotations

from tests.state.conftest import store

__all__ = ["store"]
