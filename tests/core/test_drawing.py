"""Drawings: well-formed whatever the titles say, with every task and every arrow in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import drawing, errors
from orchestrator.models import Strategy, TaskStatus
from orchestrator.planner import plan
from orchestrator.texts import as_text
from tests.core.factories import authentication, feature, task

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'a "quote" [b] {c} <i>&lt; `d` \\N \\ #35; ; %% -->|e| 日本語'
STATES = {"T1": TaskStatus.COMPLETED, "T2": TaskStatus.IN_PROGRESS}

one_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60).map(as_text)


def boxes(picture: str) -> dict[str, ElementTree.Element]:
    """The boxes of an SVG drawing by the id written in them."""
    return {str(box[2].text): box for box in ElementTree.fromstring(picture).findall(f"{SVG}svg")}


def test_mermaid_groups_by_batch_draws_arrows_and_colours() -> None:
    made = authentication()

    lines = [text.strip() for text in drawing.mermaid(made, plan(made), STATES).splitlines()]

    assert lines[0] == "flowchart LR"
    assert lines[1:6] == [
        'subgraph b1["Batch 1"]',
        "direction TB",
        'n1["T1 Create schema"]',
        'n3["T3 Build UI"]',
        "end",
    ]
    assert [text for text in lines if "-->" in text] == ["n1 --> n2", "n2 --> n4", "n2 --> n5"]
    assert "class n1 completed" in lines
    assert "class n2 in_progress" in lines
    assert any(text.startswith("classDef in_progress fill:") for text in lines)


def test_mermaid_takes_no_task_for_a_word_of_its_own() -> None:
    text = drawing.mermaid(feature(task("end"), task("T2", "end", title=NASTY)))

    assert 'n1["end"]' in text
    assert "n1 --> n2" in text


@given(one_line)
def test_mermaid_writes_every_sign_of_a_title_as_a_character(title: str) -> None:
    text = drawing.mermaid(feature(task("T1", title=title)))

    (label,) = re.findall(r'^    n1\["(.*)"\]$', text, re.MULTILINE)
    assert not re.search(r'["`<>&\[\]{}|%]', label)
    read = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)
    assert read == (f"T1 {title}" if title not in ("", "T1") else "T1")


def test_dot_groups_by_batch_and_escapes() -> None:
    made = feature(task("T1", title=NASTY), task("T2", "T1"), title='Say "hi" \\ & go')

    text = drawing.dot(made, plan(made), STATES)

    assert text.startswith('digraph "Say \\"hi\\" \\\\ &amp; go" {\n')
    assert 'subgraph cluster_2 {\n        label="Batch 2"\n        "T2" [label="T2"' in text
    assert '"T1" -> "T2"' in text
    assert 'a \\"quote\\" [b] {c} <i>&amp;lt; `d` \\\\N \\\\ #35;' in text


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_graphviz_reads_what_dot_wrote() -> None:
    made = feature(task("T1", title=NASTY), task("node", "T1"))

    run = subprocess.run(
        ["dot", "-Tsvg"],
        input=drawing.dot(made, plan(made), STATES),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    shown = [text.text for text in ElementTree.fromstring(run.stdout).iter(f"{SVG}text")]
    assert f"T1 {NASTY}" in [str(text).replace("\xa0", " ") for text in shown]
    assert not run.stderr


def test_svg_has_a_column_for_each_batch_and_an_arrow_for_each_dependency() -> None:
    made = authentication()

    picture = drawing.svg(made, plan(made))

    left = {name: int(box.attrib["x"]) for name, box in boxes(picture).items()}
    assert left["T1"] == left["T3"] < left["T2"] < left["T4"] == left["T5"]
    assert picture.count('marker-end="url(#arrow)"') == 3
    assert [f"Batch {number}" in picture for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert "http" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_svg_colours_by_status_and_says_how_many_of_each() -> None:
    picture = drawing.svg(authentication(), states=STATES)

    fills = {name: box[1].attrib["fill"] for name, box in boxes(picture).items()}
    assert fills["T1"] == drawing.COLOURS[TaskStatus.COMPLETED].fill
    assert fills["T2"] == drawing.COLOURS[TaskStatus.IN_PROGRESS].fill
    assert fills["T3"] == drawing.PLAIN.fill
    assert "completed (1)" in picture


def test_every_status_has_a_colour() -> None:
    assert set(drawing.COLOURS) == set(TaskStatus)


def test_svg_leads_a_long_arrow_past_the_boxes_between() -> None:
    # Given a task that depends on the first and on the last of a line
    made = feature(task("T1"), task("T2", "T1"), task("T3", "T2"), task("T4", "T1", "T3"))

    # When drawn
    picture = drawing.svg(made)

    # Then the boxes in the middle make room for the arrow that passes
    tops = {name: int(box.attrib["y"]) for name, box in boxes(picture).items()}
    passing = [int(text) for text in re.findall(r" (\d+) H\d+", picture)]
    assert len(passing) == 2
    assert all(
        not tops[name] <= y <= tops[name] + drawing.BOX_HEIGHT for name in ("T2", "T3") for y in passing
    )


@given(one_line, one_line.filter(bool))
def test_svg_is_well_formed_whatever_the_titles(title: str, feature_title: str) -> None:
    picture = drawing.svg(feature(task("T1", title=title), title=feature_title))

    assert set(boxes(picture)) == {"T1"}


def test_svg_boxes_do_not_overlap() -> None:
    made = feature(*(task(f"T{at}", *([f"T{at // 2}"] if at // 2 else [])) for at in range(1, 40)))

    spots = [(int(box.attrib["x"]), int(box.attrib["y"])) for box in boxes(drawing.svg(made)).values()]

    assert len(spots) == 39
    assert all(
        x != other_x or abs(y - other_y) >= drawing.BOX_HEIGHT
        for place, (x, y) in enumerate(spots)
        for other_x, other_y in spots[:place]
    )


def test_svg_of_a_sequential_plan_has_one_task_a_column() -> None:
    made = authentication()

    picture = drawing.svg(made, plan(made, strategy=Strategy.SEQUENTIAL))

    assert len({box.attrib["x"] for box in boxes(picture).values()}) == 5


def test_a_cycle_is_drawn_by_others_and_explained_by_svg() -> None:
    made = feature(task("T1", "T2"), task("T2", "T1"))

    assert "n2 --> n1" in drawing.mermaid(made)
    assert '"T2" -> "T1"' in drawing.dot(made)
    with pytest.raises(errors.CircularDependency):
        drawing.svg(made)
