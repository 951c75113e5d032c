"""The six errors, each caused for real: the commands that a person types, and their output.

`python -m tests.acceptance.six_errors` writes docs/reference/reports.md from them.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import PATIENCE, Project, open_project
from tests.waiting import wait_until


@dataclass
class Scene:
    """One error: the commands that were typed, and their output."""

    title: str
    about: str
    project: Project
    told: list[tuple[str, str, int]] = field(default_factory=list)

    def type(self, *arguments: str) -> str:
        """Run an orchestrator command as a person types it; returns its output."""
        done = self.project.orchestrator(*arguments)
        printed = done.stdout + done.stderr
        self.told.append((" ".join(_quoted(argument) for argument in arguments), printed, done.returncode))
        return printed

    @property
    def last_exit(self) -> int:
        """The exit code of the last command."""
        return self.told[-1][2]


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def say(text: str) -> list[str]:
    """A command that prints a line."""
    return [sys.executable, "-c", f"print({text!r})"]


def report(outcome: dict[str, Any], *, unless: Path) -> list[str]:
    """A command that reports an outcome, and once the file is there, is done."""
    program = (
        "import json, os, pathlib, sys\n"
        "if not pathlib.Path(sys.argv[1]).exists():\n"
        "    open(os.environ['ORCHESTRATOR_OUTCOME_FILE'], 'w').write(sys.argv[2])\n"
        "else:\n"
        "    print('done')"
    )
    import json

    return [sys.executable, "-c", program, str(unless), json.dumps(outcome)]


def hold(until: Path) -> list[str]:
    """A command that goes on until the file is there."""
    program = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\nprint('done')"
    return [sys.executable, "-c", program, str(until)]


def blocked(project: Project) -> Scene:
    """Error 1."""
    scene = Scene("Blocked", "A specialist reports that it cannot go on, and why.", project)
    project.start_worker("one", "-c", "2")
    key = project.folder / "key"
    outcome = {
        "status": "blocked",
        "kind": "external-dependency",
        "reason": "the payment provider gave no API key",
    }
    tasks = [
        {"id": "T1", "title": "Create the schema", "tags": ["database"], "run": say("3 tables")},
        {
            "id": "T2",
            "title": "Call the provider",
            "tags": ["backend"],
            "depends_on": ["T1"],
            "run": report(outcome, unless=key),
        },
        {"id": "T3", "title": "Test it", "tags": ["testing"], "depends_on": ["T2"], "run": say("9 passed")},
    ]
    scene.type("run", project.write("shop.yaml", {"id": "shop", "title": "Shop", "tasks": tasks}))
    scene.type("status", "shop")
    key.touch()
    scene.type("unblock", "shop", "T2", "--note", "the key is in the vault")
    scene.type("watch", "shop")
    return scene


def failed(project: Project) -> Scene:
    """Error 2."""
    scene = Scene(
        "Failed", "Retries first, with growing waits; then the cause, the output, and the command.", project
    )
    project.start_worker("one", "-c", "2")
    mended = project.folder / "mended"
    program = (
        "import pathlib, sys\n"
        "if pathlib.Path(sys.argv[1]).exists(): print('9 passed'); sys.exit()\n"
        "print('tests/test_api.py F'); print('=== 1 failed, 8 passed in 0.12s ==='); sys.exit(1)"
    )
    tasks = [
        {"id": "T1", "title": "Build", "tags": ["backend"], "run": say("built")},
        {
            "id": "T2",
            "title": "Test the API",
            "tags": ["testing"],
            "depends_on": ["T1"],
            "retries": {"max": 1, "backoff": "10ms"},
            "run": [sys.executable, "-c", program, str(mended)],
        },
        {"id": "T3", "title": "Publish", "tags": ["backend"], "depends_on": ["T2"], "run": say("published")},
    ]
    scene.type("run", project.write("api.yaml", {"id": "api", "title": "API", "tasks": tasks}))
    scene.type("explain", "api", "T3")
    mended.touch()
    scene.type("retry", "api", "T2")
    scene.type("watch", "api")
    return scene


def at_capacity(project: Project) -> Scene:
    """Error 3."""
    scene = Scene(
        "At capacity",
        "A batch is wider than the cap: the rest is queued, and freed slots are filled at once.",
        project,
    )
    project.start_worker("one", "-c", "6")
    gate = project.folder / "gate"
    tasks = [
        {"id": f"T{n}", "title": f"Shard {n}", "tags": ["testing"], "run": hold(gate)} for n in range(1, 8)
    ]
    feature = {
        "id": "wide",
        "title": "Seven shards",
        "max_parallel_tasks": 5,
        "strategy": "resource_aware",
        "tasks": tasks,
    }
    scene.type("enqueue", project.write("wide.yaml", feature))
    handle = project.client().feature("wide")
    wait_until(lambda: handle.progress().counts.get(TaskStatus.IN_PROGRESS, 0) == 5)
    scene.type("explain", "wide", "T7")
    scene.type("cap", "wide", "6")
    gate.touch()
    handle.wait(PATIENCE)
    scene.type("events", "wide")
    return scene


def no_specialist(project: Project) -> Scene:
    """Error 4; the fallback is ask_user."""
    scene = Scene("No specialist", "No tag routes the task, and the configuration says to ask.", project)
    project.start_worker("one", "-c", "2")
    tasks = [
        {"id": "T1", "title": "Build", "tags": ["backend"], "run": say("built")},
        {"id": "T9", "title": "Draw the logo", "tags": ["artwork"], "run": say("drawn")},
    ]
    file = project.write("logo.yaml", {"id": "logo", "title": "Logo", "tasks": tasks})
    scene.type("route", file)
    scene.type("run", file)
    scene.type("assign", "logo", "T9", "Senior Engineer", "--remember")
    scene.type("watch", "logo")
    scene.type("route", file)
    return scene


def circular(project: Project) -> Scene:
    """Error 5."""
    scene = Scene(
        "Circular dependency",
        "Refused before anything is stored; and a running feature cannot grow into one.",
        project,
    )
    tasks = [
        {"id": "T1", "title": "Create the schema", "run": say("ok")},
        {"id": "T2", "title": "Implement API", "depends_on": ["T1", "T5"], "run": say("ok")},
        {"id": "T5", "title": "Add caching", "depends_on": ["T7"], "run": say("ok")},
        {"id": "T7", "title": "Update API", "depends_on": ["T2"], "run": say("ok")},
    ]
    scene.type("run", project.write("circle.yaml", {"title": "Caching", "tasks": tasks}))
    line = [
        {"id": "T1", "title": "Create the schema", "run": say("ok")},
        {"id": "T2", "title": "Implement API", "depends_on": ["T1"], "run": say("ok")},
        {"id": "T3", "title": "Test it", "depends_on": ["T2"], "run": say("ok")},
    ]
    scene.type("enqueue", project.write("line.yaml", {"id": "line", "title": "Line", "tasks": line}))
    scene.type("depend", "line", "T2", "--on", "T3")
    scene.type(
        "add-task",
        "line",
        "T4",
        "--title",
        "Document it",
        "--tag",
        "documentation",
        "--depends-on",
        "T3",
        "--run",
        "echo done",
    )
    project.start_worker("one", "-c", "1")
    scene.type("watch", "line")
    return scene


def overdue(project: Project) -> Scene:
    """Error 6."""
    scene = Scene("Batch overdue", "A warning, repeated at growing intervals. Nothing is killed.", project)
    project.start_worker("one", "-c", "1")
    gate = project.folder / "gate"
    tasks = [{"id": "T1", "title": "Migrate", "tags": ["database"], "estimate": "100ms", "run": hold(gate)}]
    scene.type("enqueue", project.write("late.yaml", {"id": "late", "title": "Migration", "tasks": tasks}))
    handle = project.client().feature("late")
    wait_until(lambda: handle.states()[0].status is TaskStatus.IN_PROGRESS and handle.progress().overdue >= 2)
    scene.type("status", "late")
    gate.touch()
    scene.type("watch", "late")
    scene.type("events", "late")
    return scene


SCENES: dict[Callable[[Project], Scene], dict[str, Any]] = {
    blocked: {},
    failed: {},
    at_capacity: {},
    no_specialist: {"specialist_routing": {"fallback": "ask_user"}},
    circular: {},
    overdue: {"error_handling": {"overdue_least": "100ms"}},
}
"""Each of the six, with the settings it happens under."""


@contextlib.contextmanager
def staged(play: Callable[[Project], Scene], folder: Path) -> Iterator[Scene]:
    """Bring an error about in a folder of its own."""
    with open_project(folder, **SCENES[play]) as project:
        yield play(project)


def page() -> str:
    """docs/reference/reports.md: every report as it is printed."""
    parts = [
        "# Every error has an answer",
        "",
        "Each report below was printed by the commands above it, on real workers. "
        "`python -m tests.acceptance.six_errors` runs them and writes this page.",
    ]
    for number, play in enumerate(SCENES, 1):
        with tempfile.TemporaryDirectory() as folder, staged(play, Path(folder)) as scene:
            parts += ["", f"## {number}. {scene.title}", "", scene.about]
            for command, printed, code in scene.told:
                parts += [
                    "",
                    "```text",
                    f"$ orchestrator {command}",
                    _tidy(printed, folder),
                    f"(exit code {code})",
                    "```",
                ]
    return "\n".join(parts) + "\n"


def _tidy(text: str, folder: str) -> str:
    """The text without parts that differ from machine to machine."""
    text = text.replace(f"{folder}/project/", "").replace(folder, "").rstrip()
    return re.sub(r"@[\w.-]+", "@host", text)


if __name__ == "__main__":
    Path("docs/reference/reports.md").write_text(page(), "utf-8")
