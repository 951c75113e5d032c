"""Visitors: who may see the pages of features and decide there, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.model.feature import FeatureStatus
from tests.acceptance.conftest import PATIENCE
from tests.web.conftest import OpenPage
from tests.web.site import Site, fails_unless, flower

pytestmark = pytest.mark.real


def test_read_only_shows_and_refuses(site: Site, open_page: OpenPage) -> None:
    handle = site.enqueue("shown", {"id": "T1", "run": ["false"], "retries": {"max": 0}})
    handle.wait(PATIENCE)
    with flower(site.project, TASKORCHESTRATOR_WEB__READ_ONLY="true") as reading:
        page = reading.open(open_page(), "/feature/shown")
        page.locator(".need-failed").wait_for()
        assert page.locator("form[data-decision]").count() == 0
        assert decide(page, "shown")["status"] == 403
    assert handle.status() is FeatureStatus.BLOCKED


def test_who_has_no_secret_is_refused(site: Site, open_page: OpenPage) -> None:
    handle = site.enqueue("hidden", {"id": "T1", "title": "sentinel-title"})
    page = open_page()
    for path in (
        "/features",
        "/feature/hidden",
        "/feature/hidden/task/T1",
        "/features/plan",
        "/features/limits",
    ):
        assert page.goto(f"{site.url}{path}").status == 403
        assert "sentinel-title" not in page.content()
    assert page.goto(f"{site.url}/features?secret=wrong").status == 403
    assert decide(page, "hidden")["status"] == 403
    handle.wait(PATIENCE)


def test_a_wrong_user_is_refused_and_the_right_one_is_in_the_event(
    site: Site, open_page: OpenPage, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    handle = site.enqueue("guarded", {"id": "T1", "run": fails_unless(mended), "retries": {"max": 0}})
    handle.wait(PATIENCE)
    with flower(site.project, FLOWER_BASIC_AUTH="olivia:right") as guarded:
        stranger = open_page(http_credentials={"username": "olivia", "password": "wrong"})
        assert stranger.goto(f"{guarded.url}/feature/guarded").status == 401
        page = open_page(http_credentials={"username": "olivia", "password": "right"})
        page.goto(f"{guarded.url}/feature/guarded")
        mended.touch()
        page.locator(".need-failed").get_by_role("button", name="retry").click()
        page.locator('[data-box="T1"].status-completed').wait_for()
    assert [event.by for event in handle.events() if event.event == "retry_requested"] == ["olivia"]


def test_another_page_cannot_decide(site: Site, open_page: OpenPage) -> None:
    """Neither without the token, nor from another origin with the cookie."""
    handle = site.enqueue("forged", {"id": "T1", "run": ["false"], "retries": {"max": 0}})
    handle.wait(PATIENCE)
    page = site.open(open_page(), "/feature/forged")
    assert decide(page, "forged")["status"] == 403
    page.route(
        "http://evil.test/**",
        lambda route: route.fulfill(body=FORGERY.format(url=site.url), content_type="text/html"),
    )
    page.goto("http://evil.test/")
    page.wait_for_url(f"{site.url}/**")
    assert [event for event in handle.events() if event.event == "retry_requested"] == []


FORGERY = """<form method="post" action="{url}/api/features/forged/decisions">
<input name="action" value="retry"><input name="task" value="T1"></form><script>document.forms[0].submit()</script>"""

DECIDE = """async (feature) => {
  const body = new URLSearchParams({ action: "retry", task: "T1" });
  const headers = { Accept: "application/json" };
  const answer = await fetch(`/api/features/${feature}/decisions`, { method: "POST", body, headers });
  return { status: answer.status };
}"""


def decide(page: Any, feature: str) -> dict[str, Any]:
    """Send a decision without a token."""
    found: dict[str, Any] = page.evaluate(DECIDE, feature)
    return found
