"""The pages of features in a real Flower: who may see them, what they show, what they do."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator import Feature, Task
from orchestrator.state import tails
from orchestrator.web import entrance, templates
from tests.web.flower import PASSWORD, SECRET, Running, running

pytestmark = pytest.mark.real

HOSTILE = "<script>alert(1)</script>\"' onload=x javascript:alert(1)"

TASKS = [{"id": "A", "run": "true"}, {"id": "B", "depends_on": ["A"], "run": "true"}]
PLAN = json.dumps({"title": HOSTILE, "tasks": TASKS})


CONFIG = "{resources: {gpu: 2}, specialists: {coder: {agent: {runtime: pull}}}}"


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One without a password, and three features in it."""
    folder = tmp_path_factory.mktemp("flower")
    with running(folder, TASKORCHESTRATOR_WEB__SECRET=SECRET, config=CONFIG) as found:
        with found.client() as client:
            for name in ("one", "two", "three"):
                first = Task(id="T1", title=HOSTILE, run=("true",), tags=("backend",))
                second = Task(id="größe/2", run=("true",), depends_on=("T1",))
                client.enqueue(
                    Feature(id=name, title=f"{name} {HOSTILE}", tags=("web",), tasks=(first, second))
                )
        yield found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One with a password, that only shows."""
    folder = tmp_path_factory.mktemp("guarded")
    with running(folder, f"--basic-auth={PASSWORD}", TASKORCHESTRATOR_WEB__SECRET=SECRET) as found:
        with found.client() as client:
            client.enqueue(Feature(id="one", title="One", tasks=(Task(id="T1", run=("true",)),)))
        yield found


PAGES = ("/features", "/feature/one", "/feature/one/task/T1", "/features/plan", "/features/limits")
CALLS = (
    "/api/features", "/api/features/one", "/api/features/one/graph", "/api/features/one/events", "/api/limits",
    "/api/features/one/tasks/T1", "/api/features/one/tasks/T1/explain", "/api/features/openapi.json",
)  # fmt: skip


def test_each_page_of_flower_has_the_tab(flower: Running) -> None:
    for path in ("/workers", "/tasks", "/broker", "/features"):
        found = flower.browser().ask(path)
        assert found.status == 200
        assert 'href="/features"' in found.text
        assert ('aria-current="page">Features' in found.text) == (path == "/features")


@pytest.mark.parametrize("path", [*PAGES, *CALLS, "/api/features/one/stream"])
def test_without_the_secret_nobody_sees_anything(flower: Running, path: str) -> None:
    for visitor in (
        flower.stranger(),
        flower.stranger(Authorization="Bearer wrong"),
        flower.user("ops:guess"),
    ):
        found = visitor.ask(path)
        assert found.status == 403
        assert "alert(1)" not in found.text
        assert "FLOWER_BASIC_AUTH" in found.text
    assert flower.stranger().ask("/features?secret=wrong").status == 403


@pytest.mark.parametrize("path", PAGES)
def test_pages_show_what_anybody_wrote_as_text(flower: Running, path: str) -> None:
    found = flower.browser().ask(path)
    assert found.status == 200
    assert "<script>alert" not in found.text
    assert not re.search(r"<[^>]* style=|<[^>]* on\w+=\"|href=\"javascript", found.text)
    assert found.headers["X-Frame-Options"] == "DENY"
    policy = found.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_secret_leaves_the_address(flower: Running) -> None:
    visitor = flower.stranger()
    found = visitor.ask(f"/feature/one?secret={SECRET}")
    assert (found.status, found.headers["Location"]) == (302, "/feature/one")
    assert "HttpOnly" in str(found.headers)
    assert SECRET not in str(visitor.cookies)
    assert visitor.ask("/feature/one").status == 200


@pytest.mark.parametrize("path", ["/features", "/api/features"])
def test_another_host_is_refused_even_with_the_secret(flower: Running, path: str) -> None:
    assert flower.program().ask(path, Host="evil.example").status == 403
    assert flower.program().ask(path, Host=f"localhost:{flower.port}").status == 200


def test_a_decision_needs_the_token_of_a_page(flower: Running) -> None:
    browser = flower.browser()
    held = {"action": "hold", "task": "T1", "note": "not now"}
    path = "/api/features/two/decisions"
    assert browser.ask(path, held).status == 403
    token = browser.token()
    evil = browser.ask(path, {**held, "_xsrf": token}, Origin="https://evil.example")
    assert evil.status == 403
    assert browser.ask(path, {**held, "_xsrf": token}, Sec_Fetch_Site="cross-site").status == 403
    done = browser.ask(path, {**held, "_xsrf": token}, Accept="application/json")
    assert done.json["message"] == "T1 is on hold."
    events = flower.program().ask("/api/features/two/events").json["events"]
    assert [(one["note"], one["by"]) for one in events if one["event"] == "task_held"] == [
        ("not now", "flower")
    ]
    page = browser.ask("/feature/two/task/T1")
    assert 'name="action" value="resume"' in page.text
    assert 'name="action" value="retry"' not in page.text
    back = browser.ask(path, {"action": "resume", "task": "T1", "_xsrf": token}, Accept="text/html")
    assert (back.status, back.headers["Location"]) == (303, "/feature/two/task/T1")


def test_what_the_engine_refuses_is_told(flower: Running) -> None:
    program = flower.program()
    refused = program.ask("/api/features/one/decisions", value={"action": "approve", "task": "T1"})
    assert refused.status == 409
    assert refused.json["error"]["code"] == "refused-transition"
    for given, code in (
        ({"action": "explode"}, "no-such-action"),
        ({"action": "skip", "task": "T1"}, "argument-missing"),
        ({"action": "cap", "arguments": {"most": "many"}}, "bad-cap"),
        ({"action": "budget", "arguments": {"amount": "much"}}, "bad-budget"),
    ):
        found = program.ask("/api/features/one/decisions", value=given)
        assert (found.status, found.json["error"]["code"]) == (400, code)
    assert program.ask("/api/features/none").status == program.ask("/feature/none").status == 404
    assert program.ask("/api/features/one/decisions", body="{").status == 400


OFFERED = re.compile(
    r'name="action" value="([\w-]+)">\s*<input type="hidden" name="task" value="([\w-]*)"', re.MULTILINE
)


def test_every_offered_action_is_taken(flower: Running) -> None:
    program = flower.program()
    with flower.client() as client:
        client.enqueue(Feature(id="offers", title="Offers", tasks=(Task(id="T1", run=("true",)),)), stops=[1])
    given = {"note": "n", "because": "b", "specialist": "senior-engineer", "most": "3", "amount": "5"}
    seen = set()
    for page in ("/feature/offers", "/feature/offers/task/T1") * 6:
        offered = OFFERED.findall(program.ask(page).text)
        assert offered
        for action, task in offered:
            if action in ("cancel", "fail", "launch", "skip") or (action, task) in seen:
                continue
            seen.add((action, task))
            sent = {"action": action, "task": task, "arguments": given}
            found = program.ask("/api/features/offers/decisions", value=sent)
            assert found.status == 200, found.text
            break  # what is offered may be another now
    assert len(seen) >= 4
    assert ("budget", "") in seen


def test_the_stream_goes_on_where_it_was_left(flower: Running) -> None:
    program = flower.program()
    known = program.ask("/api/features/three/graph").json["cursor"]
    connection = http.client.HTTPConnection("127.0.0.1", flower.port, timeout=60)
    connection.request(
        "GET", "/api/features/three/stream", headers={**program.headers, "Last-Event-ID": known}
    )
    stream = connection.getresponse()
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    program.ask("/api/features/three/decisions", value={"action": "hold", "task": "T1"})
    lines = {}
    while "data" not in lines:
        name, _, text = stream.readline().decode().strip().partition(": ")
        lines[name] = text
    told = json.loads(lines["data"])
    assert (lines["event"], lines["id"]) == ("change", told["cursor"])
    assert told["events"][0]["event"] == "task_held"
    assert told["tasks"][0]["status"] == "on-hold"
    assert set(told["parts"]) == {"headline", "needs", "decisions"}
    assert "<script>alert" not in json.dumps(told["parts"])
    connection.close()
    assert program.ask("/api/features/three/stream?after=nonsense").status == 400


def test_the_description_has_what_there_is(flower: Running) -> None:
    program = flower.program()
    found = program.ask("/api/features/openapi.json").json
    known = found["components"]["schemas"]
    assert all(name in known for name in re.findall(r"#/components/schemas/(\w+)", json.dumps(found)))
    for path, methods in found["paths"].items():
        concrete = path.replace("{feature}", "one").replace("{task}", "T1")
        content = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if "application/json" in content:
            answer = program.ask(concrete)
            assert answer.status == 200, path
            model = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert set(answer.json) <= {*known[model]["properties"], "critical_path"}, path


def test_ids_of_any_alphabet_have_addresses(flower: Running) -> None:
    page = flower.browser().ask("/feature/one")
    address = re.search(r'href="(/feature/one/task/gr[^"]+)"', page.text)
    assert address
    assert flower.browser().ask(address[1]).status == 200
    assert flower.program().ask("/api/features/one/tasks/gr%C3%B6%C3%9Fe%2F2").json["task"] == "größe/2"


def test_features_are_found_and_come_in_pages(flower: Running) -> None:
    program = flower.program()
    first = program.ask("/api/features?limit=2&tag=web").json
    rest = program.ask(f"/api/features?limit=2&tag=web&after={first['after']}").json
    assert [one["feature"] for one in [*first["features"], *rest["features"]]] == ["three", "two", "one"]
    assert [one["feature"] for one in program.ask("/api/features?q=TWO").json["features"]] == ["two"]
    assert "No feature is like that" in flower.browser().ask("/features?status=archived").text


def test_a_file_is_planned_and_then_enqueued(flower: Running) -> None:
    browser = flower.browser()
    token = browser.token()
    planned = browser.ask("/features/plan", {"text": PLAN, "_xsrf": token})
    assert planned.status == 200
    assert "Enqueue it" in planned.text
    assert "<script>alert" not in planned.text
    cycle = "title: X\ntasks: [{id: A, run: 'true', depends_on: [B]}, {id: B, run: 'true', depends_on: [A]}]"
    cyclic = browser.ask("/features/plan", {"text": cycle, "_xsrf": token})
    assert "circular" in cyclic.text
    assert '"cycles":[["A","B"]]' in cyclic.text
    assert "Enqueue it" not in cyclic.text
    wrong = browser.ask(
        "/features/plan", {"text": "title: X\ntasks: [{id: A, afterwards: [B]}]", "_xsrf": token}
    )
    assert wrong.status == 400
    assert "afterwards" in wrong.text
    done = browser.ask("/features/plan", {"text": PLAN, "enqueue": "1", "_xsrf": token})
    assert done.status == 303
    assert browser.ask(done.headers["Location"]).status == 200
    made = flower.program().ask("/api/features", value=json.loads(PLAN))
    assert made.status == 201
    assert flower.program().ask("/api/plan", value=json.loads(PLAN)).json["batches"]


def test_a_limit_is_changed(flower: Running) -> None:
    assert (
        flower.program().ask("/api/limits", value={"limit": "gpu", "amount": "5"}).json["limits"][0]["amount"]
        == "5"
    )
    assert flower.program().ask("/api/limits", value={"limit": "none", "amount": "5"}).status == 404


def test_flowers_own_password_is_the_only_way_in(guarded: Running) -> None:
    for visitor in (guarded.stranger(), guarded.user("ops:wrong"), guarded.program()):
        for path in (*PAGES, "/api/features/one/stream"):
            assert visitor.ask(path).status == 401
        assert visitor.ask(f"/features?secret={SECRET}").status == 401
        assert visitor.ask("/api/features/one/decisions", value={"action": "pause"}).status in (401, 403)
    done = guarded.user().ask("/api/features/one/decisions", value={"action": "pause"})
    assert done.status == 200
    events = guarded.user().ask("/api/features/one/events").json["events"]
    assert [one["by"] for one in events if one["event"] == "feature_paused"] == ["ops"]
    # A browser sends the password by itself, no matter who made the form.
    evil = guarded.user().ask(
        "/api/features/one/decisions", {"action": "resume"}, Origin="https://evil.example"
    )
    assert evil.status == 403
    assert guarded.user().ask("/api/features/one/decisions", {"action": "resume"}, Cookie="a=b").status == 403


def test_a_secret_in_the_output_is_hidden(tmp_path: Path) -> None:
    config = "specialists: {senior-engineer: {command: [x], env: {KEY: a-long-secret-of-mine}}}"
    with running(tmp_path, config=config, TASKORCHESTRATOR_WEB__SECRET=SECRET) as flower:
        with flower.client() as client:
            client.enqueue(Feature(id="one", title="One", tasks=(Task(id="T1", run=("true",)),)))
            attempt = client.store.tasks.state("one", "T1").attempt
            log = tails.log_file(flower.settings, "one", "T1", attempt)
        log.parent.mkdir(parents=True)
        log.write_text("before a-long-secret-of-mine after")
        for path in ("/feature/one/task/T1", "/api/features/one/tasks/T1"):
            found = flower.program().ask(path)
            assert "before ** after" in re.sub(r"\*+", "**", found.text)
            assert "a-long-secret-of-mine" not in found.text


def test_where_it_only_shows_nothing_is_offered_and_nothing_done(tmp_path: Path) -> None:
    with running(tmp_path, config="web: {read_only: true}", TASKORCHESTRATOR_WEB__SECRET=SECRET) as flower:
        with flower.client() as client:
            client.enqueue(Feature(id="one", title="One", tasks=(Task(id="T1", run=("true",)),)))
        for path in ("/feature/one", "/feature/one/task/T1"):
            page = flower.browser().ask(path)
            assert page.status == 200
            assert "data-decision" not in page.text
        for path in ("/api/features/one/decisions", "/api/features", "/api/limits"):
            assert flower.program().ask(path, value={"action": "pause"}).status == 403


GUEST = """
import orchestrator
from celery import Celery

app = Celery("proj")
other = Celery("other", broker="memory://")
orchestrator.install(app)
"""


def test_an_app_that_has_the_engine_has_the_tab_and_no_other_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proj.py").write_text(GUEST)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with running(tmp_path, app="proj", TASKORCHESTRATOR_WEB__SECRET=SECRET) as flower:
        assert flower.browser().ask("/features").status == 200
        assert 'href="/features"' in flower.stranger().ask("/tasks").text
    with running(tmp_path, app="proj:other") as flower:
        assert flower.stranger().ask("/features").status == 404
        assert 'href="/features"' not in flower.stranger().ask("/tasks").text


def test_behind_a_prefix_every_address_has_it(tmp_path: Path) -> None:
    with running(tmp_path, "--url-prefix=ops", prefix="/ops", TASKORCHESTRATOR_WEB__SECRET=SECRET) as flower:
        page = flower.program().ask("/ops/features")
        assert page.status == 200
        assert 'href="/ops/features"' in page.text
        assert flower.program().ask("/ops/features/static/style.css").status == 200
        assert flower.program().ask("/ops/api/features/openapi.json").json["servers"] == [{"url": "/ops"}]


def test_a_flower_without_a_place_for_the_tab_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "navbar.html").write_text("<nav>something new</nav>")
    flower = SimpleNamespace(settings={"template_path": str(tmp_path)}, add_handlers=None)
    entrance.open_in(flower, SimpleNamespace())  # type: ignore[arg-type]
    assert "no place for the tab Features" in caplog.text
    assert "template_loader" not in flower.settings
    assert not templates.Templates(str(tmp_path / "none")).has_place()
