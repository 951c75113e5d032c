"""The output of a task is read and followed from any machine while it runs, whatever does the work, in every pool."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

import pytest
import redis
import yaml

from orchestrator.config.folder import FILE, FOLDER
from orchestrator.model.feature import Feature
from tests.acceptance.conftest import MakeProject, Project, tools
from tests.waiting import wait_until

pytestmark = pytest.mark.real

SECRET = "s3cr3t-one"

SPECIALIST = """
import logging, threading, time
from pathlib import Path
from orchestrator import Context

def work(context: Context) -> str:
    print("one, and s3cr3t-one")
    while not Path(context.task.params["go"]).exists():
        time.sleep(0.02)
    logging.getLogger("app").warning("two")
    context.logger.info("three")
    return "done"
"""

COMMAND = 'echo "one, and $KEY"; while ! test -e "$0"; do sleep 0.02; done; echo two; echo three'


class Elsewhere:
    """Another machine: a folder of its own, and the same Redis."""

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder = folder
        (folder / FOLDER).mkdir(parents=True)
        url = project.settings.redis.url
        assert url
        settings = {"redis": {"url": url.get_secret_value()}}
        (folder / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")

    def logs(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["orchestrator", "logs", *arguments],
            cwd=self.folder,
            env=tools(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def shows(self, text: str, *arguments: str) -> bool:
        return self.shown(*arguments) == text

    def shown(self, *arguments: str) -> str:
        return self.logs(*arguments).communicate()[0]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_logs_are_followed_from_another_machine(make_project: MakeProject, tmp_path: Path, pool: str) -> None:
    # Given a worker that runs a command and a Python specialist, and another machine
    project = make_project(
        specialists={
            "builder": {"command": ["sh", "-c", COMMAND, str(tmp_path / "go")], "env": {"KEY": SECRET}},
            "thinker": {"python": "thinking:work"},
        },
        specialist_routing={"mapping": {"build": "builder", "think": "thinker"}},
        logging={"json": True},
    )
    (project.folder / "thinking.py").write_text(SPECIALIST)
    project.start_worker("one", "-c", "2", "-P", pool)
    elsewhere = Elsewhere(tmp_path / "elsewhere", project)
    tasks = [
        {"id": "build", "tags": ["build"]},
        {"id": "think", "tags": ["think"], "params": {"go": str(tmp_path / "go")}},
    ]
    handle = project.enqueue(Feature.model_validate({"id": "f", "title": "F", "tasks": tasks}))
    following = {task: elsewhere.logs("f", task, "--follow") for task in ("build", "think")}

    # When both have said something, then it is read there, without what is secret
    hidden = f"one, and {'*' * len(SECRET)}\n"
    for task in following:
        wait_until(partial(elsewhere.shows, hidden, "f", task))
    with redis.Redis.from_url(str(project.settings.redis.url.get_secret_value())) as server:  # type: ignore[union-attr]
        assert set(server.hkeys(handle.store.keys.feature("f").tails)) == {b"build", b"think"}

        # And when they have said the rest, and ended
        (tmp_path / "go").touch()
        said = {task: process.communicate()[0].splitlines() for task, process in following.items()}
        handle.wait(60)

        # Then who followed has seen all of it, in order, once
        assert said["build"] == [hidden.rstrip(), "two", "three"]
        assert [line.split(": ")[-1] for line in said["think"]] == [hidden.rstrip(), "two", "three"]
        assert elsewhere.shown("f", "build", "--tail", "2") == "two\nthree\n"
        # And what it needed is given up
        wait_until(lambda: not server.hkeys(handle.store.keys.feature("f").tails))

    # And the worker's own log has what was logged, as JSON, with the attempt
    def logged() -> list[dict[str, object]]:
        lines = (project.folder / "one.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    wait_until(lambda: any("succeeded" in str(line["message"]) for line in logged()))
    by_message = {str(line["message"]): line for line in logged()}
    for message in ("two", "three"):
        about = by_message[message]
        assert (about["feature"], about["task"], about["attempt"]) == ("f", "think", 1)
    assert "one, and" not in (project.folder / "one.log").read_text("utf-8")


def test_a_failed_python_task_shows_its_output_elsewhere(make_project: MakeProject, tmp_path: Path) -> None:
    # Given a specialist that says something and breaks
    project = make_project(specialists={"senior-engineer": {"python": "breaking:work"}})
    (project.folder / "breaking.py").write_text("def work(context):\n    print('so far')\n    return 1 / 0\n")
    project.start_worker("one", "-c", "1")
    feature = {"id": "f", "title": "F", "tasks": [{"id": "T1", "tags": ["bug"]}]}
    project.enqueue(Feature.model_validate(feature)).wait(60)
    # Then its output and the error are read here and on another machine
    here = project.orchestrator("logs", "f", "T1").stdout
    assert here.startswith("so far\nTraceback")
    assert here.endswith("ZeroDivisionError: division by zero\n")
    assert Elsewhere(tmp_path / "elsewhere", project).shown("f", "T1", "--follow") == here


def test_who_follows_waits_for_the_start(make_project: MakeProject, tmp_path: Path) -> None:
    # Given a task that no worker has begun, and somebody who follows it
    project = make_project()
    feature = {"id": "f", "title": "F", "tasks": [{"id": "T1", "run": ["echo", "hello"]}]}
    project.enqueue(Feature.model_validate(feature))
    following = Elsewhere(tmp_path / "elsewhere", project).logs("f", "T1", "--follow")
    # When a worker comes
    project.start_worker("one", "-c", "1")
    # Then all is seen
    assert following.communicate()[0] == "hello\n"
    assert following.returncode == 0
