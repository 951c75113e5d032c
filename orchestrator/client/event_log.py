"""The stored events of a feature, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle
    from orchestrator.model.event import Event


def read(handle: Handle, after: str = "") -> Iterator[Event]:
    """Every event of a feature after one, oldest first, and none that is still to come.

    Args:
        handle: The feature.
        after: The id of an event; "": from the oldest.

    Example:
        names = [event.event for event in event_log.read(handle)]
    """
    after = after or "-"
    while found := handle.events(after):
        yield from found
        after = found[-1].id
