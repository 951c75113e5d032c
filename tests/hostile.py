"""Messages that an attacker with access to a queue could forge, each with the reason of its refusal."""

from __future__ import annotations

import base64
import bz2
import json
import zlib
from collections.abc import Iterator
from typing import Any

from orchestrator.engine.message_validation import Reason

MEGABYTE = 1_000_000
BOMB = 200 * MEGABYTE
UNGUESSED = "0f3a9c5e71d2"
"""The last part of an id."""

SIGNATURE = {"task": "senior-engineer", "args": ["auth", "T1", 1], "options": {"queue": "elsewhere"}}


def message(
    args: Any = ("auth", "T1", 1),
    kwargs: Any = None,
    embed: Any = None,
    *,
    body: str | None = None,
    task: Any = "senior-engineer",
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    content_type: Any = "application/json",
    content_encoding: Any = "utf-8",
) -> dict[str, Any]:
    """A message as `schedule.lua` writes it, except for the given parts.

    Example:
        message(["auth", "T1", -1])
        message(headers={"eta": "tomorrow"})
    """
    identity = ":".join([*map(str, args), UNGUESSED]) if isinstance(args, list | tuple) else "x"
    return {
        "body": json.dumps([args, kwargs or {}, embed or {}]) if body is None else body,
        "content-type": content_type,
        "content-encoding": content_encoding,
        "headers": {"lang": "py", "task": task, "id": identity[:900], **(headers or {})},
        "properties": {
            "delivery_mode": 1,
            "delivery_tag": "tag",
            "delivery_info": {"exchange": "", "routing_key": "senior-engineer"},
            **(properties or {}),
        },
    }


def standalone(
    head: Any = None, task: Any = None, *, headers: dict[str, Any] | None = None, **given: Any
) -> dict[str, Any]:
    """A message as `Plan.canvas()` sends it, except for the given parts."""
    head = {"id": "auth", "title": "Login"} if head is None else head
    task = {"id": "T1"} if task is None else task
    return message(
        [head, task], task="senior-engineer.standalone", headers={"id": "4f1c", **(headers or {})}, **given
    )


def raw() -> Iterator[tuple[Reason, str]]:
    """Hostile messages as they lie in Redis, each with the reason for which it is refused."""
    yield from ((Reason.MALFORMED, text) for text in _no_messages())
    for reason, found in (*_forged(), *_forged_alone()):
        yield reason, json.dumps(found)


def _no_messages() -> Iterator[str]:
    wrong: Any
    yield from (
        "",
        " ",
        "null",
        "1",
        "[]",
        "{}",
        '"text"',
        "not json",
        "{",
        "\x00",
        "\x1b[31mred",
        "NaN",
        "Infinity",
    )
    yield from ("[" * 100_000, '{"a":' * 50_000, "9" * 10_000, "x" * MEGABYTE, '"\\ud800"')
    yield from ('{"__type__": "uuid", "__value__": {}}', '{"__type__": "decimal", "__value__": "x"}')
    whole = message()
    for part in ("body", "headers", "properties"):
        yield json.dumps({name: value for name, value in whole.items() if name != part})
        for wrong in (None, 1, [], "text", [1, 2], {"a": {"b": []}}):
            if not (part == "body" and wrong == "text") and not (
                part == "headers" and isinstance(wrong, dict)
            ):
                yield json.dumps({**whole, part: wrong})
    for name in ("delivery_tag", "delivery_info"):
        for wrong in (None, 1, [], {}, {"a": 1}):
            yield json.dumps(message(properties={name: wrong}))
    yield json.dumps(message(properties={"delivery_tag": "\ud800"}))
    yield json.dumps(message(properties={"delivery_info": {"exchange": {}, "routing_key": []}}))
    yield json.dumps(message(properties={"body_encoding": "rot13"}))
    yield json.dumps(message(body="abc", properties={"body_encoding": "base64"}))
    bomb = base64.b64encode(zlib.compress(b"0" * BOMB)).decode()
    yield json.dumps(
        message(
            body=bomb, headers={"compression": "application/x-gzip"}, properties={"body_encoding": "base64"}
        )
    )


def _forged() -> Iterator[tuple[Reason, dict[str, Any]]]:
    wrong: Any
    args: Any
    for kind in (
        "application/x-python-serialize",
        "application/x-yaml",
        "text/plain",
        "application/data",
        "",
        None,
        7,
    ):
        yield Reason.CONTENT_TYPE, message(content_type=kind)
    bomb = base64.b64encode(bz2.compress(b"0" * BOMB)).decode()
    yield (
        Reason.CONTENT_TYPE,
        message(body=bomb, properties={"body_encoding": "base64"}, content_encoding="bz2"),
    )
    yield Reason.CONTENT_TYPE, message(content_encoding="no such codec")

    for name in (
        "os.system",
        "celery.starmap",
        "celery.chord_unlock",
        "",
        "\x1b[2J\n",
        "x" * MEGABYTE,
        "[red]",
    ):
        yield Reason.UNKNOWN_TASK, message(task=name)
    yield Reason.UNKNOWN_TASK, message([SIGNATURE, [["auth", "T1", 1]] * 5], task="celery.starmap")
    for wrong in (None, 1, [], {}, ["senior-engineer"], True):
        yield Reason.MALFORMED, message(task=wrong)

    for body in (
        "",
        "null",
        "1",
        "[]",
        "[1]",
        '["a", {}, {}]',
        "[[], [], []]",
        "[[], {}, 1]",
        "{}",
        "[[" * 100_000,
    ):
        yield Reason.MALFORMED, message(body=body)
    yield Reason.MALFORMED, message(body='{"task": "senior-engineer", "args": ["auth", "T1", 1], "id": "x"}')
    yield Reason.MALFORMED, message(body="\ud800")

    for args in ([], ["auth"], ["auth", "T1"], ["auth", "T1", 1, 1], [["auth", "T1", 1]]):
        yield Reason.ARGUMENTS, message(args)
    for wrong in (
        "../auth",
        "a b",
        "a\\b",
        "a\nb",
        "a\x1b[31m",
        "",
        " ",
        "a" * MEGABYTE,
        "*",
        "{a}",
        "e\u0301",
        "a\u3164b",
        "x" * 201,
    ):
        yield Reason.ARGUMENTS, message([wrong, "T1", 1], headers={"id": "x"})
        yield Reason.ARGUMENTS, message(["auth", wrong, 1], headers={"id": "x"})
    yield Reason.ARGUMENTS, message(["a:b", "T1", 1], headers={"id": f"a~3Ab:T1:1:{UNGUESSED}"})
    for name in ("a/b", "é", "@auth"):
        yield Reason.HEADERS, message([name, "T1", 1], headers={"id": f"{name}:T1:1:{UNGUESSED}"})
        yield Reason.HEADERS, message(["auth", name, 1], headers={"id": f"auth:{name}:1:{UNGUESSED}"})
    for wrong in (None, 1, True, [], {}, {"id": "auth"}, [["auth"]], 1.5):
        yield Reason.ARGUMENTS, message([wrong, "T1", 1], headers={"id": "x"})
        yield Reason.ARGUMENTS, message(["auth", wrong, 1], headers={"id": "x"})
    for wrong in (None, True, 0, -1, 1.5, "1", "one", [], {}, 10**18, 10**300, float("inf"), float("nan")):
        yield Reason.ARGUMENTS, message(["auth", "T1", wrong], headers={"id": "x"})
    yield Reason.ARGUMENTS, message(kwargs={"attempt": 1})
    yield Reason.ARGUMENTS, message([], {"feature_id": "auth", "task_id": "T1", "attempt": 1})

    for name in ("argsrepr", "kwargsrepr"):
        for wrong in (10**30, [[[[[[]]]]]], list(range(1_000))):
            yield Reason.HEADERS, message(headers={name: wrong})
    for name in ("id", "root_id", "parent_id", "group", "origin", "another"):
        for wrong in ("a\nb", "\x1b[31m", "x" * MEGABYTE, 10**30, [[[[[[]]]]]], list(range(1_000))):
            yield Reason.HEADERS, message(headers={name: wrong})
    for wrong in (
        None,
        1,
        [],
        {},
        f"auth:T1:2:{UNGUESSED}",
        "auth:T1:1",
        "auth:T1:1:",
        "auth:T1:1:0f3a9c5e71dX",
        "x",
    ):
        yield Reason.HEADERS, message(headers={"id": wrong})
    yield Reason.HEADERS, message(headers={"a\nb": 1})
    for name, wrong in (
        ("eta", "2999-01-01T00:00:00"), ("eta", "tomorrow"), ("eta", 1), ("expires", "x"), ("expires", 1),
        ("shadow", "os.system"), ("reply_to", "somewhere"), ("retries", -1), ("retries", "many"), ("retries", 3),
        ("timelimit", 1), ("timelimit", [1]), ("timelimit", [0, 0]), ("timelimit", ["a", "b"]),
        ("timelimit", [1, None]), ("stamps", {"a": 1}), ("stamped_headers", ["a"]),
    ):  # fmt: skip
        yield Reason.HEADERS, message(headers={name: wrong})
    for name in ("callbacks", "errbacks", "chain"):
        yield Reason.HEADERS, message(embed={name: [SIGNATURE]})
    yield Reason.HEADERS, message(embed={"chord": SIGNATURE})
    yield from ((Reason.UNKNOWN_FEATURE, message(["nowhere", f"T{n}", n])) for n in range(1, 4))
    yield Reason.UNKNOWN_FEATURE, message(["nowhere", "@testing", 1])


def _forged_alone() -> Iterator[tuple[Reason, dict[str, Any]]]:
    wrong: Any
    args: Any
    for args in ([], [{}], [{}] * 4, [[], {}, {}], ["auth", "T1"], [[], []]):
        yield Reason.ARGUMENTS, message(args, task="senior-engineer.standalone", headers={"id": "x"})
    for args in ([], [[1], ["T1"]], [[1], "T1", []], [[1], ["../x"], []], [[1], ["T1"], [7]]):
        yield Reason.ARGUMENTS, message(args, task="orchestrator.barrier", headers={"id": "x"})
    for kwargs in ({"retried": -1}, {"retried": "2"}, {"retried": 1, "x": 1}):
        yield Reason.ARGUMENTS, standalone(kwargs=kwargs)
    yield Reason.UNKNOWN_TASK, message(["auth"], task="orchestrator.enqueue", headers={"id": "auth"})
    yield Reason.ARGUMENTS, standalone(kwargs={"task": {"id": "T1"}})
    for wrong in ("../../../tmp/x", "a/b", "/tmp/x", "..", ".", "a:b", ""):
        yield Reason.HEADERS, standalone(headers={"id": wrong})
    for wrong in ("../../../tmp/x", "a b", "..", ".", ""):
        yield Reason.ARGUMENTS, standalone({"id": wrong, "title": "x"})
        yield Reason.ARGUMENTS, standalone(task={"id": wrong})
    for queue in ("{auth}:meta", "unacked", "_kombu.binding.celery", "celery-task-meta-1", "a b", 7):
        step = {"task": "senior-engineer.standalone", "args": [], "kwargs": {}, "options": {"queue": queue}}
        yield Reason.HEADERS, standalone(embed={"chain": [step]})
        yield Reason.HEADERS, standalone(embed={"callbacks": [{**step, "options": {"routing_key": queue}}]})
        yield (
            Reason.HEADERS,
            standalone(embed={"chain": [{"task": "celery.group", "kwargs": {"tasks": [step]}}]}),
        )
        yield Reason.HEADERS, standalone(embed={"chord": {**step, "options": {"link": [step]}}})
        if isinstance(queue, str) and queue.isascii():
            route = {"delivery_info": {"exchange": "", "routing_key": queue}}
            yield Reason.HEADERS, standalone(properties=route)
    yield Reason.HEADERS, standalone(embed={"chain": [{"options": "x"}]})
    for task in (
        {},
        {"id": "T1", "run": 5},
        {"id": "T1", "os": "system"},
        {"id": "T1", "timeout": float("nan")},
    ):
        yield Reason.ARGUMENTS, standalone(task=task)
