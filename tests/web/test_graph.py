"""The graph of a feature, in a real browser: boxes, arrows, folding, keys, and 10,000 tasks."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.web.browser import violations
from tests.web.conftest import OpenPage
from tests.web.drawing_board import ORIGIN, grid, line, set_up, tell

DIAMOND = [
    line("T1", 1, status="completed", title="Create the table"),
    line("T2", 2, "T1", status="in-progress", percent=40),
    line("T3", 2, "T1", status="failed", attempt=2),
    line("T4", 3, "T2", "T3"),
]

HOSTILE = '<script>window.hit=1</script><img src=x onerror="window.hit=1">'


def box(page: Any, name: str) -> Any:
    return page.locator(f'[data-box="{name}"]')


def names(page: Any) -> list[str]:
    found: list[str] = page.locator(".to-box").evaluate_all("boxes => boxes.map(box => box.dataset.box)")
    return found


def test_a_box_says_its_status_in_words_and_by_a_shape(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, DIAMOND, critical_path=["T1", "T3", "T4"])
    assert "failed · attempt 2" in box(page, "T3").text_content()
    assert "in-progress · 40 %" in box(page, "T2").text_content()
    shapes = {
        name: box(page, name).locator(".to-sign").get_attribute("d") for name in ("T1", "T2", "T3", "T4")
    }
    assert len(set(shapes.values())) == 4
    assert (
        box(page, "T1").get_attribute("aria-label")
        == "T1 Create the table, completed, batch 1, on the critical path"
    )
    assert page.locator(".to-box.is-critical").count() == 3


def test_an_arrow_leads_from_a_task_to_what_waits_for_it(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, DIAMOND, critical_path=["T1", "T3", "T4"])
    arrows = page.evaluate(
        "[...document.querySelectorAll('.to-arrows')].map(one => one.getAttribute('d').split('M').length - 1)"
    )
    assert arrows == [2, 2]  # T1-T2-T4 in grey; T1-T3-T4 is critical


def test_a_change_is_written_into_its_box_alone(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, DIAMOND)
    page.evaluate("document.querySelectorAll('.to-box').forEach(box => (box.known = true))")
    tell(page, line("T2", 2, "T1", status="completed"))
    page.wait_for_selector('[data-box="T2"].status-completed')
    assert page.evaluate("[...document.querySelectorAll('.to-box')].every(box => box.known)")
    assert "failed" in box(page, "T3").text_content()
    assert "Batch 2 · 1 of 2" in page.locator(".to-headings").text_content()


def test_a_task_that_is_added_gets_a_box(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, DIAMOND)
    tell(page, line("T5", 4, "T4"))
    box(page, "T5").wait_for()
    assert sorted(names(page)) == ["T1", "T2", "T3", "T4", "T5"]


def test_a_feature_that_is_read_again_stays_where_it_was_moved(open_page: OpenPage) -> None:
    page, tasks = open_page(), list(DIAMOND)
    set_up(page, tasks)
    before = transform(page)
    page.get_by_role("button", name="Zoom in (+)").first.click()
    page.wait_for_function(
        "was => document.querySelector('.to-drawing > g').getAttribute('transform') !== was", arg=before
    )
    zoomed = transform(page)
    tasks.append(line("T5", 3, "T3"))
    tell(page, name="reload")
    box(page, "T5").wait_for()
    assert transform(page) == zoomed


def test_up_to_300_tasks_are_drawn_one_by_one(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, grid(3, 100))
    assert page.locator(".is-fold").count() == 0
    assert page.locator(".to-crowded, .to-box").count() > 0


def test_over_300_tasks_batches_fold_to_a_box_with_counts_and_unfold(open_page: OpenPage) -> None:
    page = open_page()
    tasks = grid(3, 101)
    tasks[0]["status"] = "failed"
    set_up(page, tasks)
    assert page.locator(".is-fold").count() == 3
    first = page.locator(".is-fold").first
    assert "Batch 1 · 101 tasks" in first.text_content()
    assert "0 of 101 done · 1 failed" in first.text_content()
    tell(page, {**tasks[1], "status": "completed"})
    page.wait_for_function("document.querySelector('.is-fold').textContent.includes('1 of 101 done')")
    first.click()
    box(page, "T1.0").wait_for()
    assert page.locator(".is-fold").count() <= 2
    page.get_by_role("button", name="Fold each batch").click()
    page.get_by_role("button", name="Fold each batch").click()
    page.wait_for_function("document.querySelectorAll('.is-fold').length === 3")


def test_keys_go_from_box_to_box_and_open_a_task(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, DIAMOND)
    box(page, "T1").focus()
    for key, expected in (("ArrowRight", "T2"), ("ArrowDown", "T3"), ("ArrowRight", "T4"), ("Home", "T1")):
        page.keyboard.press(key)
        page.wait_for_function("name => document.activeElement.dataset.box === name", arg=expected)
    assert page.locator('.to-box[tabindex="0"]').count() == 1
    page.keyboard.press("End")
    page.wait_for_function("document.activeElement.dataset.box === 'T4'")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{ORIGIN}/task/T4")


def test_keys_unfold_a_batch(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, grid(4, 100))
    page.locator(".is-fold").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.dataset.box === '\\t2'")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.dataset.box === 'T2.0'")


def transform(page: Any) -> str:
    return str(page.locator(".to-drawing > g").get_attribute("transform"))


def middle(page: Any) -> tuple[float, float]:
    frame = page.locator(".to-drawing").bounding_box()
    return frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] - 12


def test_mouse_zooms_and_pans_and_a_drag_opens_nothing(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, DIAMOND)
    before = transform(page)
    page.get_by_role("button", name="Zoom in (+)").first.click()
    page.wait_for_function(
        "was => document.querySelector('.to-drawing > g').getAttribute('transform') !== was", arg=before
    )
    page.get_by_role("button", name="Show all (0)").click()
    page.wait_for_function(
        "was => document.querySelector('.to-drawing > g').getAttribute('transform') === was", arg=before
    )
    frame = box(page, "T2").bounding_box()
    page.mouse.move(frame["x"] + 40, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + 140, frame["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_function(
        "was => document.querySelector('.to-drawing > g').getAttribute('transform') !== was", arg=before
    )
    assert page.url == f"{ORIGIN}/board"
    moved = transform(page)
    page.mouse.move(*middle(page))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function(
        "was => document.querySelector('.to-drawing > g').getAttribute('transform') !== was", arg=moved
    )
    box(page, "T1").click()
    page.wait_for_url(f"{ORIGIN}/task/T1")


def test_two_fingers_zoom_and_one_pans(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    set_up(page, DIAMOND)
    fingers = page.context.new_cdp_session(page)
    x, y = middle(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    scale = "Number(document.querySelector('.to-drawing > g').getAttribute('transform').match(/scale.(.*?)\\)/)[1])"
    was = page.evaluate(scale)
    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 6):
        touch("touchMove", (x - 20 - 10 * step, y), (x + 20 + 10 * step, y))
    touch("touchEnd")
    page.wait_for_function(f"was => {scale} > 1.5 * was", arg=was)
    before = transform(page)
    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x + 10 * step, y))
    touch("touchEnd")
    page.wait_for_function(
        "was => document.querySelector('.to-drawing > g').getAttribute('transform') !== was", arg=before
    )


def test_a_title_is_never_read_as_markup(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, [line("T1", 1, title=HOSTILE)], title=HOSTILE)
    tell(
        page,
        line("T1", 1, title=HOSTILE, status="failed", note=HOSTILE),
        events=[{"time": "2026-01-01T00:00:00Z", "event": "work_failed", "note": HOSTILE}],
    )
    page.wait_for_selector("[data-events-list] li")
    assert HOSTILE in page.locator("[data-events-list]").inner_text()
    assert HOSTILE in page.locator('[data-cell="note"]').inner_text()
    assert page.evaluate("window.hit") is None
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tasks", [DIAMOND, grid(3, 120)], ids=["boxes", "folds"])
def test_axe_finds_no_fault(open_page: OpenPage, scheme: str, tasks: list[dict[str, Any]]) -> None:
    page = open_page(color_scheme=scheme)
    set_up(page, tasks, critical_path=[tasks[0]["task"]])
    assert violations(page) == []


STATUSES = (
    "backlog", "pending", "in-progress", "testing", "in-review", "changes-requested", "blocked", "on-hold",
    "deferred", "failed", "completed", "skipped", "cancelled", "of-somebodys-own-flow",
)  # fmt: skip

CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const found = {};
  for (const box of document.querySelectorAll(".to-box")) {
    const style = (part) => getComputedStyle(box.querySelector(part));
    const back = style(".to-frame").fill;
    found[box.dataset.box] = [contrast(style(".to-name").fill, back), contrast(style(".to-saying").fill, back)];
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_texts_of_every_status_stand_out(open_page: OpenPage, scheme: str) -> None:
    """axe looks at no text of an SVG. AA asks for 4.5:1."""
    page = open_page(color_scheme=scheme)
    set_up(page, [line(status, 1, status=status) for status in STATUSES])
    found = page.evaluate(CONTRAST)
    assert sorted(found) == sorted(STATUSES)
    assert {status: ratios for status, ratios in found.items() if min(ratios) < 4.5} == {}


SHAPES = {"100 batches of 100": (100, 100), "2 batches of 5,000": (2, 5000), "a line of 10,000": (10_000, 1)}


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_tasks_cost_no_more_elements_than_a_screen_shows(
    open_page: OpenPage, shape: str, record_property: Any
) -> None:
    """And a change among them is on the page about as soon as among three hundred."""
    page = open_page()
    times = {}
    for name, tasks in (("300", grid(10, 30)), (shape, grid(*SHAPES[shape]))):
        began = time.perf_counter()
        set_up(page, tasks)
        drawn = time.perf_counter() - began
        if "-" not in name and page.locator(".is-fold").count():
            page.keyboard.press("Escape")
        last = tasks[0]
        changed = page.evaluate(TIMED, [last])
        count = page.evaluate("document.querySelectorAll('[data-graph] *').length")
        times[name] = {"drawn": round(drawn, 3), "change": round(changed, 1), "elements": count}
        page.unroute_all()
    record_property("times", times)
    print(times)
    assert times[shape]["elements"] < 4_000
    assert times[shape]["change"] < 20 * max(times["300"]["change"], 5), times


TIMED = """async ([task]) => {
  const began = performance.now();
  for (let turn = 0; turn < 20; turn += 1) {
    window.tell("change", { tasks: [{ ...task, status: turn % 2 ? "failed" : "in-progress" }] });
    await new Promise(requestAnimationFrame);
  }
  return (performance.now() - began) / 20;
}"""
