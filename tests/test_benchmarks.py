"""The benchmarks: their time is shared out, a missed target says how far, and the plot is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import plot, published, results
from benchmarks.__main__ import SUBJECTS
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import BUDGET, MINUTES, TARGETS
from benchmarks.peers import beside, process
from benchmarks.results import Result

START_AND_STOP = 30
"""Seconds."""


def test_every_subject_has_its_share_of_the_time_and_all_fit_in() -> None:
    assert set(SUBJECTS) == set(BUDGET)
    assert set(TARGETS) < set(BUDGET)
    assert sum(BUDGET.values()) <= 60 * MINUTES - START_AND_STOP


@pytest.mark.parametrize(
    ("target", "is_reached", "shortfall"),
    [
        (Target("at least", 3), False, 1 / 3),
        (Target("at least", 2), True, 0),
        (Target("at most", 1), False, 1),
        (Target("at most", 100, of="ours"), True, -0.9),
    ],
)
def test_a_row_knows_how_far_its_target_is_missed(target: Target, is_reached: bool, shortfall: float) -> None:
    # Given twice the median of the other side
    row = Row("a row", Figure("ours", (9, 10, 30), "s"), Figure("theirs", (5,), "s"), target)

    # Then the shortfall is the share of the target that is missing
    assert row.is_reached is is_reached
    assert row.shortfall == pytest.approx(shortfall)


def test_the_plot_has_a_mark_for_each_point_and_says_what_its_axes_are() -> None:
    # Given two series, one whose name needs escaping
    drawn = ElementTree.fromstring(plot.svg({"ours": [(10, 0.1), (100, 1)], "<theirs>": [(10, 2)]}, "Tasks"))

    # Then it is well-formed, and each point and each entry of the legend has a mark
    texts = [text.text or "" for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    circles = list(drawn.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == 2 + 1
    assert {"Tasks", "ours", "<theirs>", "1 s", "2 s"} <= set(texts)
    assert any("tasks" in text for text in texts)
    assert any("seconds" in text for text in texts)


@pytest.mark.parametrize(
    ("ours", "beside", "ratios"),
    [
        ((4, 9), (2, 3), (2, 3)),
        ((4, 9), (2,), (2, 4.5)),  # the other side was computed, or measured once
        ((4, 9), (1, 2, 3), ()),
    ],
)
def test_a_ratio_has_a_spread_where_both_sides_were_measured_in_turn(
    ours: tuple[float, ...], beside: tuple[float, ...], ratios: tuple[float, ...]
) -> None:
    assert Row("a row", Figure("ours", ours, "s"), Figure("theirs", beside, "s")).ratios == ratios


@pytest.mark.parametrize(
    "name",
    [*(f"{peer}_layers" for peer in beside.LAYERED), *(f"{engine}_fibo" for engine in published.ENGINES)],
)
def test_every_peer_has_the_code_that_is_measured(name: str) -> None:
    assert find_spec(f"benchmarks.peers.{name}")


FACTS = {"python": "3.11.7", "packages": {"celery": "5.7.0"}, "redis_server": "7.0.15", "processors": 2}


@pytest.mark.parametrize(("load", "is_disturbed"), [(0.1, False), (5.0, True)])
def test_results_go_into_the_page_and_replace_what_was_there(
    load: float, is_disturbed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a result on disk, and a page with an older table
    row = Row(
        "a hop", Figure("ours", (1, 2, 3), "ms"), Figure("theirs", (4, 4, 4), "ms"), Target("at most", 0.2)
    )
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    written = Result({**FACTS, "load": load}, 12.0, (row,)).write("line", tmp_path)
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Before\n{results.BEGIN}an older table\n{results.END}# After\n", "utf-8")

    # When it is published
    found = Result.read("line", tmp_path)
    results.publish(tmp_path)

    # Then the page has its table, with the command, the spread and the verdict, and all else as it was
    text = page.read_text("utf-8")
    assert written.exists()
    assert found == Result({**FACTS, "load": load}, 12.0, (row,))
    assert text.startswith("# Before\n")
    assert text.endswith("# After\n")
    assert "an older table" not in text
    assert "python -m benchmarks line" in text
    assert "0.5<br>(0.25 to 0.75)" in text
    assert "150.0% over" in text
    assert ("loaded machine" in text) is is_disturbed


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    print("ready", flush=True)
time.sleep(600)
"""


def test_a_peer_that_does_not_obey_is_killed_with_all_that_it_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.1)
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as peer:
        assert peer.stdout
        assert peer.stdout.readline() == "ready\n"
        process._end(peer)
        assert peer.returncode == -signal.SIGKILL
        assert peer.stdout.read() == ""  # the child holds it open as long as it lives


def test_a_slow_peer_is_measured_as_often_as_its_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.process.time.monotonic", lambda: 100.0)

    assert process._fits([(1.0, 2.0), (1.0, 50.0)], began=100 - process.PATIENCE + 60)
    assert not process._fits([(1.0, 2.0), (1.0, 50.0)], began=100 - process.PATIENCE + 50)
