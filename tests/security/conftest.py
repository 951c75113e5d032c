"""The queue of a worker, for tests of what may lie in it."""

from __future__ import annotations

from tests.engine.test_consumer import bench

__all__ = ["bench"]
