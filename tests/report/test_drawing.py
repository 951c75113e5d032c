"""Drawings: well-formed whatever the titles say, with every task and every arrow in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.sanitizer import as_text
from orchestrator.model.task import Task, TaskStatus
from orchestrator.planning.planner import plan
from orchestrator.report import colours, graphviz, mermaid, picture, svg, text_width
from orchestrator.report.picture import Picture
from tests.model.factories import authentication, feature, task

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'a "quote" [b] {c} <i>&lt; `d` \\N \\ #35; ; %% -->|e| 日本語'
STATES = {"T1": TaskStatus.COMPLETED, "T2": TaskStatus.IN_PROGRESS}

one_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60).map(as_text)


def drawn(made: Feature, states: picture.States | None = None, strategy: Strategy | None = None) -> Picture:
    """All of a feature."""
    return picture.whole(made, [batch.tasks for batch in plan(made, strategy=strategy).batches], states)


def boxes(text: str) -> dict[str, ElementTree.Element]:
    """The boxes of an SVG drawing by the id written in them."""
    return {str(box[2].text): box for box in ElementTree.fromstring(text).findall(f"{SVG}svg")}


def test_mermaid_groups_by_batch_draws_arrows_and_colours() -> None:
    made = authentication()

    lines = [text.strip() for text in mermaid.mermaid(drawn(made, STATES)).splitlines()]

    assert lines[0] == "flowchart LR"
    assert lines[1:6] == [
        'subgraph b1["Batch 1"]',
        "direction TB",
        'n1["T1 Create schema"]',
        'n2["T3 Build UI"]',
        "end",
    ]
    assert [text for text in lines if "-->" in text] == ["n1 --> n3", "n3 --> n4", "n3 --> n5"]
    assert "class n1 completed" in lines
    assert "class n3 in_progress" in lines
    assert any(text.startswith("classDef in_progress fill:") for text in lines)


def test_mermaid_takes_no_task_for_a_word_of_its_own() -> None:
    text = mermaid.mermaid(drawn(feature(task("end"), task("T2", "end", title=NASTY))))

    assert 'n1["end"]' in text
    assert "n1 --> n2" in text


@given(one_line)
def test_mermaid_writes_every_sign_of_a_title_as_a_character(title: str) -> None:
    text = mermaid.mermaid(drawn(feature(task("T1", title=title))))

    (label,) = re.findall(r'^ +n1\["(.*)"\]$', text, re.MULTILINE)
    assert not re.search(r'["`<>&\[\]{}|%]', label)
    read = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)
    assert read == (f"T1 {title}" if title not in ("", "T1") else "T1")


def test_dot_groups_by_batch_and_escapes() -> None:
    made = feature(task("T1", title=NASTY), task("T2", "T1"), title='Say "hi" \\ & go')

    text = graphviz.dot(drawn(made, STATES))

    assert text.startswith('digraph "Say \\"hi\\" \\\\ &amp; go" {\n')
    assert 'subgraph cluster_2 {\n        label="Batch 2"\n        "T2" [label="T2"' in text
    assert '"T1" -> "T2"' in text
    assert 'a \\"quote\\" [b] {c} <i>&amp;lt; `d` \\\\N \\\\ #35;' in text


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_graphviz_reads_what_dot_wrote() -> None:
    made = feature(task("T1", title=NASTY), task("node", "T1"))

    run = subprocess.run(
        ["dot", "-Tsvg"],
        input=graphviz.dot(drawn(made, STATES)),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    shown = [text.text for text in ElementTree.fromstring(run.stdout).iter(f"{SVG}text")]
    assert f"T1 {NASTY}" in [str(text).replace("\xa0", " ") for text in shown]
    assert not run.stderr


def test_svg_has_a_column_for_each_batch_and_an_arrow_for_each_dependency() -> None:
    made = authentication()

    text = svg.svg(drawn(made))

    left = {name: int(box.attrib["x"]) for name, box in boxes(text).items()}
    assert left["T1"] == left["T3"] < left["T2"] < left["T4"] == left["T5"]
    assert text.count('marker-end="url(#arrow)"') == 3
    assert [f"Batch {number}" in text for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_svg_colours_by_status_and_says_how_many_of_each() -> None:
    text = svg.svg(drawn(authentication(), STATES))

    fills = {name: box[1].attrib["fill"] for name, box in boxes(text).items()}
    assert fills["T1"] == colours.COLOURS[TaskStatus.COMPLETED].fill
    assert fills["T2"] == colours.COLOURS[TaskStatus.IN_PROGRESS].fill
    assert fills["T3"] == colours.PLAIN.fill
    assert "completed (1)" in text


def test_every_status_has_a_colour() -> None:
    assert set(colours.COLOURS) == set(TaskStatus)


def test_svg_leads_a_long_arrow_past_the_boxes_between() -> None:
    # Given a task that depends on the first and on the last of a line
    made = feature(task("T1"), task("T2", "T1"), task("T3", "T2"), task("T4", "T1", "T3"))

    # When drawn
    text = svg.svg(drawn(made))

    # Then the boxes in the middle make room for the arrow that passes
    tops = {name: int(box.attrib["y"]) for name, box in boxes(text).items()}
    passing = [int(text) for text in re.findall(r" (\d+) H\d+", text)]
    assert len(passing) == 2
    assert all(not tops[name] <= y <= tops[name] + svg.BOX_HEIGHT for name in ("T2", "T3") for y in passing)


@given(one_line, one_line.filter(bool))
def test_svg_is_well_formed_whatever_the_titles(title: str, feature_title: str) -> None:
    text = svg.svg(drawn(feature(task("T1", title=title), title=feature_title)))

    assert set(boxes(text)) == {"T1"}


def test_svg_boxes_do_not_overlap() -> None:
    made = feature(*(task(f"T{at}", *([f"T{at // 2}"] if at // 2 else [])) for at in range(1, 40)))

    spots = [(int(box.attrib["x"]), int(box.attrib["y"])) for box in boxes(svg.svg(drawn(made))).values()]

    assert len(spots) == 39
    assert all(
        x != other_x or abs(y - other_y) >= svg.BOX_HEIGHT
        for place, (x, y) in enumerate(spots)
        for other_x, other_y in spots[:place]
    )


def test_svg_of_a_sequential_plan_has_one_task_a_column() -> None:
    made = authentication()

    text = svg.svg(drawn(made, strategy=Strategy.SEQUENTIAL))

    assert len({box.attrib["x"] for box in boxes(text).values()}) == 5


def test_the_cycles_of_a_graph_are_red_and_its_other_arrows_are_not() -> None:
    made = feature(task("T0"), task("T1", "T0", "T3"), task("T2", "T1"), task("T3", "T2"), task("T4", "T3"))

    found = picture.cyclic(made)

    assert found.marked == {("T1", "T2"), ("T2", "T3"), ("T3", "T1")}
    assert found.notes == ("The arrows of 1 circular dependency are red",)
    text = svg.svg(found)
    assert set(boxes(text)) == {"T0", "T1", "T2", "T3", "T4"}
    assert text.count('marker-end="url(#marked)"') == 3
    assert text.count('marker-end="url(#arrow)"') == 2
    assert graphviz.dot(found).count(colours.MARKED) == 3
    assert "linkStyle 1,2,3 stroke:" in mermaid.mermaid(found)


def test_around_a_task_of_a_graph_with_cycles_they_are_red_too() -> None:
    made = feature(task("T0"), task("T1", "T0", "T3"), task("T2", "T1"), task("T3", "T2"), task("T4", "T3"))

    found = picture.cyclic(made, "T3", 1)

    assert {box.id for box in found.boxes} == {"T1", "T2", "T3", "T4"}
    assert found.marked == {("T1", "T2"), ("T2", "T3"), ("T3", "T1")}
    assert found.notes[1] == "T3 with what is at most 1 step before and behind it: 4 of 5 tasks"


def back_from(at: int) -> list[str]:
    """What leads back to every 50th task."""
    return [f"T{at + 50}"] if at % 50 == 0 else []


def test_each_box_of_a_folded_graph_with_cycles_has_its_arrows() -> None:
    # Given a line of tasks, in some places wide, with shortcuts, and a cycle over each 50 of them
    tasks = [
        task(f"T{at}", *(f"T{end}" for end in (at - 1, at - 20, at - 40) if end >= 0), *back_from(at))
        for at in range(1_000)
    ]
    wide = [task(f"W{at}-{place}", f"T{at}", *back_from(at)) for at in (100, 300) for place in range(50)]

    found = picture.folded(picture.cyclic(feature(*tasks, *wide, task("T1000", "T999"))))

    ends = {end for arrow in found.arrows for end in arrow}
    assert {box.id for box in found.boxes} == ends
    assert len(found.boxes) > 1


def test_of_a_large_graph_with_cycles_only_these_are_drawn() -> None:
    made = feature(*(task(f"T{at}") for at in range(1_000)), task("C1", "C2"), task("C2", "C1", "T1"))

    found = picture.cyclic(made)

    assert {box.id for box in found.boxes} == {"C1", "C2"}
    assert "Only the 2 tasks on them are drawn, of 1,002" in found.notes


SHAPES: dict[str, list[Task]] = {
    "300 in a batch": [task(f"T{at}", title=NASTY * 3) for at in range(300)],
    "300 in a line": [task(f"T{at}", *([f"T{at - 1}"] if at else [])) for at in range(300)],
    "60,000 in ten batches": [
        task(f"T{at}", *([f"T{at - 6_000}", f"T{at - 6_000 + 1}"] if at >= 6_000 else []))
        for at in range(60_000)
    ],
    "3,000 in a tree": [task(f"T{at}", *([f"T{at // 2}"] if at // 2 else [])) for at in range(1, 3_001)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_is_small_enough_to_look_at_and_says_what_is_folded(shape: str) -> None:
    made = feature(*SHAPES[shape])

    found = picture.folded(drawn(made, {"T7": TaskStatus.FAILED}))

    # Then all tasks are counted in it, in no more boxes and arrows than Mermaid and people can read
    assert sum(box.tasks for box in found.boxes) == len(made.tasks)
    assert len(found.boxes) <= picture.MOST_BOXES
    assert len(found.arrows) <= picture.MOST_ARROWS
    assert len(found.columns) <= picture.MOST_COLUMNS
    assert found.notes[-1].endswith(f"of {len(made.tasks):,} tasks are folded into boxes with a count")
    width, height = map(int, re.findall(r'^<svg [^>]*width="(\d+)" height="(\d+)"', svg.svg(found))[0])
    assert width < 10_000
    assert height < 3_000
    assert len(mermaid.mermaid(found)) <= mermaid.LONGEST_TEXT
    # And what failed is still to be seen
    assert any(box.status is TaskStatus.FAILED for box in found.boxes)


def test_a_small_graph_is_drawn_as_it_is() -> None:
    found = drawn(authentication())
    assert picture.folded(found) is found


def test_of_titles_that_are_long_mermaid_draws_fewer_boxes() -> None:
    made = feature(
        *(task(f"T{at}", *([f"T{at - 20}"] if at >= 20 else []), title="[" * 80) for at in range(280))
    )
    found = picture.folded(drawn(made))
    assert len(found.boxes) == 280
    fitted = mermaid.fitted(drawn(made))
    assert len(mermaid.mermaid(fitted)) <= mermaid.LONGEST_TEXT < len(mermaid.mermaid(found))
    assert [note.split(" of ")[1] for note in fitted.notes] == [
        "280 tasks are folded into boxes with a count"
    ]


def test_around_a_task_stands_what_is_near_it() -> None:
    made = feature(*SHAPES["3,000 in a tree"])

    found = picture.around(made, [batch.tasks for batch in plan(made).batches], "T10", 2)

    assert {box.id for box in found.boxes} == {"T2", "T5", "T10", "T20", "T21", "T40", "T41", "T42", "T43"}
    assert found.notes == ("T10 with what is at most 2 steps before and behind it: 9 of 3,000 tasks",)
    with pytest.raises(KeyError):
        picture.around(made, [], "T9999", 1)


def test_the_critical_path_is_red_and_is_not_folded() -> None:
    # Given a line of 3 beside which 100 others wait for the first
    made = feature(
        task("A"), task("B", "A"), task("C", "B"), *(task(f"T{at}", "A", estimate="1s") for at in range(100))
    )
    planned = plan(made)

    found = picture.folded(picture.critical(planned), keep=planned.critical_path)

    assert {("A", "B"), ("B", "C")} == set(found.marked)
    assert {"A", "B", "C"} < {box.id for box in found.boxes}
    assert len(found.boxes) == 4
    assert found.notes[0] == "The critical path (30m) is red: 3 tasks, with 100 beside it"


def test_batches_are_a_box_each() -> None:
    found = picture.by_batches(plan(authentication()), STATES)

    assert [(box.id, box.title, box.status) for box in found.boxes] == [
        ("Batch 1", "2 tasks", TaskStatus.COMPLETED),
        ("Batch 2", "T2", TaskStatus.IN_PROGRESS),
        ("Batch 3", "2 tasks", None),
    ]
    assert found.arrows == [("Batch 1", "Batch 2"), ("Batch 2", "Batch 3")]


@pytest.mark.parametrize("title", ["W" * 60, "i" * 60, "数据库" * 20, "Implement the API of the shop"])
def test_a_title_fits_its_box(title: str) -> None:
    shown = text_width.fit(title, svg.TEXT_WIDTH)
    assert shown.endswith("…")
    assert svg.TEXT_WIDTH - 13 < text_width.text_width(shown) <= svg.TEXT_WIDTH
