"""A feature of ten thousand tasks beside one of a hundred: how soon it is painted, how soon an event is on the page.

No time is promised here, but that the large one stays near the small one. `pytest -s` prints the figures.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest

from orchestrator.client.handle import Handle
from tests.waiting import wait_until
from tests.web.conftest import OpenPage
from tests.web.site import Site

pytestmark = pytest.mark.real

BATCHES, WIDE = 100, 100
LOADS, MESSAGES = 3, 12
TIMES = 8
"""How many times as long the large one may take. It has a hundred times as many tasks."""

NOTE = """
window.delays = [];
new MutationObserver((_, observer) => {
  if (!document.querySelector(".to-box")) return;
  requestAnimationFrame(() => (window.graphAt = performance.now()));
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
const listen = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (name, told, ...more) {
  const noted = (event) => {
    told(event);
    if (name !== "change") return;
    const written = Number(JSON.parse(event.data).cursor.split("-")[0]);
    requestAnimationFrame(() => setTimeout(() => window.delays.push(Date.now() - written)));
  };
  return listen.call(this, name, noted, ...more);
};
"""
"""From the moment that Redis wrote an event (its id) to the frame that shows it, both by this machine's clock."""


def enqueued(site: Site, name: str, batches: int, wide: int) -> Handle:
    """A feature that goes on step by step, one short task after the other."""
    tasks = [
        {
            "id": f"T{batch}-{row}",
            "run": ["sleep", "0.2"],
            "depends_on": [f"T{batch - 1}-{row}"] if batch else [],
        }
        for batch in range(batches)
        for row in range(wide)
    ]
    return site.enqueue(name, *tasks, max_parallel_tasks=1, strategy="batched")


def painted(page: Any) -> dict[str, float]:
    """Milliseconds from the navigation to the first paint, and to the graph."""
    wait_until(lambda: bool(page.evaluate("window.graphAt")))
    first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return {"first paint": first, "graph": page.evaluate("window.graphAt")}


def measured(site: Site, open_page: OpenPage, name: str) -> dict[str, float]:
    """The medians of some loads, and of the messages after the last one."""
    loads = []
    for _ in range(LOADS):
        page = open_page()
        page.add_init_script(NOTE)
        site.open(page, f"/feature/{name}")
        loads.append(painted(page))
        if len(loads) < LOADS:
            page.context.close()
    wait_until(lambda: page.evaluate("window.delays.length") >= MESSAGES)
    delays = page.evaluate("window.delays")
    size = page.evaluate("document.querySelectorAll('*').length")
    page.context.close()
    medians = {key: statistics.median(load[key] for load in loads) for key in loads[0]}
    return {
        **medians,
        "event": statistics.median(delays),
        "slowest event": max(delays),
        "elements": size,
    }


def test_ten_thousand_tasks_are_about_as_quick_as_a_hundred(
    site: Site, open_page: OpenPage, record_property: Any
) -> None:
    found = {}
    for name, batches, wide in (("hundred", BATCHES, 1), ("ten-thousand", BATCHES, WIDE)):
        handle = enqueued(site, name, batches, wide)
        found[name] = measured(site, open_page, name)
        handle.cancel()
    print(json.dumps(found, indent=1))
    record_property("milliseconds", found)
    small, large = found["hundred"], found["ten-thousand"]
    assert large["elements"] < 6_000
    for what in ("first paint", "graph", "event"):
        assert large[what] < TIMES * small[what], (what, found)
