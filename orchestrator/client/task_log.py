"""The output of a task's attempt: from its file if that is on this machine, else the end of it that Redis keeps."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.model.sanitizer import as_text
from orchestrator.specialists import masking
from orchestrator.state import tails

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle


class Part(NamedTuple):
    """A part of an attempt's output."""

    attempt: int
    end: int
    """How many bytes of the output there are up to here."""
    text: str


NOTHING = Part(0, 0, "")


def news(client: Client, handle: Handle, task_id: str, before: Part, most: int) -> Part | None:
    """The output that the last attempt has added since a look at it; None: nothing.

    Args:
        client: Brings the settings and the store.
        handle: The feature.
        task_id: The task.
        before: The part that was seen last; `NOTHING` at first.
        most: The most bytes. Where more were added, only the last of them are in the answer.

    Raises:
        NoSuchTask: The feature has no such task.
    """
    attempt = client.store.tasks.state(handle.id, task_id).attempt
    found = None
    with contextlib.suppress(OSError):
        secrets = masking.all_secret_texts(client.settings)
        file = tails.log_file(client.settings, handle.id, task_id, attempt)
        found = tails.read(file, attempt, secrets, most)
    if found is None:
        found = client.store.events.tail(handle.id, task_id)
    if found is None or found.attempt != attempt:
        last = handle.outcome(task_id) if before.attempt != attempt else None
        tail = as_text(last.tail) if last is not None else ""
        return Part(attempt, len(tail.encode()), tail) if tail else None
    seen = before.end if before.attempt == attempt else 0
    if found.end <= seen:
        return None
    return Part(attempt, found.end, as_text(found.data[-(found.end - seen) :].decode("utf-8", "replace")))


def end(client: Client, handle: Handle, task_id: str) -> str:
    """The end of the last attempt's output.

    Raises:
        NoSuchTask: The feature has no such task.
    """
    found = news(client, handle, task_id, NOTHING, client.settings.limits.tail)
    return found.text if found else ""
