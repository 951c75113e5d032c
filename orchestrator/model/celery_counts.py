"""How often Celery itself would run the tasks of a canvas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CeleryCounts:
    """The messages that Celery would send for a canvas if every task succeeded. Each runs its task once.

    Args:
        version: The version of Celery.
        messages: Messages, by the name of the task.
        is_whole: False: there are more. They were not counted.
        fault: Why Celery does not get to the end; "": it does.
    """

    version: str
    messages: Mapping[str, int] = field(default_factory=dict)
    is_whole: bool = True
    fault: str = ""

    @property
    def total(self) -> int:
        """All messages."""
        return sum(self.messages.values())
