"""The view of a feature: whatever its size, it fits the terminal and shows what matters."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from orchestrator.cli import output, views
from orchestrator.client.snapshot import Snapshot
from orchestrator.model.progress import TaskState
from tests.model.factories import NOW, failed, progress, running, state


def snapshot(*states: TaskState, sizes: dict[int, int], is_whole: bool = True, **fields: Any) -> Snapshot:
    return Snapshot(
        progress=progress(batches=max(sizes), **fields),
        sizes=sizes,
        states=states,
        said={one.id: "failing-tests: 2 failed" for one in states if one.status == "failed"},
        is_whole=is_whole,
    )


def small() -> Snapshot:
    """Two batches: one with a task of each sort, and one that waits."""
    return snapshot(
        running("T1", percent=40, note="compiling"),
        failed("T2"),
        state("T3", phase="queued"),
        state("T4", phase="delayed", due=NOW + 4),
        state("T5", phase="waiting", batch=2),
        sizes={1: 4, 2: 1},
        batch_total=4,
        batch_resolved=0,
    )


def large(width: int = 1_000, batches: int = 90, batch: int = 40) -> Snapshot:
    """A wide batch in the midst of many, with one task that runs and one that failed far down in it."""
    states = [state(f"T{number}", phase="queued", batch=batch) for number in range(width)]
    states[700] = running("T700").model_copy(update={"batch": batch})
    states[800] = failed("T800").model_copy(update={"batch": batch})
    sizes = dict.fromkeys(range(batch - 3, batch + 4), 12)
    found = snapshot(*states, sizes=sizes, is_whole=False, batch=batch, total=5_000)
    return Snapshot(**{**vars(found), "progress": found.progress.model_copy(update={"batches": batches})})


def lines_of(found: Snapshot, width: int = 120, room: int | None = None) -> list[str]:
    return [line.plain for line in views.feature_lines(found, NOW, width, room)]


def test_each_task_has_a_sign_a_word_a_time_and_a_reason() -> None:
    text = "\n".join(lines_of(small()))
    for row in (
        "▶ running     T1  Senior Engineer  12s      40%, compiling",
        "✗ failed      T2  Senior Engineer  4s       failing-tests: 2 failed",
        "… queued      T3  Senior Engineer           waiting for a slot (2 of 2 in use)",
        "↻ retrying    T4  Senior Engineer           retry in 4s",
        "· waiting     T5  Senior Engineer           waiting for batch 1",
    ):
        assert row in text


def test_each_batch_has_its_share() -> None:
    lines = lines_of(small())
    assert "▶ Batch 1: 0/4 tasks complete (0%)" in lines
    assert "· Batch 2: 1 task, waiting for batch 1" in lines


def test_the_head_says_what_it_is_and_how_far() -> None:
    head = lines_of(small())[:3]
    assert head[0] == "Login  login-1"
    assert "in-development · batched · at most 2 tasks at once" in head[1]
    assert head[2].endswith("2/8 tasks (25%)")


@pytest.mark.parametrize("room", [3, 5, 8, 12, 23, 60])
@pytest.mark.parametrize("width", [20, 60, 120, 200])
@pytest.mark.parametrize("found", [small(), large(), large(width=1_000, batches=1, batch=1)])
def test_it_is_never_larger_than_the_terminal(found: Snapshot, width: int, room: int) -> None:
    lines = views.feature_lines(found, NOW, width, room)
    assert len(lines) <= room
    assert max(line.cell_len for line in lines) <= width


def test_of_a_large_batch_it_shows_what_stopped_and_what_runs_and_counts_the_others() -> None:
    lines = lines_of(large(), room=20)
    assert any("failed      T800" in line for line in lines)
    assert any("running     T700" in line for line in lines)
    assert "    and 995 more: 995 queued" in lines


def test_of_many_batches_it_names_the_nearest_and_sums_up_the_others() -> None:
    lines = lines_of(large(), room=30)
    assert "✓ Batches 1 to 37: complete" in lines
    assert "· Batches 43 to 90: wait" in lines
    assert any(line.startswith("▶ Batch 40") for line in lines)


def test_a_notice_stands_in_the_head() -> None:
    found = Snapshot(**{**vars(small()), "notice": "No worker takes from hard-work"})
    assert "! No worker takes from hard-work" in lines_of(found, room=8)


def test_wide_letters_count_as_two_columns() -> None:
    found = snapshot(state("T1", title="数据库" * 60, phase="queued"), sizes={1: 1})
    assert max(line.cell_len for line in views.feature_lines(found, NOW, 60)) <= 60


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("[bold]x[/bold] :smile:", "[bold]x[/bold] :smile:"),
        ("a\x07b\x9bc\u202ed", "abcd"),
    ],
)
def test_texts_from_outside_are_inert(raw: str, shown: str) -> None:
    text = output.inert(raw)
    assert isinstance(text, Text)
    assert text.plain == shown
    assert not text.spans


HOSTILE = "a\x1b[2J\x1b]0;owned\x07[red]b[/red]\x9b31m\u202e\r\n<b>"


def test_hostile_texts_do_nothing_to_a_terminal() -> None:
    # Given control sequences and markup in every text from outside
    hostile = running("T1", title=HOSTILE, note=HOSTILE, specialist=HOSTILE)
    found = snapshot(hostile, failed("T2", title=HOSTILE), sizes={1: 2}, title=HOSTILE)
    found = Snapshot(**{**vars(found), "said": {"T2": HOSTILE}, "notice": HOSTILE})

    # When it is written to a terminal with colours
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, color_system="truecolor", width=120, markup=False)
    for line in views.feature_lines(found, NOW, 120):
        terminal.print(line)
    terminal.print(views.feature_table([progress(title=HOSTILE)], NOW))

    # Then nothing but our own colours reaches it, and markup is read as it stands
    left = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    assert left.replace("\n", "").isprintable()
    assert "owned" not in left
    assert "[red]b[/red]" in left


def test_features_that_need_a_person_come_first() -> None:
    table = views.feature_table(
        [
            progress(id="done", status="completed"),
            progress(id="busy"),
            progress(id="held", status="on-hold"),
            progress(id="stuck", status="blocked"),
        ],
        NOW,
    )
    assert list(table.columns[0].cells) == ["held", "stuck", "busy", "done"]
