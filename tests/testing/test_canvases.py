"""Canvases from public reports against celery/celery, each with the value and the runs that are right.

Each case names its issue there. What Celery 5.7.0 gave is in the docs (how-to, "From Celery").
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
import yaml
from celery import Celery, chain, chord, group, signature

from orchestrator import adopt
from orchestrator.client.handle import Handle
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.testing import InProcessClient, in_memory, open_client
from tests.typed import orchestrate

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


REPLACEMENTS: dict[str, Callable[[Any], Any]] = {
    "one": lambda x: ident.s(x),
    "group": lambda _: group(ident.s(1), ident.s(2)),
    "chain": lambda _: chain(ident.s(1), add.s(1)),
    "chord": lambda _: chord([ident.s(1), ident.s(2)], tsum.s()),
    "taskgroup": lambda _: chain(add.s(1, 2), group(add.s(1), add.s(2))),
    "nested": lambda _: chain(signature("swap", ("group",)), tsum.s(), signature("swap")),
    "empty": lambda _: group(),
    "linked": lambda _: ident.s(1).set(link=[ident.s()]),
    "fail": lambda _: fail.s(),
    "groupfail": lambda _: group(fail.s(), fail.s()),
    "chainfail": lambda _: chain(ident.s(1), fail.s(), ident.s()),
    "lastfail": lambda _: chain(ident.s(1), group(fail.s(), fail.s())),
    "chordfail": lambda _: chord([ident.s(1), fail.s()], tsum.s()),
}


@app.task(name="swap", bind=True)
def swap(self: Any, kind: Any, x: Any = None) -> Any:
    runs.append(("swap", kind))
    return self.replace(REPLACEMENTS[kind](x)) if kind in REPLACEMENTS else kind


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
    "47 celery#1078": (lambda: chain(add.s(0, 0), *[add.s(1) for _ in range(100)]), 100, {"add": 101}),
    "53 celery#3902": (
        lambda: add.s(0, 1) | group(add.s(2), add.s(3) | group(add.s(4), add.s(5))) | ident.s(),
        [3, [8, 9]],
        {"add": 5, "ident": 1},
    ),
    "13 celery#10191": (
        lambda: chord([ident.s(10), swap.s("group"), ident.s(20)], ident.s()),
        [10, [1, 2], 20],
        {"ident": 5, "swap": 1},
    ),
    "15 celery#9484": (lambda: swap.si("taskgroup"), [4, 5], {"swap": 1, "add": 3}),
    "42 celery#2722": (
        lambda: chain(ident.s(0), swap.si("group"), tsum.s()),
        3,
        {"ident": 3, "swap": 1, "tsum": 1},
    ),
    "replaced by one": (lambda: chain(swap.si("one", 5), add.s(1)), 6, {"swap": 1, "ident": 1, "add": 1}),
    "replaced by a chain": (
        lambda: group(swap.si("chain"), ident.si(0)),
        [2, 0],
        {"swap": 1, "ident": 2, "add": 1},
    ),
    "replaced by a chord": (
        lambda: chain(swap.si("chord"), add.s(1)),
        4,
        {"swap": 1, "ident": 2, "tsum": 1, "add": 1},
    ),
    "replaced in a replacement": (
        lambda: group(chain(swap.si("nested"), ident.s()), swap.si("nested")),
        [3, 3],
        {"swap": 6, "ident": 5, "tsum": 2},
    ),
    "replaced by nothing": (lambda: chain(swap.si("empty"), ident.s()), [], {"swap": 1, "ident": 1}),
    "replaced by a task with a callback": (
        lambda: chain(swap.si("linked"), ident.s()),
        1,
        {"swap": 1, "ident": 3},
    ),
    # Celery 5.6 makes a chord with an empty header of it, when the chain is made.
    "a group of none": (
        lambda: chain(ident.s(1), group(), ident.s()),
        1 if celery.VERSION >= (5, 7) else [],
        {"ident": 2},
    ),
    "a header of an empty group": (lambda: chord([group()], tsum.s()), 0, {"tsum": 1}),
    "a group in a group": (
        lambda: group(group(ident.s(1), group(ident.s(2))), ident.s(3)),
        [1, 2, 3],
        {"ident": 3},
    ),
    "a group in a header": (
        lambda: chord([group(ident.s(1), ident.s(2)), ident.s(3)], ident.s()),
        [1, 2, 3],
        {"ident": 4},
    ),
    "starmap": (lambda: add.starmap([(1, 2), (3, 4)]) | tsum.s(), 10, {"add": 2, "tsum": 1}),
    "chunks": (lambda: add.chunks(zip(range(4), range(4), strict=True), 2), [[0, 2], [4, 6]], {"add": 4}),
    "linked": (lambda: ident.s(1).set(link=[ident.s()]), 1, {"ident": 2}),
}


def value_of(handle: Handle) -> Any:
    try:
        return handle.as_result().get(timeout=1)
    except ValueError as error:
        with pytest.raises(errors.NotCompleted):
            handle.result()
        return str(error)


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
    "30 celery#9107": (
        lambda: chord([ident.s(1), swap.si("chordfail")], tsum.s().on_error(onerr.s())),
        [("e", "ChordError")],
        {"swap": 1, "fail": 1, "ident": 2},
    ),
    "30 celery#9107, by one task": (
        lambda: chord([ident.s(1), swap.si("fail")], tsum.s().on_error(onerr.s())),
        [("e", "ChordError")],
        {"swap": 1, "fail": 1, "ident": 1},
    ),
    "a replacing group": (
        lambda: swap.si("groupfail").on_error(onerr.s()),
        [("e", "ChordError")],
        {"swap": 1, "fail": 2},
    ),
    "a replacing chain": (
        lambda: swap.si("chainfail").on_error(onerr.s()),
        [("e", "ValueError")],
        {"swap": 1, "ident": 1, "fail": 1},
    ),
    "a replacing chain that ends in a group": (
        lambda: swap.si("lastfail").on_error(onerr.s()),
        [("e", "ChordError")],
        {"swap": 1, "ident": 1, "fail": 2},
    ),
    "a group in a chain": (
        lambda: chain(group(fail.si(), fail.si()), ident.s()).on_error(onerr.s()),
        [("e", "ChordError")],
        {"fail": 2},
    ),
    "the last group of a chain": (
        lambda: chain(ident.si(1), group(fail.si(), fail.si())).on_error(onerr.s()),
        [("e", "ValueError")] * 2,
        {"ident": 1, "fail": 2},
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
        [("e", "ChordError")],
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


CALLED: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    "an errback that is a chain": (
        lambda: fail.si().on_error(chain(told_id.s(), add.s("!"))),
        ["id", ("add", "id", "!")],
    ),
    "an errback that is a group": (
        lambda: fail.si().on_error(group(told_id.s(), add.si(1, 2))),
        ["id", ("add", 1, 2)],
    ),
    "an errback that is a chord": (
        lambda: fail.si().on_error(chord([told_id.s(), ident.si(1)], ident.s())),
        ["id", ("ident", 1), ("ident", ["id", 1])],
    ),
    "one of a chord's body, once": (
        lambda: chord([fail.si(), fail.si()], tsum.s()).on_error(chain(told_id.s(), add.s("!"))),
        ["id", ("add", "id", "!")],
    ),
    "a callback that is a chain": (
        lambda: ident.s(1).set(link=[chain(add.s(1), add.s(1))]),
        [("ident", 1), ("add", 1, 1), ("add", 2, 1)],
    ),
    "a callback that is a group": (
        lambda: ident.s(1).set(link=[group(add.s(1), ident.s())]),
        [("ident", 1), ("add", 1, 1), ("ident", 1)],
    ),
    "a callback that is a chord": (
        lambda: ident.s(1).set(link=[chord([add.s(1), add.s(2)], tsum.s())]),
        [("ident", 1), ("add", 1, 1), ("add", 1, 2), ("tsum", [2, 3])],
    ),
    "a callback of a chain that is a chain": (
        lambda: chain(ident.s(1), add.s(1)).set(link=chain(add.s(1), ident.s())),
        [("ident", 1), ("add", 1, 1), ("add", 2, 1), ("ident", 3)],
    ),
}


@task
def told_id(task_id: str) -> str:
    runs.append("id")
    return "id"


@pytest.mark.parametrize("name", CALLED)
def test_a_canvas_is_called_as_an_errback_or_a_callback(client: InProcessClient, name: str) -> None:
    make, expected = CALLED[name]

    client.run(make())

    assert [run for run in runs if run != ("fail",)] == expected


@pytest.mark.parametrize("name", ERRBACKS)
def test_an_errback_is_called_once(client: InProcessClient, name: str) -> None:
    make, errbacks, counts = ERRBACKS[name]

    handle = client.run(make())

    assert value_of(handle) == BOOM
    assert Counter(run[0] for run in runs) == counts
    assert [found[:2] for found in told] == errbacks


def test_an_error_stands_where_a_result_would_if_it_is_not_raised(client: InProcessClient) -> None:
    # celery#10692
    result = client.run(group(ident.si(1), chain(ident.si(2), group(ident.si(3), fail.si())))).as_result()

    first, (second, error) = result.get(propagate=False)

    assert (first, second, repr(error)) == (1, 3, "ValueError('boom')")
    assert result.failed()
    assert {child.state for child in result.children} == {"SUCCESS", "FAILURE"}


def test_a_result_has_the_words_of_celery(client: InProcessClient) -> None:
    handle = client.enqueue(chain(add.s(1, 2), add.s(3)))
    result = handle.as_result()
    assert (result.ready(), result.state, result.result) == (False, "PENDING", None)

    assert result.get() == 6

    assert (result.ready(), result.successful(), result.state, result.result) == (True, True, "SUCCESS", 6)
    assert [child.get() for child in result.children] == [3, 6]
    result.forget()
    with pytest.raises(errors.NoSuchFeature):
        client.feature(handle.id)


def test_arguments_given_at_the_end_reach_the_tasks_that_begin(client: InProcessClient) -> None:
    # celery#2251, celery#4643: `clone` loses them, `apply_async` and `adopt` take them
    assert client.run(adopt(chain(add.s(1), add.s(2)), args=(10,), app=app)).result() == 13
    assert client.run(adopt(group(add.s(1), add.s(2)), args=(10,), app=app)).result() == [11, 12]
    assert client.run(adopt(chain(add.s(), ident.s()), kwargs={"x": 1, "y": 2}, app=app)).result() == 3


def test_a_countdown_is_waited_for_and_is_no_retry(client: InProcessClient) -> None:
    # celery#7851
    began = client.worker.server.now if client.worker else 0.0
    countdown = (group(add.si(1, 1), add.si(2, 2)) | add.si(3, 3)).set(countdown=3_000)

    assert client.run(countdown).result() == 6

    assert client.worker is not None
    assert client.worker.server.now - began >= 3_000
    assert Counter(run[0] for run in runs) == {"add": 3}


def test_the_message_of_a_task_has_the_queue_and_the_priority_of_its_signature() -> None:
    feature = adopt(
        chain(ident.s(1), chord([ident.s(), ident.s()], tsum.s().set(priority=3, queue="fast"))), app=app
    )

    assert {task.id: task.options.sent_as for task in feature.tasks if task.options} == {
        "tsum": {"priority": 3, "queue": "fast"}
    }


def test_a_task_that_must_not_run_twice_says_so_itself_or_in_a_header() -> None:
    careful = Celery("careful", set_as_current=False)

    @careful.task(name="pay", shared=False, idempotent=False)
    def pay() -> None: ...

    @careful.task(name="look", shared=False)
    def look() -> None: ...

    never: Any = {"idempotent": False}
    always: Any = {"idempotent": True}
    canvas = group(pay.si(), look.si(), look.si().set(headers=never), pay.si().set(headers=always))

    assert [task.idempotent for task in adopt(canvas, app=careful).tasks] == [False, True, False, True]


def test_a_callback_of_a_group_is_told_to_be_that_of_its_first(client: InProcessClient) -> None:
    # celery#4281: by the time that anybody else sees the canvas, Celery has put the callback there
    both = group(ident.si(1), ident.si(2))
    both.link(noarg.si())

    with pytest.warns(UserWarning, match="noarg is called after ident\\(1\\) alone, the first of a group"):
        handle = client.run(both)

    assert value_of(handle) == [1, 2]
    assert Counter(run[0] for run in runs) == {"ident": 2, "noarg": 1}


def test_a_callback_of_a_chord_whose_body_is_a_group_is_told_to_be_that_of_its_first() -> None:
    sums = chord([ident.s(1), ident.s(2)], group(tsum.s(), tsum.s()))
    sums.link(ident.s())

    with pytest.warns(UserWarning, match="alone, the first of a group"):
        adopt(sums, app=app)


def test_an_option_that_would_be_lost_is_refused() -> None:
    with pytest.raises(
        errors.NotAFeature, match=r"ident has the option routing_magic, which is not carried over"
    ):
        adopt(ident.s(1).set(routing_magic=1), app=app)


def test_groups_behind_groups_do_not_multiply_dependencies() -> None:
    wide = [ident.si(number) for number in range(200)]

    feature = adopt(chain(group(*wide), group(*[tsum.s() for _ in range(200)])), app=app)

    assert sum(len(task.depends_on) for task in feature.tasks) == 400


def test_a_canvas_is_printed_as_a_feature_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "canvas_flows.py").write_text(
        "from tests.testing.test_canvases import add, ident, noarg\n"
        "from celery import chain, group\n"
        "def nightly(): return chain(add.s(1), group(ident.s(), ident.s()))\n"
        "def groups(): return chain(*[group(ident.si(1), ident.si(2)) for _ in range(3)])\n"
        "def linked():\n"
        "    both = group(ident.si(1), ident.si(2))\n"
        "    both.link(noarg.si())\n"
        "    return both\n"
        "one = 1\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))

    printed = orchestrate(tmp_path, "adopt", "canvas_flows:nightly", "--args", "[5]")

    feature = Feature.model_validate(yaml.safe_load(printed.stdout))
    assert [(task.id, task.call, task.depends_on) for task in feature.tasks] == [
        ("add", "add", ()),
        ("ident", "ident", ("add",)),
        ("ident-2", "ident", ("add",)),
    ]
    assert feature.tasks[0].args == (5, 1)
    assert feature.result == [{"result": "ident"}, {"result": "ident-2"}]
    assert "would send 3 messages, and run each task as often as here" in printed.stdout
    planned = orchestrate(tmp_path, "plan", "canvas_flows:groups")
    assert "Batch 1: ident, ident-2" in planned.stdout
    assert planned.stdout.splitlines()[-1].startswith("Celery ")
    found = json.loads(
        orchestrate(tmp_path, "adopt", "canvas_flows:nightly", "--args", "[5]", "--json").stdout
    )
    assert found["celery"] == {"version": celery.__version__, "total": 3, "messages": {"add": 1, "ident": 2}}
    answer = json.loads(orchestrate(tmp_path, "plan", "canvas_flows:groups", "--json").stdout)
    assert answer["celery"]["total"] == sum(answer["celery"]["messages"].values())
    linked = orchestrate(tmp_path, "adopt", "canvas_flows:linked")
    assert "noarg is called after ident(1) alone, the first of a group" in linked.stderr
    for name, cause in (
        ("canvas_flows", "MODULE:NAME"),
        ("canvas_flows:one", "it is a int"),
        ("gone:x", "No module"),
    ):
        refused = orchestrate(tmp_path, "adopt", name)
        assert refused.returncode == 2
        assert cause in refused.stderr
