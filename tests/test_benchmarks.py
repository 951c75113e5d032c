"""The benchmarks: their time is shared out, a missed target says how far, and the plot is whole."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks import plot
from benchmarks.__main__ import SUBJECTS
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import BUDGET, MINUTES

START_AND_STOP = 30
"""Seconds."""


def test_every_subject_has_its_share_of_the_time_and_all_fit_in() -> None:
    assert set(SUBJECTS) == set(BUDGET)
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
