"""A feature's result, for code that expects a result of Celery's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import _chain
from celery.result import AsyncResult, GroupResult

from orchestrator import adopt
from orchestrator.config.settings import Settings
from orchestrator.testing import InProcessClient, in_memory, open_client

app = Celery("results", broker="redis://nowhere.invalid/0", backend="cache+memory://", set_as_current=False)
told: list[Any] = []


class Refused(Exception):
    """As a project has its own."""


@app.task(name="ident")
def ident(x: Any = None) -> Any:
    return x


@app.task(name="seen", bind=True)
def seen(self: Any, *_: Any) -> Any:
    return self.request.id


@app.task(name="due", bind=True)
def due(self: Any) -> Any:
    return self.request.eta


@app.task(name="sends")
def sends() -> Any:
    return GroupResult("group", [AsyncResult("one", app=app), AsyncResult("two", app=app)], app=app)


@app.task(name="refuse")
def refuse(*_: Any) -> None:
    raise Refused("too late", 3)


@app.task(name="tell")
def tell(*what: Any) -> None:
    told.append(what)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcessClient]:
    monkeypatch.chdir(tmp_path)
    told.clear()
    with open_client(in_memory(Settings()), app) as client:
        yield client


def test_the_result_of_a_group_has_those_of_its_members(client: InProcessClient) -> None:
    result = client.run(group(ident.s(1), chain(ident.s(2), group(ident.si(3), refuse.si())))).as_result()

    one, inner = result.results
    assert (one.get(), one.state, one.results) == (1, "SUCCESS", [])
    assert [each.state for each in inner.results] == ["SUCCESS", "FAILURE"]
    assert (inner.state, result.state) == ("FAILURE", "FAILURE")


def test_the_parent_is_the_step_before(client: InProcessClient) -> None:
    steps = chain(ident.s(1), group(ident.s(), ident.si(2)), ident.s(), ident.si(3))

    last = client.run(steps).as_result()
    third = last.parent
    assert third is not None
    second = third.parent
    assert second is not None
    first = second.parent
    assert first is not None

    assert [each.get() for each in (last, third, second, first)] == [3, [1, 2], [1, 2], 1]
    assert first.parent is None


def test_what_did_not_run_has_the_error_of_what_it_waited_for(client: InProcessClient) -> None:
    result = client.run(chain(refuse.s(), ident.s(), ident.s())).as_result()

    assert result.parent is not None
    assert (result.parent.state, result.state) == ("FAILURE", "FAILURE")
    with pytest.raises(Refused):
        result.parent.get()


def test_a_callback_that_fails_does_not_spoil_the_value(client: InProcessClient) -> None:
    result = client.run(chain(ident.s(1).set(link=refuse.s()), ident.s())).as_result()

    assert (result.get(), result.state) == (1, "SUCCESS")


def test_the_id_is_what_the_task_sees(client: InProcessClient) -> None:
    result = client.run(chain(ident.s(1), seen.s())).as_result()
    assert result.get() == result.id


def test_a_task_sees_the_id_that_its_canvas_gave_it(client: InProcessClient) -> None:
    frozen = seen.s()
    assert client.run(chain(ident.s(1), frozen)).as_result().get() != frozen.id
    given = frozen.freeze().id
    assert client.run(chain(ident.s(1), frozen)).as_result().get() == given
    assert client.run(chain(ident.s(1), seen.s()).set(task_id="the-last")).as_result().get() == "the-last"
    body = chord([ident.s(1)], chain(ident.s(), seen.s()), task_id="the-body")
    assert client.run(body).as_result().id == "the-body"
    assert (
        client.run(group(seen.s(), seen.s()).set(task_id="the-group")).as_result().get() != ["the-group"] * 2
    )


def test_an_errback_gets_the_id_that_the_canvas_gave(client: InProcessClient) -> None:
    client.run(refuse.s().set(task_id="mine", link_error=tell.s()))
    ((request, error, _),) = told
    assert (request.id, error.args) == ("mine", ("too late", 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda body: chord([ident.s(1), refuse.s()], body),
        lambda body: chord([chord([refuse.s()], ident.s())], body),
        lambda body: chain(group(ident.s(1), refuse.s()), body).on_error(tell.s()),
    ],
    ids=["chord", "nested", "chain"],
)
def test_an_errback_of_a_chord_gets_the_id_of_its_body(client: InProcessClient, make: Any) -> None:
    canvas = make(ident.s().set(task_id="the-body", link_error=tell.s()))
    client.run(canvas)
    assert {request.id for request, *_ in told} == {"the-body"}


@pytest.mark.parametrize(
    ("canvas", "tags"),
    [
        (chord([refuse.s()], group(ident.s(), ident.s())).set(link_error=tell.si("c")), "cc"),
        (
            chord([refuse.s()], group(ident.s().on_error(tell.si("o")), ident.s())).set(
                link_error=tell.si("c")
            ),
            "cco",
        ),
        (
            chord([refuse.s()], group(chord([ident.s()], ident.s()), ident.s())).set(link_error=tell.si("c")),
            "cc",
        ),
        (chord([refuse.s()], chord([ident.s()] * 2, ident.s())).set(link_error=tell.si("c")), "c"),
        (chord([refuse.s(), refuse.s()], ident.s()).set(link_error=tell.si("c")), "c"),
        (
            chord([chord([refuse.s()], ident.s().on_error(tell.si("c")))], ident.s().on_error(tell.si("c"))),
            "c",
        ),
        (chord([refuse.s().on_error(tell.si("o"))] * 2, ident.s().on_error(tell.si("c"))), "coo"),
    ],
    ids=["group", "member", "chord in group", "chord", "two fail", "nested with the same", "header's own"],
)
def test_how_often_the_errbacks_of_a_chord_are_called(
    client: InProcessClient, canvas: Any, tags: str
) -> None:
    # As t/integration/test_canvas.py of Celery has it.
    client.run(canvas)
    assert sorted(tag for (tag,) in told) == list(tags)


def test_an_errback_gets_its_own_arguments_with_their_types(client: InProcessClient) -> None:
    client.run(refuse.s().set(link_error=tell.si(b"bytes")))
    assert told == [(b"bytes",)]


def test_a_task_may_return_a_result_of_celerys(client: InProcessClient) -> None:
    ((first, _), members) = client.run(sends.s()).as_result().get()
    assert (first, [each[0][0] for each in members]) == ("group", ["one", "two"])


def test_a_task_that_was_to_begin_later_knows_when(client: InProcessClient) -> None:
    assert client.run(due.s()).as_result().get() is None
    assert str(client.run(due.s().set(countdown=60)).as_result().get()).startswith("20")


@pytest.mark.parametrize(
    ("canvas", "value"),
    [
        (group(ident.s(1), group(ident.s(2), group(ident.s(3)))), [1, 2, 3]),
        (group(chain(ident.s(1), group(ident.s(), ident.si(2)))), [1, 2]),
        (chord([group(ident.s(1), ident.s(2))], ident.s()), [1, 2]),
        (chord([chain(ident.s(1), group(ident.s(), ident.si(2)))], ident.s()), [[1, 2]]),
        (group(chain(), ident.s(1), chain(), group()), [1]),
        (chord([chain()], ident.s()), []),
    ],
    ids=["nested", "a chain that ends in a group", "header", "not a chain", "empty members", "empty header"],
)
def test_groups_in_groups_are_one_group(client: InProcessClient, canvas: Any, value: Any) -> None:
    assert client.run(canvas).as_result().get() == value


def test_arguments_pass_empty_steps(client: InProcessClient) -> None:
    # celery#9772
    steps = _chain(_chain(group(), chain(), ident.s(), app=app), ident.s(), app=app)
    assert client.run(adopt(steps, args=(5,), app=app)).as_result().get() == 5
