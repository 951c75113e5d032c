"""The options of the parts of a canvas: how each message is sent, and who is called when a part has ended."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import canvas, maybe_signature

from orchestrator.model import errors
from orchestrator.model.typed_values import plain

OF_SENDING = {
    "add_to_parent", "argsrepr", "compression", "connection", "exchange", "group_id", "group_index", "ignore_result",
    "kwargsrepr", "parent_id", "producer", "reply_to", "result_cls", "retry", "retry_policy", "root_id", "router",
    "routing_key", "serializer", "shadow", "chord_size",
}  # fmt: skip
"""Options that change how a message travels, and not what it does: the engine sends its own messages."""


IDEMPOTENT = "idempotent"


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The options of a signature, and apart from them who is called when it has ended."""
    links = {name: _listed(options[name]) for name in ("link", "link_error") if options.get(name)}
    return {name: value for name, value in options.items() if name not in ("link", "link_error")}, links


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def warn_of_first(members: Sequence[Any]) -> None:
    """Warn where a callback of the first of a group may have been meant for all of it: `group.link` leaves no more."""
    if len(members) < 2 or isinstance(members[0], canvas.group):
        return
    first, *others = (split(member.options)[1].get("link") or [] for member in members)
    for callback in first:
        if callback.get("immutable") and not any(callback in links for links in others):
            warnings.warn(
                f"{callback['task']} is called after {shown(members[0])} alone, the first of a group. Celery's "
                "group.link puts a callback there (celery#4281); write chain(group, callback) for one after all of it",
                stacklevel=2,
            )


def errbacks(links: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The errbacks among the links that `split` has found."""
    return [_errback(signature) for signature in links.get("link_error") or ()]


def errbacks_of(body: Any, given: Iterable[Mapping[str, Any]] = ()) -> Iterator[dict[str, Any]]:
    """The errbacks of a chord's body that cannot run: as in Celery, for each task of a body that is a group.

    Args:
        body: The body.
        given: More errbacks, beside its own.
    """
    mine = [*errbacks(split(body.options)[1]), *map(dict, given)]
    match body:
        case canvas.group():
            for member in body.tasks:
                yield from errbacks_of(maybe_signature(member), mine)
        case canvas.chord():
            yield from errbacks_of(maybe_signature(body.body), mine)
        case _:
            yield from mine


def _errback(signature: Any) -> dict[str, Any]:
    kind = signature.get("subtask_type")
    kept = {
        name: value for name, value in signature["options"].items() if kind or name in ("queue", "priority")
    }
    return {
        "call": signature["task"],
        "args": plain(list(signature["args"])),
        "kwargs": plain(dict(signature["kwargs"])),
        "immutable": bool(signature["immutable"]),
        "options": plain(kept),
        "kind": kind,
    }


def call_options(options: Mapping[str, Any], signature: Any) -> dict[str, Any]:
    """The options of a call. Moments are counted from now.

    Raises:
        NotAFeature: An option cannot be carried over.
    """
    found: dict[str, Any] = {}
    headers = dict(options.get("headers") or {})
    stamps = options.get("stamped_headers") or ()
    for name, value in options.items():
        if value is None or name in OF_SENDING or name in ("headers", "chord", "chain"):
            continue
        match name:
            case "queue" | "priority" | "countdown" | "task_id":
                found[name] = str(getattr(value, "name", value)) if name == "queue" else value
            case "eta" | "expires":
                found[name] = _moment(value)
            case "time_limit" | "soft_time_limit" | "stamped_headers":
                pass
            case _ if name in stamps:
                headers[name] = plain(value)
            case _:
                raise errors.NotAFeature(
                    canvas=shown(signature),
                    cause=f"{signature.task} has the option {name}, which is not carried over",
                )
    if stamps:
        headers["stamped_headers"] = plain(list(stamps))
    return {**found, "headers": plain(headers)} if headers else found


def is_idempotent(options: Mapping[str, Any], task: Any) -> bool:
    """Whether a task may run again where an attempt is lost: the header `idempotent`, else the task's attribute.

    Celery passes headers of any name on, and a task has any attribute that its decorator is given.

    Example:
        >>> is_idempotent({"headers": {"idempotent": False}}, None)
        False
    """
    headers = options.get("headers") or {}
    return bool(headers.get(IDEMPOTENT, getattr(task, IDEMPOTENT, True)))


def limit(options: Mapping[str, Any]) -> float | None:
    """The time limit: the soft one, by which Celery's task is interrupted first."""
    limits = [options[name] for name in ("soft_time_limit", "time_limit") if options.get(name)]
    return min(limits) if limits else None


def _moment(value: Any) -> float:
    """A moment as Celery takes it: a datetime, or seconds from now."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return (datetime.now(UTC) + timedelta(seconds=float(value))).timestamp()


def shown(signature: Any) -> str:
    """A part of a canvas as Celery writes it, on one line and cut."""
    return " ".join(str(signature).split())[:200]
