"""The pictures of the pages in docs/images, in both themes: `PICTURES=1 make test-web` takes new ones."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.handle import Handle
from tests.acceptance.conftest import PATIENCE
from tests.waiting import wait_until
from tests.web.conftest import OpenPage
from tests.web.site import Site, fails_unless, served, waits_for

pytestmark = pytest.mark.real

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
WIDE, HIGHEST, COLOURS = 1100, 1600, 256
NAMES = ("features", "feature", "task", "plan", "limits", "large")

PLAN = """title: User login
max_parallel_tasks: 2
tasks:
  - {id: T1, title: Create the user table, tags: [database], estimate: 20m}
  - {id: T2, title: Implement the API, tags: [backend], estimate: 45m, depends_on: [T1]}
  - {id: T3, title: Build the form, tags: [frontend], estimate: 30m}
  - {id: T4, title: Test the API, tags: [testing], estimate: 25m, depends_on: [T2]}
"""


def login(site: Site, gate: Path) -> Handle:
    """A feature of which one task is done, one has failed, one is looked at, one runs and others wait."""
    done = ["sh", "-c", "sleep 0.5; echo done"]
    tests = fails_unless(Path(gate.name), "2 of 14 tests failed: test_token_expires, test_wrong_password")
    tasks: list[dict[str, Any]] = [
        {"id": "schema", "title": "Create the user table", "run": done, "estimate": "20m"},
        {"id": "form", "title": "Build the form", "run": done, "tags": ["frontend", "needs-review"]},
        {"id": "api", "title": "Implement the API", "depends_on": ["schema"], "run": done, "estimate": "45m"},
        {
            "id": "mail",
            "title": "Send the mails",
            "depends_on": ["schema"],
            "run": waits_for(Path(gate.name)),
        },
        {
            "id": "tests",
            "title": "Test the API",
            "depends_on": ["api"],
            "run": tests,
            "retries": {"max": 1, "backoff": "500ms"},
        },
        {"id": "docs", "title": "Write the pages", "depends_on": ["api", "form"]},
        {"id": "release", "title": "Release it", "depends_on": ["tests", "docs", "mail"]},
    ]
    handle = site.enqueue("login", *tasks, title="User login", max_parallel_tasks=3, strategy="dataflow")
    wait_until(lambda: bool([state for state in handle.states() if state.status == "failed"]))
    return handle


def large(site: Site) -> None:
    """A feature whose batches are folded."""
    tasks: list[dict[str, Any]] = [
        {"id": f"T{batch}-{row}", "depends_on": [f"T{batch - 1}-{row}"] if batch > 1 else [], "run": ["true"]}
        for batch in range(1, 7)
        for row in range(60)
    ]
    tasks[75]["run"] = ["false"]
    tasks[75]["retries"] = {"max": 0}
    site.enqueue("import", *tasks, title="Import all shops", max_parallel_tasks=6).wait(PATIENCE)


@pytest.mark.skipif(not os.environ.get("PICTURES"), reason="PICTURES=1 takes new pictures of the pages")
def test_take_the_pictures(open_page: OpenPage, tmp_path: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    with served(tmp_path, at_once=6, resources={"gpu": 2}) as site:
        site.enqueue("nightly", {"id": "extract"}, title="Nightly report").wait(PATIENCE)
        large(site)
        gate = site.project.folder / "gate"
        holder = {"run": waits_for(Path(gate.name)), "resources": {"gpu": 1}}
        site.enqueue("train", *({"id": f"model-{n}", **holder} for n in range(3)), title="Train the models")
        login(site, gate)
        for scheme in ("light", "dark"):
            page = open_page(color_scheme=scheme, viewport={"width": WIDE, "height": 900})
            for name in NAMES:
                take(site, page, name, scheme)
        gate.touch()


def take(site: Site, page: Any, name: str, scheme: str) -> None:
    """A picture of a page, as somebody sees it who has just opened it."""
    paths = {
        "features": "/features",
        "feature": "/feature/login",
        "large": "/feature/import",
        "task": "/feature/login/task/tests",
        "plan": "/features/plan",
        "limits": "/features/limits",
    }
    site.open(page, paths[name])
    if name == "plan":
        page.get_by_label("Feature file").fill(PLAN)
        page.get_by_role("button", name="Plan it").click()
    if name in ("feature", "large", "plan"):
        page.locator(".to-box").first.wait_for()
    if name in ("feature", "large"):
        page.locator(".to-span.span-queued").first.wait_for()
    page.wait_for_load_state("load")
    page.evaluate("document.activeElement.blur()")
    high = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST)
    page.set_viewport_size({"width": WIDE, "height": high})
    page.mouse.wheel(0, -10_000)
    taken = page.screenshot(animations="disabled")
    page.set_viewport_size({"width": WIDE, "height": 900})
    save(taken, IMAGES / f"{name}-{scheme}.png")


def save(taken: bytes, file: Path) -> None:
    """Write a picture with its most frequent colours, and the nearest of them for the others: a third of the bytes."""
    from PIL import Image

    with Image.open(io.BytesIO(taken)) as image:
        plain = image.convert("RGB")
    counted: Any = plain.getcolors(plain.width * plain.height)
    found = sorted(counted, reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in found for part in colour])
    plain.quantize(palette=palette, dither=Image.Dither.NONE).save(file, optimize=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_the_docs_have_a_small_picture_of_each_page(name: str, scheme: str) -> None:
    size = (IMAGES / f"{name}-{scheme}.png").stat().st_size
    assert 10_000 < size < MOST_BYTES
