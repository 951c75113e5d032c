"""Celery itself says how often it would run the tasks of a canvas: nothing is sent, and no task is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import celery
import pytest
from celery import Celery, chain, chord, group

from orchestrator.engine.rehearsal import rehearse

app = Celery(
    "rehearsed", broker="redis://nowhere.invalid/0", backend="redis://nowhere.invalid/0", set_as_current=False
)


@app.task(name="rehearsed.never")
def never(*_: Any, **__: Any) -> None:
    raise AssertionError("it is called")


def pair() -> Any:
    return group(never.si(1), never.si(2))


# Counted with Celery 5.7.0: one Redis as broker and result backend, and one worker, -P threads -c 4.
COUNTED: dict[str, tuple[Callable[[], Any], dict[str, int]]] = {
    "a chain": (lambda: chain(never.s(1), never.s()), {never.name: 2}),
    "a chain of three groups": (lambda: chain(pair(), pair(), pair()), {never.name: 8}),
    "a chain of four groups": (lambda: chain(pair(), pair(), pair(), pair()), {never.name: 10}),
    "three groups and a task": (lambda: chain(pair(), pair(), pair(), never.s()), {never.name: 7}),
    "a task and three groups": (lambda: chain(never.si(0), pair(), pair(), pair()), {never.name: 7}),
    "a chord with a group as its body": (lambda: chord(pair(), group(never.s(), never.s())), {never.name: 4}),
    "a chord and groups of one": (
        lambda: chain(chord(pair(), pair()), group(never.si(7)), group(never.si(8))),
        {never.name: 6},
    ),
    "chords in a chain": (
        lambda: chain(
            never.si(0),
            chord([never.s(), chain(never.s(), group(never.s(), never.s()))], never.s()),
            never.s(),
        ),
        {never.name: 7},
    ),
    "a callback": (lambda: chain(never.s(1).set(link=never.s()), pair()), {never.name: 4}),
    "chunks": (lambda: never.chunks([(1,), (2,), (3,)], 2).group(), {"celery.starmap": 2}),
    "starmap": (lambda: never.starmap([(1,), (2,)]), {"celery.starmap": 1}),
}


@pytest.mark.skipif(celery.__version__ != "5.7.0", reason="another version has other faults")
@pytest.mark.parametrize("name", COUNTED)
def test_the_counts_are_those_of_a_worker(name: str) -> None:
    make, messages = COUNTED[name]

    counts = rehearse(make())

    assert counts.messages == messages
    assert (counts.is_whole, counts.fault, counts.version) == (True, "", "5.7.0")


def test_what_apply_async_is_given_counts_too() -> None:
    assert rehearse(chain(never.s(), never.s()), (1,)).total == 2


def test_it_stops_where_there_are_too_many() -> None:
    counts = rehearse(group(never.si(number) for number in range(50)), most=10)

    assert not counts.is_whole


def test_what_celery_raises_is_told() -> None:
    broken = chord([never.s()], never.s())
    broken.kwargs["body"] = {"task": None}

    assert rehearse(broken).fault


def test_the_current_app_is_as_before() -> None:
    before = celery.current_app.main

    rehearse(pair())

    assert celery.current_app.main == before
