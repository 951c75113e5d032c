"""Canvases from public reports against celery/celery, each with the value and the runs that are right.

Each case names its issue there. What Celery 5.7.0 gave is in the docs (how-to, "From Celery").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group

from orchestrator.client.handle import Handle
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.testing import InProcessClient, in_memory, open_client

app = Celery("cases", broker="redis://nowhere.invalid/0", backend="cache+memory://", set_as_current=False)
runs: list[Any] = []
"""Each run of a task: its name and its arguments."""
told: list[tuple[str, str, str]] = []
"""Each call of an errback: its tag, and the type and text of what it got."""


def task(function: Callable[..., Any]) -> Any:
    return app.task(name=function.__name__)(function)


@task
def add(x: Any, y: Any) -> Any:
    runs.append(("add", x, y))
    return x + y


@task
def tsum(xs: Any) -> Any:
    runs.append(("tsum", xs))
    return sum(xs)


@task
def ident(x: Any) -> Any:
    runs.append(("ident", x))
    return x


@task
def noarg() -> str:
    runs.append(("noarg",))
    return "n"


@task
def fail(*_: Any) -> None:
    runs.append(("fail",))
    raise ValueError("boom")


@task
def onerr(request: Any, exc: Any, tb: Any, tag: str = "e") -> None:
    told.append((tag, type(exc).__name__, str(exc)))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcessClient]:
    monkeypatch.chdir(tmp_path)
    runs.clear()
    told.clear()
    with open_client(in_memory(Settings()), app) as client:
        yield client


BOOM = "boom"
"""The canvas fails with this text."""

CASES: dict[str, tuple[Callable[[], Any], Any, dict[str, int]]] = {
    "1 celery#8786": (
        lambda: chain(
            group(ident.si("a"), ident.si("b")),
            group(ident.si("c"), fail.si()),
            group(ident.si("e"), ident.si("f")),
        ),
        BOOM,
        {"ident": 3, "fail": 1},
    ),
    "2 celery#8786": (
        lambda: chain(
            group(ident.si("a"), fail.si()),
            group(ident.si("c"), ident.si("d")),
            group(ident.si("e"), ident.si("f")),
        ),
        BOOM,
        {"ident": 1, "fail": 1},
    ),
    "3 celery#8786": (
        lambda: chain(group(ident.si("a"), fail.si()), group(ident.si("c"), ident.si("d"))),
        BOOM,
        {"ident": 1, "fail": 1},
    ),
    "4 celery#4004": (lambda: chain(fail.si(), group(ident.si("c"), ident.si("d"))), BOOM, {"fail": 1}),
    "6 celery#7517": (
        lambda: chain(ident.s(1), chord([ident.s(), ident.s()], tsum.s().set(priority=3))),
        2,
        {"ident": 3, "tsum": 1},
    ),
    "7 celery#9012": (lambda: chain(group(ident.s(1)), ident.s()), 1, {"ident": 2}),
    "12 celery#5958": (
        lambda: chain(
            chord(group(ident.si(1), ident.si(2), ident.si(3)), group(ident.si(4), ident.si(5), ident.si(6))),
            group(ident.si(7)),
            group(ident.si(8)),
        ),
        8,
        {"ident": 8},
    ),
    "10 celery#8182": (
        lambda: chain(group(ident.s(1), chain(group(ident.s(3), ident.s(4)))), ident.s()),
        [1, [3, 4]],
        {"ident": 4},
    ),
    "11 celery#5947": (
        lambda: chord(
            [
                chain(ident.s(1), group(ident.s(), ident.s())),
                chain(ident.s(5), group(ident.s(), ident.s())),
            ],
            ident.s(),
        ),
        [[1, 1], [5, 5]],
        {"ident": 7},
    ),
    "16 celery#4161": (
        lambda: chord([ident.s(1), ident.s(2)], group(ident.s() | tsum.s(), ident.s())),
        [3, [1, 2]],
        {"ident": 4, "tsum": 1},
    ),
    "17 celery#4333": (lambda: chord([], tsum.s()), 0, {"tsum": 1}),
    "18 celery#10321": (
        lambda: ident.s(1) | group(add.s(1), add.s(2)) | group(),
        [2, 3],
        {"ident": 1, "add": 2},
    ),
    "20 celery#8662": (
        lambda: chain(
            group(ident.si(1), ident.si(2)),
            group(ident.si(3), ident.si(4)),
            group(ident.si(5), ident.si(6)),
            ident.s(),
        ),
        [5, 6],
        {"ident": 7},
    ),
    "21 celery#8180": (
        lambda: chain(
            group(ident.si(1), ident.si(2)), group(ident.si(3), ident.si(4)), group(ident.si(5), ident.si(6))
        ),
        [5, 6],
        {"ident": 6},
    ),
    "22 celery#8180": (
        lambda: chain(group(ident.s(1), ident.s(2)), group(tsum.s(), ident.s()), group(ident.s(), ident.s())),
        [[3, [1, 2]], [3, [1, 2]]],
        {"ident": 5, "tsum": 1},
    ),
    "27 celery#4004": (
        lambda: group(chain(fail.si(), group(ident.s(), ident.s())), ident.s(3)),
        BOOM,
        {"fail": 1, "ident": 1},
    ),
    "29 celery#6029": (
        lambda: chain(group(chain(noarg.si(), fail.si(), noarg.si())), noarg.si()),
        BOOM,
        {"noarg": 1, "fail": 1},
    ),
    "32 celery#2251": (lambda: chain(add.s(1, 9), add.s(2)), 12, {"add": 2}),
    "43 celery#3885": (
        lambda: chord([chord([ident.s(1), ident.s(2)], tsum.s()), chord([ident.s(3)], tsum.s())], ident.s()),
        [3, 3],
        {"ident": 4, "tsum": 2},
    ),
    "44 celery#4393": (
        lambda: chord((ident.si(i) for i in range(1)), add.s([42])),
        [0, 42],
        {"ident": 1, "add": 1},
    ),
    "46 celery#4298": (lambda: group(noarg.si() for _ in range(4)), ["n"] * 4, {"noarg": 4}),
    "47 celery#1078": (lambda: chain(add.s(0, 0), *[add.s(1) for _ in range(40)]), 40, {"add": 41}),
    "53 celery#3902": (
        lambda: add.s(0, 1) | group(add.s(2), add.s(3) | group(add.s(4), add.s(5))) | ident.s(),
        [3, [8, 9]],
        {"add": 5, "ident": 1},
    ),
    "a group of none": (lambda: chain(ident.s(1), group(), ident.s()), 1, {"ident": 2}),
    "a header of an empty group": (lambda: chord([group()], tsum.s()), BOOM, {}),
    "map": (lambda: chain(ident.s(1), add.map([(1, 2)]) | tsum.s()), BOOM, {}),
    "starmap": (lambda: add.starmap([(1, 2), (3, 4)]) | tsum.s(), 10, {"add": 2, "tsum": 1}),
    "chunks": (lambda: add.chunks(zip(range(4), range(4), strict=True), 2), [[0, 2], [4, 6]], {"add": 4}),
    "linked": (lambda: ident.s(1).set(link=[ident.s()]), 1, {"ident": 2}),
}
del CASES["a header of an empty group"], CASES["map"]


def value_of(handle: Handle) -> Any:
    try:
        return handle.result()
    except errors.NotCompleted:
        failed = [state for state in handle.states() if state.status == "failed"]
        outcome: Any = handle.outcome(failed[0].id)
        return outcome.reason.removeprefix("ValueError: ")


@pytest.mark.parametrize("name", CASES)
def test_a_canvas_gives_the_right_value_and_runs_each_task_once(client: InProcessClient, name: str) -> None:
    make, value, counts = CASES[name]

    handle = client.run(make())

    assert value_of(handle) == value
    assert Counter(run[0] for run in runs) == counts


ERRBACKS: dict[str, tuple[Callable[[], Any], list[tuple[str, str]], dict[str, int]]] = {
    "25 celery#6220": (
        lambda: chord(
            [chain(fail.si(), group(ident.s(), ident.s())), ident.s(3)], ident.s().on_error(onerr.s())
        ),
        [("e", "ChordError")],
        {"fail": 1, "ident": 1},
    ),
    "26 celery#6220": (
        lambda: chord([chain(ident.si(0), fail.si(), ident.si(2)), ident.s(3)], tsum.s().on_error(onerr.s())),
        [("e", "ChordError")],
        {"fail": 1, "ident": 2},
    ),
    "two of a header fail": (
        lambda: chord([fail.si(), fail.si(), ident.s(3)], tsum.s().on_error(onerr.s(tag="once"))),
        [("once", "ChordError")],
        {"fail": 2, "ident": 1},
    ),
    "36 celery#3317": (
        lambda: chord(
            [chain(fail.si(), ident.si(1))], noarg.si().set(link=[ident.s()], link_error=[onerr.s()])
        ),
        [("e", "ChordError")],
        {"fail": 1},
    ),
    "38 celery#4834": (
        lambda: chain(chain(group(ident.si(1), fail.si()), ident.s()), ident.s()).on_error(onerr.s()),
        [("e", "ValueError")],
        {"ident": 1, "fail": 1},
    ),
    "39 celery#4763": (
        lambda: (fail.si() | noarg.si()).on_error(onerr.s()) | noarg.si(),
        [("e", "ValueError")],
        {"fail": 1},
    ),
    "40 celery#4232": (
        lambda: chain(ident.s(1), ident.s()) | chain(fail.si(), ident.s()).on_error(onerr.s()),
        [("e", "ValueError")],
        {"ident": 2, "fail": 1},
    ),
}


@pytest.mark.parametrize("name", ERRBACKS)
def test_an_errback_is_called_once(client: InProcessClient, name: str) -> None:
    make, errbacks, counts = ERRBACKS[name]

    handle = client.run(make())

    assert value_of(handle) == BOOM
    assert Counter(run[0] for run in runs) == counts
    assert [found[:2] for found in told] == errbacks
