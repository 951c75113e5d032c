"""What the tests of the shell use, here too."""

from __future__ import annotations

from tests.shell.conftest import store
from tests.shell.test_consumer import bench

__all__ = ["bench", "store"]
