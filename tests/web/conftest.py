"""A browser for the tests of the pages. Where there is none they are skipped, and say what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.web import browser as browsers
from tests.web.site import Site, served

PATIENCE = 30_000
"""Milliseconds after which something on a page counts as what never comes, even on a slow machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests of a module. Playwright keeps an event loop running, which others would meet."""
    if lack := browsers.missing():
        pytest.skip(lack)
    with browsers.launched() as found:
        yield found


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Opens a page in a context of its own: `open_page(color_scheme="dark")`. An error in it fails the test."""
    faults: list[str] = []
    with ExitStack() as stack:

        def new(**options: Any) -> Any:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            return page

        yield new
    assert faults == []


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project with a worker and a Flower, for the tests of a module; each has features of its own."""
    with served(tmp_path_factory.mktemp("site"), resources={"gpu": 2}) as found:
        yield found
