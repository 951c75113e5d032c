"""A page follows the news from the server, in a real browser."""

from __future__ import annotations

from tests.web.conftest import OpenPage
from tests.web.drawing_board import event, line, set_up, tell

TASKS = [line("T1", 1)]


def test_a_row_and_the_events_follow(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS)
    for number in range(5):
        tell(
            page,
            line("T1", 1, status="in-progress"),
            events=[event(number, "progress", "T1", number, note=f"step {number}")],
        )
    assert page.locator('tr[data-task="T1"] .status').inner_text() == "in-progress"
    listed = page.locator("[data-events-list] li").all_inner_texts()
    assert [text.partition("progress ")[2] for text in listed] == ["T1: step 4", "T1: step 3", "T1: step 2"]


def test_a_part_that_somebody_types_in_waits_until_they_leave_it(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS)
    tell(page, parts={"needs": '<label>Note <input id="note"></label>'})
    page.locator("#note").fill("half a sen")
    tell(page, parts={"needs": "<p>nobody is needed</p>"})
    assert page.locator("#note").input_value() == "half a sen"
    page.locator("#note").blur()
    page.get_by_text("nobody is needed").wait_for()


def test_the_focus_stays_on_a_button_that_is_drawn_again(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS)
    tell(page, parts={"needs": "<p>one</p><button>Retry</button>"})
    page.get_by_role("button", name="Retry").focus()
    tell(page, parts={"needs": "<p>two</p><button>Retry</button>"})
    assert page.evaluate("document.activeElement.textContent") == "Retry"


def test_a_lost_connection_is_told(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS)
    page.evaluate("stream.readyState = 0; tell('error', null)")
    assert page.get_by_role("status").first.inner_text() == "reconnecting…"
    page.evaluate("stream.readyState = 1; tell('open', null)")
    assert page.get_by_role("status").first.inner_text() == "live"


def test_a_decision_is_sent_without_leaving_the_page(open_page: OpenPage) -> None:
    page = open_page()
    set_up(page, TASKS)
    asked = []

    def answer(route: object) -> None:
        asked.append(route.request.post_data)  # type: ignore[attr-defined]
        if len(asked) == 1:
            route.fulfill(json={"message": "T1 is queued again"})  # type: ignore[attr-defined]
        else:
            route.fulfill(status=409, json={"error": {"message": "T1 does not need that"}})  # type: ignore[attr-defined]

    page.route("**/decide", answer)
    form = (
        '<form method="post" action="/decide" data-decision><input name="_xsrf" value="x">'
        '<button name="action" value="retry">Retry</button></form>'
    )
    tell(page, parts={"needs": form})
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("T1 is queued again").wait_for()
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("alert").get_by_text("T1 does not need that").wait_for()
    assert asked == ["_xsrf=x&action=retry"] * 2
