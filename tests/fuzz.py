"""Feeds junk to every reader of data that others may have written: `python -m tests.fuzz --minutes 10 --seed 1`.

The four readers are the consumer (messages), the store (data in Redis), remote control, and the settings. Each
case begins with valid data and spoils it in a few places. An answer of ours is right; any other error is a finding,
with the seed of its case: `python -m tests.fuzz --only stored-state --case 1:17` runs that one again.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import logging
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fakeredis
import redis
import yaml

from orchestrator.config import configuration
from orchestrator.config.folder import ENV_PREFIX, FILE, FOLDER
from orchestrator.config.template import template
from orchestrator.engine.remote import Mailbox
from orchestrator.model import errors
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests import hostile
from tests.engine.test_consumer import Bench
from tests.state import factories

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, float("nan"), float("-inf"), "", " ", "0", "-1", "null",
    "[]", "{}", "T1", "../..", "/etc", "a:b:c", "\x00", "\x1b[31m", "\u202e", "\ud800", "é" * 40, "x" * 70_000, [],
    [[]], {}, {"": ""}, {"id": {}}, [None], ["T1", 1, {}], {"$ref": "#"}, "!!python/object:os.system", "{" * 300,
    "[" * 3_000,
)  # fmt: skip


def deep(random_: random.Random) -> Any:
    """A value nested far deeper than anybody means."""
    value: Any = random_.choice(JUNK)
    for _ in range(random_.choice((5, 60, 150))):
        value = [value] if random_.random() < 0.5 else {"a": value}
    return value


def spoil(value: Any, random_: random.Random) -> Any:
    """A copy with junk in one place: a value, a name, something missing or something more."""
    spoiled = copy.deepcopy(value)
    places = list(_places(spoiled))
    if not places:
        return random_.choice(JUNK)
    holder, name = random_.choice(places)
    match random_.randrange(5):
        case 0 if isinstance(holder, dict):
            del holder[name]
        case 1 if isinstance(holder, dict):
            holder[str(random_.choice(JUNK))[:200]] = holder[name]
        case 2:
            holder[name] = [holder[name], holder[name]]
        case 3 if random_.random() < 0.2:
            holder[name] = deep(random_)
        case _:
            holder[name] = random_.choice(JUNK)
    return spoiled


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    names = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from _places(value[name])


def garble(text: str, random_: random.Random) -> str:
    """The text with a few characters of it lost, doubled or replaced."""
    letters = list(text)
    for _ in range(random_.choice((0, 1, 1, 3, 20))):
        if letters:
            place = random_.randrange(len(letters))
            letters[place : place + random_.randrange(3)] = random_.choice(
                ("", "\x00", "{", '"', "]", "\n", "é", "9", ": ")
            )
    return "".join(letters)


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except (RecursionError, ValueError):
        return "[" * 100_000


def messages(random_: random.Random) -> Callable[[], object]:
    """A message in a queue: it is taken up, or refused in a line."""
    given = random_.choice((hostile.message(), hostile.standalone()))
    for _ in range(random_.randrange(4)):
        given = spoil(given, random_)
    raw = garble(_json(given), random_)
    bench = Bench()
    return lambda: bench.receive(raw)


def stored_state(random_: random.Random) -> Callable[[], object]:
    """A field or a key of a feature that somebody has overwritten: all that reads it says so, or passes over it."""
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    store = Store(client, Keys("to"))
    factories.enqueue(store, {"id": "T1"}, {"id": "T2", "depends_on": ["T1"]})
    names = sorted(client.keys())
    for _ in range(random_.choice((1, 1, 2, 5))):
        _overwrite(client, str(random_.choice(names)), random_)

    def read() -> None:
        feature = factories.FEATURE_ID
        features, tasks, stream = store.features, store.tasks, store.events
        reads: tuple[Callable[[], object], ...] = (
            features.newest, features.active, store.limits.all, lambda: features.overview([feature]),
            lambda: features.summary(feature), lambda: features.head(feature), lambda: features.content(feature),
            lambda: features.batch(feature, 1), lambda: features.finished(0, 10),
            lambda: tasks.find(feature, "T1"), lambda: tasks.all(feature), lambda: tasks.shape(feature),
            lambda: tasks.states(feature), lambda: tasks.state(feature, "T1"), lambda: tasks.attempt(feature, "T1"),
            lambda: tasks.outcomes(feature, ["T1"]), lambda: stream.read(feature), lambda: stream.tail(feature, "T1"),
            lambda: stream.gone(feature),
        )  # fmt: skip
        for look in reads:
            with contextlib.suppress(errors.OrchestratorError, redis.ResponseError):
                look()

    return read


def _overwrite(client: Any, key: str, random_: random.Random) -> None:
    junk = garble(_json(random_.choice(JUNK)), random_).encode("utf-8", "replace").decode()
    kind = client.type(key)
    if random_.random() < 0.15:
        client.delete(key)
        client.set(key, junk)
    elif kind == "hash":
        fields = client.hgetall(key)
        field = random_.choice(sorted(fields))
        spoiled = junk
        with contextlib.suppress(ValueError):
            spoiled = _json(spoil(json.loads(fields[field]), random_))
        client.hset(key, random_.choice((field, "T9", "", junk[:50])), random_.choice((spoiled, junk)))
    elif kind == "zset":
        client.zadd(key, {junk[:100]: random_.choice((-1, 0, 2**53, float("inf")))})
    elif kind == "list":
        client.rpush(key, junk)
    elif kind == "set":
        client.sadd(key, junk)
    elif kind == "stream":
        client.xadd(key, {random_.choice(("event", "task", junk[:50])): junk})
    else:
        client.set(key, junk)


def remote_control(random_: random.Random) -> Callable[[], object]:
    """A command on the channel of remote control: it is done, answered with its error, or dropped in a line."""

    def shutdown(_state: object, **_given: object) -> dict[str, str]:
        return {"ok": "done"}

    node: Any = Mailbox("orchestrator", type="fanout", accept=["json"]).Node(
        "one@here", handlers={"shutdown": shutdown}
    )
    node.reply = lambda *_, **__: None
    given: Any = {
        "method": "shutdown",
        "arguments": {"signal": "TERM"},
        "destination": ["one@here"],
        "pattern": None,
        "matcher": None,
        "ticket": "t",
        "reply_to": {"exchange": "reply", "routing_key": "x"},
    }
    for _ in range(random_.randrange(4)):
        given = spoil(given, random_)
    return lambda: node.handle_message(given, None)


def configurations(random_: random.Random) -> Callable[[], object]:
    """A configuration file: it gives settings, or an error of ours that names the mistake."""
    given = yaml.safe_load(template()) or {}
    given |= {
        "specialists": {"writer": {"command": ["echo"], "rate": "5/m"}},
        "redis": {"prefix": "to"},
        "logs": "logs",
    }
    for _ in range(random_.choice((0, 1, 2, 6))):
        given = spoil(given, random_)
    try:
        text = yaml.safe_dump(given)
    except (RecursionError, yaml.YAMLError, ValueError):
        text = "a: " + "[" * 2_000
    text = garble(text, random_).encode("utf-8", "replace").decode()

    def read() -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / FOLDER
            folder.mkdir(mode=0o700)
            file = folder / FILE
            file.write_text(text, "utf-8")
            file.chmod(0o600)
            with contextlib.suppress(errors.OrchestratorError):
                configuration.load(Path(place))

    return read


READERS: Mapping[str, Callable[[random.Random], Callable[[], object]]] = {
    "messages": messages,
    "stored-state": stored_state,
    "remote-control": remote_control,
    "configuration": configurations,
}


def tried(reader: str, case: str) -> str | None:
    """Feed one case to a reader.

    Returns:
        The traceback of what it raised; None where all is well.

    Example:
        found = tried("messages", "1:17")
    """
    read = READERS[reader](random.Random(f"{reader}:{case}"))
    try:
        read()
    except Exception:
        return traceback.format_exc()
    return None


def main() -> int:
    """Feed the readers until the time is over, and report the findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", choices=sorted(READERS))
    parser.add_argument("--case", help="one case again, such as 1:17")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]
    readers = [given.only] if given.only else list(READERS)
    if given.case:
        found = {reader: tried(reader, given.case) for reader in readers}
        print("\n".join(f"{reader}: {text or 'well'}" for reader, text in found.items()))
        return int(any(found.values()))
    print(f"seed {given.seed}, {given.minutes:g} minutes", flush=True)
    counted, findings, number = Counter[str](), dict[str, str](), 0
    end = time.monotonic() + given.minutes * 60
    while time.monotonic() < end:
        number += 1
        for reader in readers:
            counted[reader] += 1
            text = tried(reader, f"{given.seed}:{number}")
            last = text.strip().splitlines()[-1][:200] if text else ""
            if text and f"{reader}: {last.split(':')[0]}" not in findings:
                findings[f"{reader}: {last.split(':')[0]}"] = (
                    f"--only {reader} --case {given.seed}:{number}\n{text[-1_500:]}"
                )
    for what, how in findings.items():
        print(f"\n{what}\n  {how}")
    cases = ", ".join(f"{reader} {count}" for reader, count in counted.items())
    print(f"seed {given.seed}: {cases} cases; {len(findings) or 'no'} kinds of findings")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
