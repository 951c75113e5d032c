"""Nested canvases that nobody has written: as features, as Celery's own eager mode runs them, and given out again."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import adopt
from orchestrator.config.settings import Settings
from orchestrator.engine import canvas_of_calls
from orchestrator.testing import InProcessClient, in_memory, open_client

app = Celery("nested", broker="redis://nowhere.invalid/0", backend="cache+memory://", set_as_current=False)
canvas_of_calls.register(app)
runs: Counter[str] = Counter()


@app.task(name="nested.wrap", shared=False)
def wrap(*args: Any, tag: str = "") -> Any:
    runs[tag] += 1
    return [tag, *args]


@app.task(name="nested.swap", bind=True, shared=False)
def swap(self: Any, *args: Any, tag: str = "", kind: str = "") -> Any:
    runs[tag] += 1
    first, second = wrap.si(*args, tag=f"{tag}1"), wrap.s(tag=f"{tag}2")
    canvases: dict[str, Any] = {
        "chain": chain(first, second),
        "group": group(first, wrap.si(tag=f"{tag}2")),
        "chord": chord([first, wrap.si(tag=f"{tag}3")], second),
        "nested": chain(first, swap.s(tag=f"{tag}4", kind="group"), second),
    }
    return self.replace(canvases[kind])


TAGS = st.sampled_from("abcdefgh")
LEAVES = st.one_of(
    st.builds(lambda tag: wrap.s(tag=tag), TAGS),
    st.builds(lambda tag, one: wrap.s(one, tag=tag), TAGS, st.integers(0, 9)),
    st.builds(lambda tag, one: wrap.si(one, tag=tag), TAGS, st.integers(0, 9)),
    st.builds(
        lambda tag, kind: swap.s(tag=tag, kind=kind),
        TAGS,
        st.sampled_from(["chain", "group", "chord", "nested"]),
    ),
)


def larger(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Chains, groups and chords of parts. A group of one is left out: Celery counts it as its member, or does not."""
    several = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda steps: chain(*steps)),
        several.map(group),
        st.builds(chord, st.lists(parts, min_size=1, max_size=3), parts),
    )


CANVASES = st.recursive(LEAVES, larger, max_leaves=8)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessClient]:
    folder: Path = tmp_path_factory.mktemp("nested")
    with open_client(in_memory(Settings(), logs=folder), app) as client:
        yield client


def counted() -> dict[str, int]:
    """How often each task has run since the last look."""
    found = dict(runs)
    runs.clear()
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(canvas=CANVASES)
def test_a_nested_canvas_gives_what_celery_gives_and_so_does_what_is_given_out(
    client: InProcessClient, canvas: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted()
        value = canvas.clone().apply().get()
        times = counted()

        assert client.run(canvas.clone()).result() == value
        assert counted() == times

        given_out = adopt(canvas, app=app).canvas(app)
        assert given_out.apply().get() == value
        assert counted() == times
