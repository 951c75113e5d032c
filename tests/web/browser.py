"""The browser that the pages are tested in: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

LACKS_PLAYWRIGHT = "Playwright is not installed: make test-web"
LACKS_CHROMIUM = (
    "no chromium is on the PATH (Debian: apt install chromium); or name one: CHROMIUM=/path/to/it"
)


def program() -> str | None:
    """The browser: the one that CHROMIUM names, else the first on the PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


def missing() -> str:
    """Say which program for browser tests is missing here, and how to get it; "" if none is."""
    tools = ("playwright", "axe_playwright_python")
    if not all(importlib.util.find_spec(tool) for tool in tools):
        return LACKS_PLAYWRIGHT
    return "" if program() else LACKS_CHROMIUM


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A headless browser, which ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program())
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Any) -> list[str]:
    """The faults that axe-core finds in a page for people who see little or nothing, or use no mouse (WCAG 2.2, AA)."""
    from axe_playwright_python.sync_playwright import Axe

    levels = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = Axe().run(
        page, options={"runOnly": {"type": "tag", "values": levels}, "resultTypes": ["violations"]}
    )
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for one in found.response["violations"]
        for node in one["nodes"][:3]
    ]


if __name__ == "__main__":
    sys.exit(missing() or None)
