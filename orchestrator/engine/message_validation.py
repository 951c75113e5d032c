"""Validates messages before a worker takes them: anybody who can write to a queue may have sent one.

Our messages hold little, and all of it is checked: the arguments, the id that is made of them, and the headers, which
must ask for nothing more. A refusal quotes at most a few letters of the message, with everything unusual escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.model import identifiers

MOST_ATTEMPTS = 1_000_000_000
LONGEST_HEADER = 8_192
"""Characters. A `baggage` header may have as many (W3C Baggage, 3.3.2)."""

LONGEST_SHOWN = 1_000
MOST_IN_HEADER = 50
DEEPEST_HEADER = 4

CELERYS_OWN = "celery."
"""The names of Celery's own tasks begin so. Some run a task that their arguments name (celery.starmap), and one repeats
itself for ever (celery.chord_unlock). A chain of groups on Redis sends none of them.
"""

ASKS_FOR_MORE = ("eta", "expires", "shadow", "reply_to", "stamps", "stamped_headers")
"""Headers that ask for a delay, another name or an answer. A launch has none of them."""

FOLLOWS = ("link", "link_error", "chord", "chain")
"""The options of a signature that hold other signatures."""

MEMBERS = ("tasks", "header", "body")
"""The arguments of a group or chord that hold other signatures."""

KOMBUS_OWN = ("unacked", "celery-task", "celeryev")
"""The names of keys that kombu and Celery keep beside the queues begin so."""

SHOWN = ("argsrepr", "kwargsrepr")
"""The headers that say how logs and monitors show the arguments."""


class Reason(StrEnum):
    """Why a message was refused. `Keys.refused` counts each."""

    MALFORMED = "malformed"
    CONTENT_TYPE = "content-type"
    UNSIGNED = "unsigned"
    HEADERS = "headers"
    UNKNOWN_TASK = "unknown-task"
    ARGUMENTS = "arguments"
    UNKNOWN_FEATURE = "unknown-feature"
    MISPLACED = "misplaced"
    REPEATED = "repeated"
    CANVAS = "canvas"
    NEWER = "newer"


class Refusal(NamedTuple):
    """A refused message: the reason, and a text for the log."""

    reason: Reason
    text: str


def quoted(value: object) -> str:
    """A value for a log line: a short quoted text with everything unusual escaped, or the name of its type.

    Example:
        >>> quoted("a\\n\\x1b[31m"), quoted([1, 2])
        ("'a\\\\n\\\\x1b[31m'", 'a list')
    """
    if isinstance(value, str):
        return ascii(value if len(value) <= 40 else value[:39] + "…")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**20):
        return str(value)
    return f"a {type(value).__name__}"


def check_name(headers: Mapping[str, Any], known: Collection[str]) -> Refusal | None:
    """Refuse a message whose task this worker does not know."""
    name = headers.get("task")
    if not isinstance(name, str):
        return Refusal(Reason.MALFORMED, "it names no task")
    if name not in known or name.startswith(CELERYS_OWN):
        return Refusal(Reason.UNKNOWN_TASK, f"its task is {quoted(name)}, which does not run here")
    return None


def check_headers(headers: Mapping[str, Any]) -> Refusal | None:
    """Refuse headers that Celery, its log or Flower cannot use.

    Example:
        >>> check_headers({"id": "auth:T1:1", "retries": 0, "timelimit": [None, None]})
    """
    if not isinstance(headers.get("id"), str):
        return Refusal(Reason.HEADERS, f"its id is {quoted(headers.get('id'))}, which is not text")
    for name, value in headers.items():
        if name in SHOWN and isinstance(value, str):
            continue  # any text will do: it is shown only after `shown` has made it plain
        if not (is_plain(name, 0) and is_plain(value)):
            return Refusal(Reason.HEADERS, f"its header {quoted(name)} is not a short plain value")
    limits = headers.get("timelimit")
    if limits and not (isinstance(limits, list) and len(limits) == 2 and all(map(_is_limit, limits))):
        return Refusal(Reason.HEADERS, "its timelimit is not a pair of seconds")
    if not _is_count(headers.get("retries") or 0):
        return Refusal(Reason.HEADERS, f"its retries are {quoted(headers.get('retries'))}")
    return None


def check_body(message: Any) -> Refusal | None:
    """Check the body of a message: it can be read, and has the form of ours (see `check_payload`)."""
    try:
        payload = message.payload
    except Exception as error:  # a decoder may raise anything
        return Refusal(Reason.MALFORMED, f"its body cannot be read ({type(error).__name__})")
    return check_payload(payload)


def check_payload(payload: object) -> Refusal | None:
    """Refuse a body that is not [arguments, keyword arguments, tasks that follow]."""
    match payload:
        case [list(), dict(), dict() | None]:
            return None
    return Refusal(
        Reason.MALFORMED, "its body is not a list of arguments, keyword arguments and tasks that follow"
    )


def check_attempt(headers: Mapping[str, Any], payload: Any) -> Refusal | None:
    """Refuse a message that asks for anything but one attempt of one task of one feature.

    Args:
        headers: As `check_headers` allows them.
        payload: As `check_payload` allows it.

    Example:
        >>> check_attempt({"id": "auth:T1:1:0f3a9c5e71d2"}, [["auth", "T1", 1], {}, {}])
        >>> check_attempt({"id": "auth:T1:1:0f3a9c5e71d2"}, [["auth", "T1", -1], {}, {}]).text
        'its attempt is -1, which is not a number from 1'
    """
    args, kwargs, next_tasks = payload
    if kwargs or len(args) != 3:
        return Refusal(
            Reason.ARGUMENTS, f"it has {len(args)} arguments and {len(kwargs)} by keyword, not 3 and 0"
        )
    feature, task, attempt = args
    if not identifiers.is_feature_id(feature):
        return Refusal(Reason.ARGUMENTS, f"its feature is {quoted(feature)}, which is not an id")
    if not (identifiers.is_id(task) or task in identifiers.GATES):
        return Refusal(Reason.ARGUMENTS, f"its task is {quoted(task)}, which is not an id")
    if not _is_count(attempt) or not 1 <= attempt <= MOST_ATTEMPTS:
        return Refusal(Reason.ARGUMENTS, f"its attempt is {quoted(attempt)}, which is not a number from 1")
    if not identifiers.is_of_message(headers["id"], feature, task, attempt):
        return Refusal(Reason.HEADERS, f"its id {quoted(headers['id'])} is not that of its arguments")
    if any((next_tasks or {}).values()):
        return Refusal(Reason.HEADERS, "it names tasks that follow, but the store decides that")
    asked = [name for name in ASKS_FOR_MORE if headers.get(name)]
    if asked or any(headers.get("timelimit") or ()) or headers.get("retries"):
        return Refusal(Reason.HEADERS, f"it has the header {(asked or ['timelimit or retries'])[0]}")
    return None


def check_canvas_task(headers: Mapping[str, Any], payload: Any) -> Refusal | None:
    """Refuse arguments that `Plan.canvas()` does not send: outcomes of earlier tasks, the head of a feature, one task.

    The outcomes may be missing. The models check the content later, when the task is run. The id becomes the name of
    files.

    Args:
        headers: As `check_headers` allows them.
        payload: As `check_payload` allows it.

    Example:
        >>> check_canvas_task({"id": "4f1c"}, [[{"id": "auth", "title": "Login"}, {"id": "T1"}], {}, {}])
        >>> check_canvas_task({"id": "../4f1c"}, [[{}, {}], {}, {}]).text
        "its id is '../4f1c', which cannot name a file"
    """
    args, kwargs, _ = payload
    if len(args) not in (2, 3) or not all(isinstance(part, dict) for part in args):
        return Refusal(Reason.ARGUMENTS, "its arguments are not the head of a feature and one task")
    if not (set(kwargs) <= {"retried", "later"} and all(map(_is_count, kwargs.values()))):
        return Refusal(
            Reason.ARGUMENTS, "its arguments by keyword are not the numbers of its earlier attempts"
        )
    if not identifiers.is_of_old(headers["id"]):
        return Refusal(Reason.HEADERS, f"its id is {quoted(headers['id'])}, which cannot name a file")
    return None


def check_barrier(headers: Mapping[str, Any], payload: Any) -> Refusal | None:
    """Refuse arguments that are not the results of a group, their names, and the needed names (see `canvas.gather`).

    Args:
        headers: As `check_headers` allows them.
        payload: As `check_payload` allows it.

    Example:
        >>> check_barrier({"id": "4f1c"}, [[[{}, {}], ["T1", "T2"], ["T2"]], {}, {"chain": None}])
        >>> check_barrier({"id": "4f1c"}, [[], {}, {}]).text
        'it has 0 arguments and 0 by keyword, not 1 or 3 and 0'
    """
    args, kwargs, _ = payload
    if kwargs or len(args) not in (1, 3):
        return Refusal(
            Reason.ARGUMENTS, f"it has {len(args)} arguments and {len(kwargs)} by keyword, not 1 or 3 and 0"
        )
    for names in args[1:]:
        if names is not None and not (
            isinstance(names, list) and all(name == "" or identifiers.is_id(name) for name in names)
        ):
            return Refusal(Reason.ARGUMENTS, f"its names are {quoted(names)}, which are not ids")
    return None


def refuse_canvas(headers: Mapping[str, Any], payload: Any) -> Refusal:
    """Refuse every message of a canvas, as the operator has not turned canvases on."""
    return Refusal(Reason.CANVAS, "it is of a canvas, and trust.canvas is off")


def check_route(info: Mapping[str, Any], payload: Any) -> Refusal | None:
    """Refuse a message of a canvas that would make a worker send a message to a key that is not a queue.

    Args:
        info: The delivery info: a retry goes the same way.
        payload: As `check_payload` allows it. Its last part names the tasks that follow.

    Example:
        >>> step = {"task": "writer.standalone", "options": {"queue": "unacked"}}
        >>> check_route({"routing_key": "writer"}, [[], {}, {"chain": [step]}]).text
        "it would be sent on to 'unacked', which is not the name of a queue"
    """
    routes: list[Any] = [info]
    steps: list[Any] = list((payload[2] or {}).values())
    while steps:
        step = steps.pop()
        if isinstance(step, list):
            steps += step
        elif isinstance(step, dict):
            options, kwargs = (step.get(part) or {} for part in ("options", "kwargs"))
            if not isinstance(options, dict) or not isinstance(kwargs, dict):
                return Refusal(Reason.HEADERS, "a task that follows it is not a Celery signature")
            routes.append(options)
            steps += [options.get(name) for name in FOLLOWS] + [kwargs.get(name) for name in MEMBERS]
    for route in routes:
        for name in ("queue", "routing_key", "exchange"):
            if (found := route.get(name)) and not is_queue(found):
                return Refusal(
                    Reason.HEADERS,
                    f"it would be sent on to {quoted(found)}, which is not the name of a queue",
                )
    return None


def is_queue(value: object) -> bool:
    """Whether a value can be the name of a queue, and not that of a key that kombu keeps beside the queues.

    Example:
        >>> is_queue("senior-engineer"), is_queue("{auth}:meta"), is_queue("_kombu.binding.celery")
        (True, False, False)
    """
    is_name = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}", value)
    return bool(is_name) and not str(value).startswith(KOMBUS_OWN)


def shown(headers: Mapping[str, Any]) -> dict[str, str]:
    """The arguments of a task that is not ours, as logs and monitors show them: the sender's text, escaped.

    Example:
        >>> shown({"id": "4f1c", "argsrepr": "('a\\n', '\\x1b[2J')"})
        {'argsrepr': "('a\\\\n', '\\\\x1b[2J')"}
    """
    found = {name: headers[name] for name in SHOWN if isinstance(headers.get(name), str)}
    return {name: ascii(text)[1:-1][:LONGEST_SHOWN] for name, text in found.items()}


def is_plain(value: object, depth: int = DEEPEST_HEADER) -> bool:
    """Whether a header may have a value."""
    if isinstance(value, str):
        return len(value) <= LONGEST_HEADER and value.isprintable()
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= 1e15
    if not isinstance(value, list | dict) or not depth or len(value) > MOST_IN_HEADER:
        return False
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return all(is_plain(each, depth - 1) for each in inner)


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
