"""Features that run in a test's own process, on a Redis in memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator import Blocked, Completed, Context, Feature, Outcome, Task
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.testing import InProcessClient, in_memory, open_client, run_specialist


def flaky(context: Context) -> str:
    """Fails twice."""
    if context.attempt < 3:
        raise ValueError("not yet")
    return f"done at attempt {context.attempt}"


def note(context: Context) -> dict[str, object]:
    return {"task": context.task.id, "before": sorted(context.dependencies)}


def stop(context: Context) -> str | Blocked:
    return "went on" if context.remarks else Blocked(reason="which colour?", kind="missing-information")


def done(outcome: Outcome | None) -> Completed:
    assert isinstance(outcome, Completed)
    return outcome


@pytest.fixture
def orchestrator_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    here = f"{__name__}:"
    done_by = {name: {"python": f"{here}{name}"} for name in ("flaky", "note", "stop")}
    return in_memory(Settings(specialists=done_by, trust={"inline_commands": True}))


def test_a_feature_runs_to_its_end_without_a_redis_and_without_a_worker(
    orchestrator_client: InProcessClient,
) -> None:
    tasks = [Task(id="A", specialist="note"), Task(id="B", specialist="note", depends_on=["A"])]

    handle = orchestrator_client.run(Feature(title="Two", tasks=tasks))

    assert handle.status() == "completed"
    assert done(handle.outcome("B")).result == {"task": "B", "before": ["A"]}


def test_a_retry_moves_the_clock_on_and_nothing_sleeps(orchestrator_client: InProcessClient) -> None:
    task = Task(
        id="A", specialist="flaky", retries={"max": 3, "backoff": "10d", "longest": "10d", "jitter": False}
    )

    handle = orchestrator_client.run(Feature(title="Flaky", tasks=[task]))

    assert handle.status() == "completed"
    first, *_, last = handle.events()
    assert last.time - first.time >= 20 * 86_400
    assert done(handle.outcome("A")).summary == "done at attempt 3"


def test_what_a_person_decides_goes_on_at_the_next_wait(orchestrator_client: InProcessClient) -> None:
    handle = orchestrator_client.run(Feature(title="Stops", tasks=[Task(id="A", specialist="stop")]))
    assert handle.status() == "blocked"

    handle.unblock("A", note="blue")

    assert handle.wait().status == "completed"
    assert done(handle.outcome("A")).summary == "went on"


def test_steps_are_taken_one_by_one(orchestrator_client: InProcessClient) -> None:
    handle = orchestrator_client.enqueue(
        Feature(title="Steps", tasks=[Task(id="A", specialist="note"), Task(id="B", specialist="note")])
    )
    assert handle.progress().completed == 0
    assert orchestrator_client.step()
    assert handle.progress().completed == 1
    assert orchestrator_client.step()
    assert not orchestrator_client.step()
    assert handle.progress().completed == 2


def test_the_clock_is_moved_on_by_hand(orchestrator_client: InProcessClient) -> None:
    task = Task(id="A", specialist="flaky", retries={"max": 3, "backoff": "200s", "jitter": False})
    handle = orchestrator_client.enqueue(Feature(title="Flaky", tasks=[task]))
    orchestrator_client.step()
    assert handle.progress().delayed == 1

    orchestrator_client.move_on(190)
    assert handle.progress().delayed == 1

    orchestrator_client.move_on(11)
    assert handle.progress().delayed == 0


def test_a_feature_that_waits_for_a_launch_is_not_waited_for_without_end(
    orchestrator_client: InProcessClient,
) -> None:
    tasks = [Task(id="A", specialist="note"), Task(id="B", specialist="note", depends_on=["A"])]
    handle = orchestrator_client.run(Feature(title="Held", tasks=tasks), auto_launch=False)
    assert handle.progress().completed == 1

    handle.launch()

    assert handle.wait().status == "completed"


def test_two_clients_do_not_see_each_other(orchestrator_settings: Settings) -> None:
    feature = Feature(id="same", title="Same", tasks=[Task(id="A", specialist="note")])
    with open_client(orchestrator_settings) as one, open_client(in_memory(orchestrator_settings)) as other:
        one.run(feature)
        with pytest.raises(errors.NoSuchFeature):
            other.feature("same")


def test_nothing_is_left_of_a_client(orchestrator_settings: Settings) -> None:
    with open_client(orchestrator_settings) as client:
        handle = client.run(Feature(title="Says", tasks=[Task(id="A", run=["echo", "hello"])]))
        assert handle.status() == "completed"
        assert [*orchestrator_settings.log_folder.iterdir()]
    assert not [*orchestrator_settings.log_folder.iterdir()]
    with open_client(orchestrator_settings) as client:
        assert client.features() == []


def test_a_specialist_is_run_alone() -> None:
    outcome = run_specialist(note, Task(id="B", depends_on=["A"]), {"A": "text"})
    assert done(outcome).result == {"task": "B", "before": ["A"]}


async def later(context: Context) -> str:
    return context.dependencies["A"].summary.upper()


def test_an_async_specialist_is_run_alone() -> None:
    assert done(run_specialist(later, Task(id="B"), {"A": "text"})).summary == "TEXT"


def test_the_plugin_serves_a_project_of_its_own(tmp_path: Path) -> None:
    """README and docs are true for a user: pytest in a folder with a configuration and a test."""
    (tmp_path / ".taskorchestrator").mkdir(mode=0o700)
    (tmp_path / ".taskorchestrator" / "config.yaml").write_text(
        "specialists:\n  greeter: {python: 'greeting:greet'}\n", "utf-8"
    )
    (tmp_path / "greeting.py").write_text(
        "def greet(context):\n    return f'hello {context.task.id}'\n", "utf-8"
    )
    (tmp_path / "test_greeting.py").write_text(
        textwrap.dedent("""
            from greeting import greet
            from orchestrator import Feature, Task

            def test_all_are_greeted(orchestrator_client):
                feature = Feature(title="Greet", tasks=[Task(id="ann", specialist="greeter")])
                handle = orchestrator_client.run(feature)
                assert handle.outcome("ann").summary == "hello ann"

            def test_one_is_greeted(run_specialist):
                assert run_specialist(greet, Task(id="bob")).summary == "hello bob"
        """),
        "utf-8",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
    assert not (tmp_path / ".taskorchestrator" / "logs").exists()


def test_tasks_of_ones_own_app_are_called(orchestrator_settings: Settings) -> None:
    app = Celery("proj", broker="redis://nowhere.invalid/0", set_as_current=False)

    @app.task(name="proj.count", bind=True, max_retries=2)
    def count(self: Any, words: str) -> int:
        if self.request.retries < 1:
            raise self.retry(countdown=3_600)
        return len(words.split())

    @app.task(name="proj.double")
    def double(number: int) -> int:
        return 2 * number

    first = Task(id="count", call=count.s("one two three"))
    tasks = [first, Task(id="double", call="proj.double", args=[first.result()])]
    with open_client(orchestrator_settings, app) as client:
        handle = client.run(Feature(title="Words", tasks=tasks))
        assert handle.status() == "completed"
        assert handle.result("double") == 6
    assert not hasattr(app, "orchestrator") or app.orchestrator is None
