"""A page with the drawings alone: a made-up feature, the real scripts and styles, and a stream that the test is."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orchestrator

STATIC = Path(orchestrator.__file__).parent / "web" / "static"
ORIGIN = "http://board.test"

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Board</title>
<script src="/flower/js/theme.js"></script>
<link rel="stylesheet" href="/flower/css/bootstrap.min.css"><link rel="stylesheet" href="/flower/css/flower.css">
<link rel="stylesheet" href="/static/style.css"></head>
<body class="app-body"><div id="toast-container" aria-live="polite"></div>
<main class="features-page" data-stream="/stream"><h1>Board</h1><p role="status" data-connection></p>
<section aria-label="Graph"><div data-graph="/graph" data-task-url="/task/{task}"></div></section>
<section aria-label="Timeline"><div data-timeline data-events="/events" data-task-url="/task/{task}"></div></section>
<div data-part="needs"><p>none</p></div>
<table><tbody><tr data-task="T1">
<th scope="row">T1</th><td data-cell="status"></td><td data-cell="note"></td></tr></tbody></table>
<ol data-events-list data-most="3"></ol>
<script type="module" async src="/static/page.js"></script></main></body></html>"""

STREAM = """
window.EventSource = class extends EventTarget {
  constructor(url) { super(); window.stream = this; this.url = url; this.readyState = 1; }
  close() {}
};
window.tell = (name, message) =>
  window.stream.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(message) }));
"""

START = 1_790_000_000.0


def moment(second: float) -> str:
    """A moment some seconds after the feature's start, as answers write it."""
    return datetime.fromtimestamp(START + second, UTC).isoformat()


def line(task: str, batch: int, *depends_on: str, status: str = "pending", **more: Any) -> dict[str, Any]:
    """A task, as an answer has it."""
    return {"task": task, "status": status, "batch": batch, "depends_on": list(depends_on), **more}


def event(number: int, name: str, task: str, second: float, **more: Any) -> dict[str, Any]:
    """An event, as an answer has it."""
    written = round((START + second) * 1000)
    return {"id": f"{written}-{number}", "time": moment(second), "event": name, "task": task, **more}


def grid(batches: int, wide: int) -> list[dict[str, Any]]:
    """Batches of the same width, each task behind the one beside it."""
    return [
        line(f"T{batch}.{row}", batch, *([f"T{batch - 1}.{row}"] if batch > 1 else []))
        for batch in range(1, batches + 1)
        for row in range(wide)
    ]


def set_up(
    page: Any,
    tasks: Sequence[Mapping[str, Any]],
    *,
    events: Sequence[Mapping[str, Any]] = (),
    **snapshot: Any,
) -> None:
    """Answer this page's requests with a made-up feature, and open it."""
    told = {"feature": "board", "title": "Board", "cap": 2, "batch": 1, "tasks": tasks, **snapshot}
    flower = find_spec("flower")
    assert flower
    assert flower.origin
    folders = {"static": STATIC, "flower": Path(flower.origin).parent / "static"}

    def answer(route: Any) -> None:
        path = urlsplit(route.request.url).path
        first, _, rest = path.strip("/").partition("/")
        if first in folders:
            kind = mimetypes.guess_type(rest)[0] or "text/plain"
            route.fulfill(body=(folders[first] / rest).read_bytes(), content_type=kind)
        elif first == "graph":
            route.fulfill(json=told)
        elif first == "events":
            route.fulfill(json=part(route.request.url))
        elif first == "board":
            route.fulfill(body=PAGE, content_type="text/html; charset=utf-8")
        else:
            route.fulfill(body=f"<title>{path}</title>", content_type="text/html")

    def part(url: str) -> dict[str, Any]:
        after = parse_qs(urlsplit(url).query)["after"][0]
        start = 0 if after == "-" else [one["id"] for one in events].index(after) + 1
        found = list(events[start : start + 1000])
        left = len(events) - start - len(found)
        return {"feature": "board", "events": found, **({"after": found[-1]["id"]} if left else {})}

    page.add_init_script(STREAM)
    page.route(f"{ORIGIN}/**", answer)
    page.goto(f"{ORIGIN}/board")
    page.wait_for_selector(".to-box, .to-crowded")


def tell(page: Any, *tasks: Mapping[str, Any], name: str = "change", **message: Any) -> None:
    """Let the server say something."""
    feature = {"feature": "board", "cap": 2, "batch": 1}
    page.evaluate(
        "([name, message]) => window.tell(name, JSON.parse(message))",
        [name, json.dumps({"feature": feature, "tasks": tasks, **message})],
    )
