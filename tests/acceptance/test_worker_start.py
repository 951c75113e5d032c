"""How a worker starts, and that it ends with who brought it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestrator.client.client import Client
from orchestrator.client.listeners import is_running
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.settings import Settings
from orchestrator.state import embedded
from tests.acceptance.conftest import BIN, MakeProject, tools
from tests.waiting import wait_until

pytestmark = pytest.mark.real

PARENT = """
import sys, time
from pathlib import Path
from orchestrator.config import configuration
from orchestrator.local import processes
with processes.worker(configuration.load(), name="brought", log=Path("worker.log")):
    time.sleep(3600)
"""

HANDLERS = """
import os
from celery import signals

def begin(**_):
    open(f"process-{os.getpid()}", "w").close()

signals.worker_process_init.connect(begin, weak=False)
"""


def write(folder: Path, **sections: object) -> Settings:
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / FILE).write_text(yaml.safe_dump(sections), "utf-8")
    return configuration.load(folder)


def has_ended(pid: int) -> bool:
    """It is gone, or waits for a process 1 that collects nothing, as in some containers."""
    if not is_running(pid):
        return True
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip()[:1] in ("", "Z")


def pids(settings: Settings) -> list[int]:
    with Client(settings) as client:
        return [worker.pid for worker in client.store.workers.present()]


def test_a_worker_ends_when_who_brought_it_is_killed(make_project: MakeProject) -> None:
    # Given a worker that another process brought
    project = make_project()
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=project.folder, env=tools())
    try:
        wait_until(lambda: bool(pids(project.settings)))
        (worker,) = pids(project.settings)

        # When that process is killed, and can tell nobody
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()

        # Then the worker ends in order
        wait_until(lambda: has_ended(worker))
        assert pids(project.settings) == []
    finally:
        parent.kill()


def test_a_worker_with_another_configuration_than_the_folder_is_told(make_project: MakeProject) -> None:
    # Given a worker that was started before the configuration changed
    project = make_project()
    project.start_worker("one")
    wait_until(lambda: bool(pids(project.settings)))
    (pid,) = pids(project.settings)
    assert "another configuration" not in project.orchestrator("status").stderr
    file = project.folder / FOLDER / FILE
    changed = yaml.safe_load(file.read_text("utf-8"))
    changed["specialists"] = {"reviewer": {"command": ["true"]}}
    file.write_text(yaml.safe_dump(changed), "utf-8")

    # Then all who look say so, and what differs
    feature = project.write("one.yaml", {"title": "One", "tasks": [{"id": "T1", "run": "true"}]})
    said = [project.orchestrator("status").stderr, project.orchestrator("run", feature).stderr]
    findings = json.loads(project.orchestrator("doctor", "--json").stdout)["findings"]
    said += [finding["text"] for finding in findings if finding["finding"] == "worker settings"]
    assert len(said) == 3
    for text in said:
        assert f"(process {pid}) was started with another configuration" in text
        assert "what differs: specialists.reviewer" in text


def test_imports_are_loaded_before_the_first_process_begins(make_project: MakeProject) -> None:
    # Given a module with a handler of Celery's signal
    project = make_project(imports=["handlers"])
    (project.folder / "handlers.py").write_text(HANDLERS, "utf-8")

    # When a worker starts, then the handler runs in each of its processes, with no task sent
    project.start_worker("one", "-c", "2")
    wait_until(lambda: len(list(project.folder.glob("process-*"))) == 2)

    # And it has said before what the folder makes it import
    first = (project.folder / "one.log").read_text("utf-8").splitlines()[0]
    assert first.startswith("The configuration of this folder imports handlers")


def test_a_broken_module_stops_the_start(make_project: MakeProject) -> None:
    project = make_project(imports=["broken"])
    (project.folder / "broken.py").write_text("import no_such_module", "utf-8")

    worker = project.start_worker("one", "-c", "1")

    wait_until(lambda: worker.poll() is not None)
    assert worker.returncode == 1
    log = (project.folder / "one.log").read_text("utf-8")
    assert "The worker does not start. broken, which imports names, cannot be imported" in log
    assert "No module named 'no_such_module'" in log
    assert "Traceback" not in log


def test_a_file_of_the_project_hides_no_package_from_the_worker_of_a_run(tmp_path: Path) -> None:
    # Given a project with files that are called as packages are which a worker imports
    settings = write(tmp_path)
    for name in ("orchestrator", "celery", "redis"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('it is imported')", "utf-8")
    (tmp_path / "one.yaml").write_text("{title: One, tasks: [{id: T1, run: echo done}]}", "utf-8")

    # When it runs a feature, then it completes
    ran = subprocess.run(
        [BIN / "orchestrator", "run", "one.yaml"],
        cwd=tmp_path,
        env=tools(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert embedded.running(settings) is None
