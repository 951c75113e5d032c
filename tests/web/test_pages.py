"""The pages of features inside a real Flower, with real workers, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import PATIENCE
from tests.waiting import wait_until
from tests.web.browser import violations
from tests.web.conftest import OpenPage
from tests.web.site import Site, fails_unless, waits_for

pytestmark = pytest.mark.real

HOSTILE = '<script>window.hit=1</script>"><img src=x onerror="window.hit=1">'


def becomes(page: Any, condition: str) -> None:
    """Wait for a condition. Playwright's own way to wait evaluates texts in the page, and its policy forbids that."""
    wait_until(lambda: bool(page.evaluate(condition)))


def test_a_feature_is_watched_to_its_end_without_a_reload(
    site: Site, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    handle = site.enqueue(
        "watched",
        {"id": "T1", "run": waits_for(gate)},
        {"id": "T2", "depends_on": ["T1"]},
        {"id": "T3", "depends_on": ["T2"]},
    )
    page = site.open(open_page(), "/feature/watched")
    page.evaluate("window.notReloaded = true")
    page.locator('[data-box="T1"].status-in-progress').wait_for()
    assert page.locator('tr[data-task="T2"] .status').inner_text() == "pending"
    gate.touch()
    page.locator('[data-box="T3"].status-completed').wait_for()
    page.locator('[data-part="headline"] .status', has_text="completed").wait_for()
    assert "3 of 3 tasks (100%)" in page.locator('[data-part="headline"]').inner_text()
    assert page.locator('tr[data-task="T3"] .status').inner_text() == "completed"
    page.locator("[data-events-list] li", has_text="implementation complete T3").wait_for()
    becomes(
        page,
        "[...document.querySelectorAll('.to-line')].at(-1)?.getAttribute('aria-label').match(/^T3.*running, /)",
    )
    assert page.evaluate("window.notReloaded")
    assert handle.status() is FeatureStatus.COMPLETED


def test_a_failed_task_is_retried_by_its_button(site: Site, open_page: OpenPage, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    tasks = (
        {"id": "T1", "run": fails_unless(mended), "retries": {"max": 0}},
        {"id": "T2", "depends_on": ["T1"]},
    )
    handle = site.enqueue("retried", *tasks)
    page = site.open(open_page(), "/feature/retried")
    need = page.locator(".need-failed")
    need.get_by_text("line 3: no such column").first.wait_for()
    assert "1 task waits behind it: T2" in need.inner_text()
    mended.touch()
    need.locator("form", has=page.get_by_role("button", name="retry")).get_by_label("note").fill(
        "the column is there"
    )
    need.get_by_role("button", name="retry").click()
    page.locator('[data-box="T2"].status-completed').wait_for()
    page.locator(".need").wait_for(state="detached")
    retried = [event for event in handle.events() if event.event == "retry_requested"]
    assert [(event.note, event.by) for event in retried] == [("the column is there", "flower")]


def test_a_reviewer_sends_back_and_approves(site: Site, open_page: OpenPage) -> None:
    handle = site.enqueue("reviewed", {"id": "T1", "tags": ["backend", "needs-review"]})
    page = site.open(open_page(), "/feature/reviewed")
    page.get_by_role("button", name="request changes").click()
    wait_until(lambda: not [event for event in handle.events() if event.event == "changes_requested"])
    changes = page.locator("form", has=page.get_by_role("button", name="request changes"))
    changes.get_by_label("note").fill("name it after what it does")
    page.get_by_role("button", name="request changes").click()
    page.locator("[data-events-list] li", has_text="changes requested").wait_for()
    page.locator("[data-events-list] li", has_text="implementation complete T1").nth(1).wait_for()
    page.get_by_role("button", name="approve").first.click()
    page.locator('[data-part="headline"] .status', has_text="completed").wait_for()
    assert handle.status() is FeatureStatus.COMPLETED


def test_a_task_says_why_it_waits_and_its_log_is_followed(
    site: Site, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    site.enqueue(
        "logged",
        {"id": "T1", "run": waits_for(gate, "first words", "last words")},
        {"id": "T2", "depends_on": ["T1"]},
    )
    page = site.open(open_page(), "/feature/logged/task/T2")
    assert "T1" in page.get_by_role("heading", name="Why").locator("..").inner_text()
    page.get_by_role("link", name="T1").first.click()
    log = page.locator("[data-log]")
    becomes(page, "document.querySelector('[data-log]').textContent.includes('first words')")
    assert "last words" not in log.inner_text()
    gate.touch()
    becomes(page, "document.querySelector('[data-log]').textContent.includes('last words')")
    assert log.inner_text().count("first words") == 1


def test_a_hostile_title_stays_a_text(site: Site, open_page: OpenPage) -> None:
    task = {
        "id": "T1",
        "title": HOSTILE,
        "description": HOSTILE,
        "run": ["sh", "-c", f"echo '{HOSTILE}'; exit 1"],
        "retries": {"max": 0},
    }
    handle = site.enqueue("hostile", task, title=HOSTILE)
    link = {"id": "T1", "title": "javascript:window.hit=1"}
    site.enqueue("link", link, title="javascript:window.hit=1")
    handle.wait(PATIENCE)
    page = open_page()
    for path in (
        "/features",
        "/feature/hostile",
        "/feature/hostile/task/T1",
        "/feature/link",
        "/feature/link/task/T1",
    ):
        site.open(page, path)
        if "/task/" not in path and path != "/features":
            page.locator(".to-box").first.wait_for()
        page.get_by_text("window.hit=1").first.wait_for()
        assert page.evaluate("window.hit") is None, path
        assert page.locator("main img").count() == 0, path
        assert page.locator('a[href^="javascript"]').count() == 0, path


def test_markup_that_the_policy_must_stop_would_run_without_it(site: Site, open_page: OpenPage) -> None:
    """The Content-Security-Policy is the second lock: a script that got into a page does not run."""
    site.enqueue("locked", {"id": "T1"})
    page = site.open(open_page(), "/feature/locked")
    blocked = page.evaluate("""() => new Promise((resolve) => {
      document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "window.hit = 1";
      document.body.append(script);
    })""")
    assert blocked.startswith("script-src")
    assert page.evaluate("window.hit") is None


LISTEN = """window.broken = [];
const note = (one) => window.broken.push(`${one.effectiveDirective} ${one.sourceFile}`);
document.addEventListener("securitypolicyviolation", note);
"""


def test_our_pages_break_none_of_their_own_policy(site: Site, open_page: OpenPage) -> None:
    site.enqueue("lawful", {"id": "T1"}).wait(PATIENCE)
    page = open_page()
    page.add_init_script(LISTEN)
    for path in (
        "/features",
        "/feature/lawful",
        "/feature/lawful/task/T1",
        "/features/plan",
        "/features/limits",
    ):
        site.open(page, path)
        page.wait_for_load_state("load")
        assert [one for one in page.evaluate("window.broken") if "/features/static/" in one] == [], path


FLOWERS_OWN = ("/", "/workers", "/tasks", "/broker")


@pytest.mark.parametrize("path", FLOWERS_OWN)
def test_flowers_own_pages_work_and_lead_to_the_features(site: Site, open_page: OpenPage, path: str) -> None:
    site.enqueue("own" + re.sub(r"\W", "", path), {"id": "T1"}).wait(PATIENCE)
    page = site.open(open_page(), path)
    if path in ("/", "/workers"):
        page.get_by_role("link", name="one@").first.wait_for()
    if path == "/tasks":
        page.locator("#tasks-table tbody tr td a").first.wait_for()
    page.get_by_role("link", name="Features").click()
    page.get_by_role("heading", name="Features").wait_for()
    assert page.locator(".nav-link.active").inner_text() == "Features"


LINE = """title: Line
id: planned
tasks:
  - {id: A, run: echo a, tags: [backend]}
  - {id: B, run: echo b, tags: [backend], depends_on: [A]}
"""

DROP = """() => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["title: Dropped\\ntasks: [{id: A}]\\n"], "dropped.yaml"));
  const options = { dataTransfer, bubbles: true, cancelable: true };
  document.querySelector("form[data-drop]").dispatchEvent(new DragEvent("drop", options));
}"""


def test_a_plan_shows_cycles_with_their_ways_out_before_anything_runs(
    site: Site, open_page: OpenPage
) -> None:
    page = site.open(open_page(), "/features/plan")
    text = "title: Circle\ntasks:\n  - {id: A, depends_on: [B]}\n  - {id: B, depends_on: [A]}\n"
    page.get_by_label("Feature file").fill(text)
    page.get_by_role("button", name="Plan it").click()
    page.get_by_role("alert").wait_for()
    assert "A" in page.get_by_role("alert").inner_text()
    page.locator(".to-box").first.wait_for()
    assert page.locator(".to-arrows.to-critical").get_attribute("d")
    page.get_by_label("Feature file").fill(LINE)
    page.get_by_role("button", name="Plan it").click()
    page.locator('[data-box="B"]').wait_for()
    page.get_by_role("button", name="Enqueue it").click()
    page.wait_for_url("**/feature/planned")
    page.locator('[data-box="B"].status-completed').wait_for()


def test_a_file_is_dropped_on_the_plan(site: Site, open_page: OpenPage) -> None:
    page = site.open(open_page(), "/features/plan")
    page.evaluate(DROP)
    becomes(page, "document.querySelector('textarea').value.includes('title: Dropped')")
    page.get_by_role("button", name="Plan it").click()
    page.locator('[data-box="A"]').wait_for()


def test_a_limit_is_seen_and_changed(site: Site, open_page: OpenPage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = {"run": waits_for(gate), "resources": {"gpu": 2}}
    handle = site.enqueue("greedy", {"id": "T1", **held}, {"id": "T2", **held})
    wait_until(lambda: any(state.status is TaskStatus.IN_PROGRESS for state in handle.states()))
    page = site.open(open_page(), "/features/limits")
    row = page.locator("tr", has_text="resource:gpu")
    assert "of greedy" in row.inner_text()
    row.get_by_label("amount").fill("4")
    row.get_by_role("button").click()
    page.locator(".to-toast").wait_for()
    wait_until(lambda: sum(state.status is TaskStatus.IN_PROGRESS for state in handle.states()) == 2)
    gate.touch()
    handle.wait(PATIENCE)


def test_features_are_found_by_status_and_title(site: Site, open_page: OpenPage) -> None:
    site.enqueue("needle-in-the-hay", {"id": "T1"}).wait(PATIENCE)
    site.enqueue("hay", {"id": "T1", "run": ["false"], "retries": {"max": 0}}).wait(PATIENCE)
    page = site.open(open_page(), "/features")
    page.get_by_label("Title or id").fill("needle")
    page.get_by_role("button", name="Find").click()
    page.wait_for_url("**q=needle**")
    assert page.locator("tr[data-feature]").count() == 1
    page.get_by_label("Title or id").fill("")
    page.get_by_label("Status").select_option("blocked")
    page.get_by_role("button", name="Find").click()
    page.wait_for_url("**status=blocked**")
    statuses = set(page.locator('td[data-cell="status"]').all_inner_texts())
    assert statuses == {"blocked"}


def test_keys_alone_are_enough_to_retry(site: Site, open_page: OpenPage, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    site.enqueue("by-keys", {"id": "T1", "run": fails_unless(mended), "retries": {"max": 0}}).wait(PATIENCE)
    page = site.open(open_page(), "/features")
    tab_to(page, "By keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/feature/by-keys")
    mended.touch()
    tab_to(page, "retry T1")
    page.keyboard.press("Enter")
    page.locator('[data-box="T1"].status-completed').wait_for()


def tab_to(page: Any, name: str) -> None:
    """Press Tab until something of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_a_decision_that_came_too_late_is_refused_with_its_reason(site: Site, open_page: OpenPage) -> None:
    handle = site.enqueue("late", {"id": "T1", "run": ["false"], "retries": {"max": 0}})
    handle.wait(PATIENCE)
    page = site.open(open_page(), "/feature/late")
    page.locator(".need-failed").wait_for()
    page.evaluate(
        "document.querySelector('[data-part=needs]').dataset.part = 'old'"
    )  # a page that was not told
    handle.skip("T1", because="not needed")
    page.locator(".need-failed").get_by_role("button", name="retry").click()
    page.get_by_role("alert").get_by_text("The feature late is completed").wait_for()


# For everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_on_any_page(site: Site, open_page: OpenPage, scheme: str) -> None:
    name = f"seen-{scheme}"
    task = {"id": "T1", "run": ["sh", "-c", "echo broken; exit 1"], "retries": {"max": 0}}
    site.enqueue(name, task, {"id": "T2", "depends_on": ["T1"]}).wait(PATIENCE)
    page = open_page(color_scheme=scheme)
    found = {}
    for path in (
        "/features",
        f"/feature/{name}",
        f"/feature/{name}/task/T1",
        "/features/plan",
        "/features/limits",
    ):
        site.open(page, path)
        if path.startswith("/feature/") and "/task/" not in path:
            page.locator(".to-box").first.wait_for()
        found[path] = violations(page)
    assert {path: faults for path, faults in found.items() if faults} == {}


def test_a_phone_shows_every_page_without_scrolling_sideways(site: Site, open_page: OpenPage) -> None:
    site.enqueue(
        "on-a-phone", {"id": "T1", "title": "A title that is a good deal longer than a phone is wide"}
    ).wait(PATIENCE)
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    for path in (
        "/features",
        "/feature/on-a-phone",
        "/feature/on-a-phone/task/T1",
        "/features/plan",
        "/features/limits",
    ):
        site.open(page, path)
        page.wait_for_load_state("load")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, (path, wide)
