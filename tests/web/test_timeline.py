"""The timeline of a feature, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.browser import violations
from tests.web.conftest import OpenPage
from tests.web.drawing_board import ORIGIN, event, line, moment, set_up, tell

TASKS = [
    line("T1", 1, status="completed", attempt=2, worker="one@host"),
    line("T2", 1, status="in-progress", worker="two@host"),
    line("T3", 2, "T1", "T2"),
]
STORY = [
    event(1, "task_launched", "T1", 0),
    event(2, "task_launched", "T2", 0),
    event(3, "work_started", "T1", 2, worker="one@host"),
    event(4, "work_started", "T2", 4, worker="two@host"),
    event(5, "retry_scheduled", "T1", 10),
    event(6, "task_launched", "T1", 15, attempt=2),
    event(7, "work_started", "T1", 16, attempt=2, worker="two@host"),
    event(8, "progress", "T2", 18, percent="50"),
    event(9, "implementation_complete", "T1", 30, attempt=2),
]


def rows(page: Any) -> list[str]:
    found: list[str] = page.locator(".to-line").evaluate_all(
        "lines => lines.map(line => line.getAttribute('aria-label'))"
    )
    return found


def spans(page: Any, row: int) -> list[str]:
    return [str(name) for name in page.locator(".to-line").nth(row).locator(".to-span").evaluate_all(
        "bars => bars.map(bar => bar.getAttribute('class').replace('to-span ', ''))"
    )]  # fmt: skip


def test_a_row_says_what_was_queued_ran_failed_and_ran_again(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS, events=STORY)
    page.wait_for_function("document.querySelectorAll('.to-line').length === 2")
    first, second = rows(page)
    assert first == (
        "T1: queued, 2s; running, 8s, failed, on one@host; delayed, 5s; queued, 1s, attempt 2; "
        "running, 14s, attempt 2, on two@host"
    )
    assert second.startswith("T2: queued, 4s; running, ")
    assert spans(page, 0) == [
        "span-queued",
        "has-stopped status-failed",
        "span-delayed",
        "span-queued",
        "span-running",
    ]
    assert "1 more task has not been launched" in page.locator("[data-timeline]").inner_text()


def test_the_cap_is_a_line_and_now_is_one(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS, events=STORY)
    page.wait_for_selector(".to-cap", state="attached")
    assert (
        page.locator(".to-chart").get_attribute("aria-label")
        == "Tasks in flight over time: at most 2, the cap is 2"
    )
    assert page.locator(".to-now").count() == 2


def test_by_worker_what_overlaps_stands_in_rows_of_its_own(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS, events=STORY)
    page.get_by_role("button", name="A row for each worker").click()
    page.wait_for_function("document.querySelectorAll('.to-line').length === 3")
    assert [row.split(":")[0] for row in rows(page)] == ["one@host · 1", "two@host · 1", "two@host · 2"]


def test_what_happens_now_is_drawn(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS, events=STORY)
    page.wait_for_selector(".to-now", state="attached")
    tell(page, line("T2", 1, status="failed"), events=[event(10, "work_failed", "T2", 40)])
    page.wait_for_function(
        "document.querySelectorAll('.to-line')[1].getAttribute('aria-label').endsWith('failed, on two@host')"
    )
    assert page.locator(".to-now").count() == 0


def test_events_that_were_deleted_leave_the_last_attempt(open_page: OpenPage) -> None:
    page = open_page()
    set_up(
        page, [line("T1", 1, status="completed", started=moment(5), finished=moment(8), worker="one@host")]
    )
    page.wait_for_selector(".to-line")
    assert rows(page) == ["T1: running, 3s, on one@host"]


def test_keys_zoom_and_a_row_leads_to_its_task(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS, events=STORY)
    page.wait_for_selector(".to-span")
    width = "document.querySelector('.to-line .span-running')?.getBBox().width ?? 0"
    was = page.evaluate(width)
    page.locator(".to-rows").focus()
    page.keyboard.press("+")
    page.wait_for_function(f"was => {width} !== was", arg=was)
    page.keyboard.press("0")
    page.locator(".to-line").first.click()
    page.wait_for_url(f"{ORIGIN}/task/T1")


def test_thousands_of_rows_are_only_there_where_they_are_seen(open_page: OpenPage) -> None:
    page = open_page()
    tasks = [line(f"T{number}", 1, status="completed") for number in range(5000)]
    story = [
        event(2 * number + step, name, f"T{number}", number + step)
        for number in range(5000)
        for step, name in enumerate(("work_started", "implementation_complete"))
    ]
    set_up(page, tasks, events=story)
    page.wait_for_function("document.querySelector('.to-space').clientHeight >= 5000 * 20")
    assert page.locator(".to-line").count() < 100
    page.locator(".to-rows").evaluate("rows => rows.scrollTo(0, rows.scrollHeight)")
    page.wait_for_function(
        "[...document.querySelectorAll('.to-line')].at(-1).getAttribute('aria-label').startsWith('T4999')"
    )
    assert page.locator(".to-line").count() < 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    set_up(page, TASKS, events=STORY)
    page.wait_for_selector(".to-cap", state="attached")
    assert violations(page) == []
