"""Notifications: which events match one, and an event as the message that is sent."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.model import sanitizer, words
from orchestrator.model.event import Event
from orchestrator.model.event_names import ALL, groups
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import FeatureEvent
from orchestrator.model.task import TaskStatus
from orchestrator.report.events import event_line


def matches(names: Iterable[str], event: Event) -> bool:
    """Whether a notification names the event: by its own name, by a group, or by `*`.

    Example:
        >>> matches(["failures"], Event(id="1-0", time=1.0, event="work_failed", task="T1"))
        True
    """
    return not {ALL, event.event, *groups(event)}.isdisjoint(names)


def message(feature_id: str, title: str, event: Event, task_title: str = "") -> dict[str, Any]:
    """An event as it is sent, ready for JSON.

    Args:
        feature_id: The feature; with the event's id it tells one event from every other.
        title: The feature's title.
        event: The event.
        task_title: The title of the event's task, if it has one.

    Example:
        >>> failed = Event(id="1-0", time=1.0, event="work_failed", task="T3", target="failed", cause="timeout")
        >>> told = message("login-1", "Login", failed, "Write tests")
        >>> told["text"], told["next"]
        ('Login: T3 Write tests: failed (timeout)', 'orchestrator retry login-1 T3')
    """
    name = f"{event.task} {task_title}" if task_title not in ("", event.task) else event.task
    return {
        "feature": feature_id,
        "title": sanitizer.as_line(title),
        "event": event.event,
        "task": event.task,
        "task_title": sanitizer.as_line(task_title),
        "batch": event.batch,
        "from": event.source,
        "to": event.target,
        "attempt": event.attempt,
        "cause": sanitizer.as_line(event.cause),
        "note": sanitizer.as_line(event.note),
        "time": datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds"),
        "id": event.id,
        "groups": list(groups(event)),
        "text": words.one_line(f"{title or feature_id}: {_said(name, event)}", most=500),
        "next": next_command(feature_id, event),
    }


def _said(name: str, event: Event) -> str:
    """An event as the log tells it, with its note; one that the log passes over, by its name."""
    line = event_line(event, name, size=event.total or 0)
    if line is None:
        happened = event.event.replace("_", " ")
        is_move = event.target and event.target != event.source
        line = (f"{name}: " if name else "") + happened + (f", {event.target}" if is_move else "")
    note = words.one_line(event.note)
    return f"{line}: {note}" if note and note not in line else line


def next_command(feature_id: str, event: Event) -> str:
    """The command to type if an event waits for a person, else "".

    Example:
        >>> next_command("login-1", Event(id="1-0", time=1.0, event="specialist_awaited", task="T9"))
        'orchestrator assign login-1 T9 SPECIALIST'
    """
    verb = _TASK_VERBS.get(event.target, "") if event.task else _FEATURE_VERBS.get(event.target, "")
    if event.event == "specialist_awaited":
        return f"orchestrator assign {feature_id} {event.task} SPECIALIST"
    if event.event == FeatureEvent.PERSON_AWAITED:
        verb = "launch" if event.cause == "launch" else "status"
    if event.event in (FeatureEvent.TASK_STOPPED, "batch_overdue"):
        verb = "status"
    return " ".join(filter(None, ("orchestrator", verb, feature_id, event.task))) if verb else ""


_TASK_VERBS: Mapping[str, str] = {
    TaskStatus.FAILED: "retry",
    TaskStatus.BLOCKED: "unblock",
    TaskStatus.IN_REVIEW: "approve",
}


_FEATURE_VERBS: Mapping[str, str] = {FeatureStatus.PENDING_REVIEW: "approve"}


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a webhook: HMAC-SHA-256 (RFC 2104) of the timestamp, a full stop, and the body.

    Example:
        >>> signature("key", "1700000000", b"{}")[:15]
        'sha256=9d713ed4'
    """
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
