"""The commands on a real Redis with a real worker, as a person would type them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from orchestrator.cli import live
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.schema.specialists import SHIPPED_SPECIALISTS
from orchestrator.local import processes
from orchestrator.state import embedded
from tests.redis_server import serve
from tests.typed import orchestrate
from tests.waiting import wait_until

pytestmark = pytest.mark.real

PATIENCE = 120.0
"""Seconds after which a test gives up on something that should happen at once. No verdict depends on it otherwise."""


@dataclass
class Project:
    """A folder in which commands are typed."""

    folder: Path
    alone: bool = False
    """Each command is a process of its own: it brings a Redis and workers, and takes them away when it ends."""

    def feature(self, name: str, *tasks: dict[str, Any], **fields: Any) -> str:
        """Write a feature file; returns its name."""
        file = f"{name}.yaml"
        content = {"id": name, "title": name.title(), "tasks": list(tasks), **fields}
        (self.folder / file).write_text(yaml.safe_dump(content), "utf-8")
        return file

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Type a command, and do not wait for it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKORCH")}
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.folder,
            **{
                "env": {**environment, "COLUMNS": "200"},
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                # A shell lets its background jobs ignore Ctrl-C, and their children inherit that.
                "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                **options,
            },
        )

    def type(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Type a command, and wait for it."""
        if not self.alone:
            return orchestrate(self.folder, *arguments)
        with ended(self.start(*arguments)) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def json(self, *arguments: str) -> Any:
        """The answer of a command with --json."""
        done = self.type(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process. It ends with the block or after PATIENCE, so a reader of its output ends too."""
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE / 3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a Redis of its own, and a worker that serves all queues."""
    folder = tmp_path_factory.mktemp("project")
    with serve(folder / "server") as url:
        (folder / FOLDER).mkdir()
        settings = {
            "redis": {"url": url},
            "trust": {"inline_commands": True},
            "recovery": {"sweep": "200ms"},
            "specialists": {"nobody": {"command": ["/bin/true"], "queue": "unserved"}},
        }
        (folder / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")
        queues = ",".join(SHIPPED_SPECIALISTS)
        command = ["-A", "orchestrator", "worker", "-n", "w@%h", "-Q", queues, "--loglevel", "info"]
        with processes.celery(configuration.load(folder), command, folder / "worker.log"):
            yield Project(folder)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Project]:
    """A project without a configured Redis, and nothing running."""
    (tmp_path / FOLDER).mkdir()
    yield Project(tmp_path, alone=True)
    server = embedded.Server(tmp_path / FOLDER)
    if server.running():  # its last user was killed, and could not shut it down
        with server:
            pass


def task(id: str, run: str | list[str] = "/bin/echo done", *depends_on: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "run": run, "depends_on": list(depends_on), **fields}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@contextlib.contextmanager
def on_terminal(
    project: Project, *command: str, columns: int
) -> Iterator[tuple[subprocess.Popen[str], list[bytes]]]:
    """A command on a terminal of its own, and the pieces of what it draws, whole when the `with` has ended."""
    ours, theirs = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the end of a terminal is an error to its reader
            while piece := os.read(ours, 65_536):
                written.append(piece)

    reader = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "30"}
    process = project.start(*command, stdout=theirs, env=environment)
    os.close(theirs)
    reader.start()
    with ended(process):
        yield process, written
    reader.join(PATIENCE)
    os.close(ours)


def until(stream: IO[str], text: str) -> str:
    """Read lines until one has the text; returns all of them."""
    read = ""
    for line in stream:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} did not come; instead: {read}")


NEEDS_A_FILE = "import os, sys; print('looking for', {0!r}); sys.exit(not os.path.exists({0!r}))"
WAITS_FOR_A_FILE = "import os, time\nwhile not os.path.exists({0!r}): time.sleep(0.05)"


# run


def test_run_tells_each_step_and_exits_0_when_all_is_done(project: Project) -> None:
    # Given
    file = project.feature("steps", task("T1", title="Create schema"), task("T2", "/bin/echo two", "T1"))
    # When
    done = project.type("run", file)
    # Then
    assert done.returncode == 0, done.stderr
    lines = [line.split("  ", 1)[-1] for line in done.stdout.splitlines()]
    assert "Batch 1 started: 1 task" in lines
    assert "T1 Create schema: started (Implementation Specialist, attempt 1)" in lines
    assert any(
        line.startswith("T1 Create schema: completed in ") and line.endswith(": done") for line in lines
    )
    assert lines.count("Batch 1: 1/1 tasks complete (100%)") == 1
    assert lines.count("Batch 2: 1/1 tasks complete (100%)") == 1
    assert lines[-1].startswith("Steps (steps) is completed: 2 tasks in ")


def test_run_exits_1_and_says_what_failed_what_waits_and_what_to_type(project: Project) -> None:
    # Given a task that fails twice, and one that waits for it
    file = project.feature(
        "fails",
        task("T1", python("print('oops'); raise SystemExit(3)"), retries={"max": 1, "backoff": "10ms"}),
        task("T2", "/bin/true", "T1"),
    )
    # When
    done = project.type("run", file)
    # Then
    assert done.returncode == 1
    assert "retry 1 of 1" in done.stdout
    assert "T1: failed (code-error) after 2 attempts: exit code 3" in done.stdout
    for line in ("  | oops", "  Waiting behind it: T2", "  Next: orchestrator retry fails T1"):
        assert line in done.stdout.splitlines()


def test_a_mended_task_is_retried_and_the_feature_goes_on_from_there(project: Project) -> None:
    # Given a feature that is stopped because a file is missing
    file = project.feature(
        "mend", task("T1"), task("T2", python(NEEDS_A_FILE.format("mended"))), task("T3", "/bin/true", "T2")
    )
    stopped = project.json("run", file)
    assert stopped["status"] == "blocked"
    assert [one["task"] for one in stopped["needs"]] == ["T2"]
    assert stopped["needs"][0]["waiting"] == ["T3"]
    # And what the tasks behind and before it say
    behind = project.json("explain", "mend", "T3")
    assert behind["answer"] == "T3 is in batch 2, which opens when batch 1 is complete."
    assert behind["needs"][0]["actions"][0]["command"] == "orchestrator retry mend T2"
    assert "T1 is completed" in project.type("explain", "mend", "T1").stdout
    # And the log is there
    assert project.type("logs", "mend", "T2").stdout == "looking for mended\n"
    # When it is mended
    (project.folder / "mended").touch()
    retried = project.type(*stopped["needs"][0]["actions"][0]["command"].split()[1:])
    assert retried.stdout == "T2 runs again.\n"
    watched = project.type("watch", "mend")
    # Then
    assert watched.returncode == 0
    assert "Mend (mend) is completed: 3 tasks" in watched.stdout
    assert project.json("explain", "mend", "T1")["details"][0].startswith("Attempt 1 ")
    # And every attempt has its log
    assert project.type("logs", "mend", "T2", "--attempt", "1").stdout == "looking for mended\n"
    refused = project.type("logs", "mend", "T2", "--attempt", "7")
    assert refused.returncode == 2
    assert "it has had 2 attempts" in refused.stderr


def test_a_blocked_task_is_unblocked(project: Project) -> None:
    # Given a task that is blocked until a file is there
    code = (
        "import json, os\n"
        "if not os.path.exists('key'):\n"
        "    with open(os.environ['ORCHESTRATOR_OUTCOME_FILE'], 'w') as file:\n"
        "        json.dump({'status': 'blocked', 'reason': 'no key'}, file)\n"
    )
    stopped = project.json("run", project.feature("blocks", task("T1", python(code))))
    assert (stopped["needs"][0]["need"], stopped["needs"][0]["reason"]) == ("blocked", "no key")
    # When
    (project.folder / "key").touch()
    project.type("unblock", "blocks", "T1", "--note", "key is there")
    # Then
    assert project.type("watch", "blocks").returncode == 0
    assert "note=key is there" in project.type("events", "blocks").stdout


def test_retry_without_a_task_takes_all_that_stopped(project: Project) -> None:
    # Given two tasks that failed, and one that did not
    tasks = (task("T1", python(NEEDS_A_FILE.format("all-mended"))), task("T2", "/bin/false"), task("T3"))
    assert project.type("run", project.feature("all", *tasks)).returncode == 1
    # When
    (project.folder / "all-mended").touch()
    assert project.type("retry", "all").stdout == "T1, T2 run again.\n"
    # Then both have run again
    assert project.type("watch", "all").returncode == 1
    states = {
        one["task"]: (one["status"], one.get("attempt", 1)) for one in project.json("status", "all")["tasks"]
    }
    assert states == {"T1": ("completed", 2), "T2": ("failed", 2), "T3": ("completed", 1)}
    # And where nothing has stopped, that is said
    project.type("skip", "all", "T2", "--because", "it cannot")
    project.type("run", project.feature("well", task("T1")))
    refused = project.type("retry", "well")
    assert (refused.returncode, refused.stderr.split(".")[0]) == (2, "Nothing of well has stopped")


def test_retry_of_a_task_that_did_not_fail_is_refused(project: Project) -> None:
    project.type("run", project.feature("fine", task("T1")))
    refused = project.type("retry", "fine", "T1")
    assert refused.returncode == 2
    assert "completed" in refused.stderr


def test_the_same_key_gives_the_same_feature(project: Project) -> None:
    file = project.feature("once", task("T1"))
    content = yaml.safe_load((project.folder / file).read_text("utf-8"))
    (project.folder / file).write_text(yaml.safe_dump({**content, "id": None}), "utf-8")
    first = project.type("enqueue", file, "--key", "k1")
    again = project.type("enqueue", file, "--key", "k1")
    assert first.stdout == again.stdout
    assert "\nNext: orchestrator watch once-" in first.stderr
    # And to run it again shows how it ended
    ran = [project.json("run", file, "--key", "k1") for _ in range(2)]
    assert [(one["feature"], one["status"]) for one in ran] == [(first.stdout.strip(), "completed")] * 2


def test_a_feature_that_nobody_launches_says_what_to_type(project: Project) -> None:
    file = project.feature("held", task("T1"), task("T2", "/bin/true", "T1"))
    done = orchestrate(project.folder, "run", file, TASKORCHESTRATOR_PARALLELISM__AUTO_LAUNCH="false")
    # Then
    assert done.returncode == 1
    assert "Next: orchestrator launch held" in done.stdout
    # And when it is launched it goes on
    assert project.type("launch", "held").stdout == "Batch 2 is launched.\n"
    assert project.type("watch", "held").returncode == 0


def test_a_queue_without_a_worker_is_told_at_once(project: Project) -> None:
    # Given a task for a specialist whose queue nobody serves
    file = project.feature("unserved", {"id": "T1", "specialist": "nobody"})
    # When
    with ended(project.start("run", file)) as process:
        assert process.stderr
        # Then
        until(process.stderr, "No worker takes from unserved: tasks sent there wait")
        # And explain knows it too
        assert "no worker takes from that queue" in project.json("explain", "unserved", "T1")["answer"]
        # And Ctrl-C leaves the feature as it is
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "orchestrator watch unserved" in stderr
    assert project.json("status", "unserved")["in_flight"] == 1
    # And it can be cancelled
    assert project.type("cancel", "unserved", "--note", "no need").stdout == "unserved is cancelled.\n"
    assert project.json("status", "unserved")["status"] == "cancelled"


# Live output


def test_what_runs_and_what_is_queued_can_be_explained(project: Project) -> None:
    # Given two tasks and one slot
    code = WAITS_FOR_A_FILE.format("go")
    file = project.feature("busy", task("T1", python(code)), task("T2"), max_parallel_tasks=1)
    with ended(project.start("run", file)) as process:
        assert process.stdout
        until(process.stdout, "T1: started")
        # When
        running, queued = project.json("explain", "busy", "T1"), project.json("explain", "busy", "T2")
        status = project.json("status", "busy")
        # Then
        assert running["answer"].startswith("T1 has been running for ")
        assert queued["answer"] == "T2 is ready and waits for a slot: 1 of 1 slot in use, 1 queued."
        assert queued["details"][0].startswith("Has a slot: T1: running")
        assert {one["task"]: one["status"] for one in status["tasks"]} == {
            "T1": "in-progress",
            "T2": "pending",
        }
        assert "busy" in project.type("status").stdout
        # And it ends when the task does
        (project.folder / "go").touch()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_events_come_as_lines_of_json(project: Project) -> None:
    project.type("run", project.feature("told", task("T1")))
    events = project.json("events", "told")["events"]
    assert events[0]["event"] == "feature_enqueued"
    assert [event["task"] for event in events if event["event"] == "implementation_complete"] == ["T1"]
    # And following them ends with the feature
    assert len(project.type("events", "told", "--follow", "--json").stdout.splitlines()) == len(events)


def test_a_graph_of_a_feature_shows_where_its_tasks_stand(project: Project) -> None:
    project.type("run", project.feature("drawn", task("T1"), task("T2", "/bin/true", "T1")))
    assert "class n1,n2 completed" in project.type("graph", "drawn").stdout


def test_on_a_terminal_there_is_a_live_view(project: Project) -> None:
    file = project.feature("seen", task("T1", title="Create [bold]schema"), task("T2", "/bin/true", "T1"))
    # When
    with on_terminal(project, "run", file, columns=100) as (process, written):
        process.communicate(timeout=PATIENCE)
    # Then
    text = b"".join(written).decode()
    assert process.returncode == 0
    for part in ("━", "Batch 1", "✓ completed", "T1 Create [bold]schema", "2/2 tasks (100%)"):
        assert part in text


def test_limits_are_shown_and_changed(project: Project) -> None:
    assert "There is no limit over all features" in project.type("limits").stdout

    assert project.type("limits", "set", "specialist:nobody", "2").stdout == "the concurrency of nobody: 2.\n"
    (changed,) = project.json("limits", "set", "rate:nobody", "30/m burst 5")["limits"]
    assert changed["amount"] == "30/m burst 5"
    shown = project.type("limits").stdout.splitlines()
    assert [line.split()[:2] for line in shown] == [
        ["LIMIT", "THERE"],
        ["rate:nobody", "30/m"],
        ["specialist:nobody", "2"],
    ]

    wrong = project.type("limits", "set", "gpu", "1")
    assert wrong.returncode == 2
    assert "No limit is called gpu." in wrong.stderr
    assert project.json("limits", "set", "specialist:nobody", "many")["code"] == "bad-limit"

    assert project.json("limits", "reset") == {}


def test_a_feature_is_found_by_the_beginning_of_its_id_and_given_up_with_a_note(project: Project) -> None:
    # Given two features whose ids begin alike
    project.type("enqueue", project.feature("prefix-one", task("T1", "/bin/false")))
    project.type("run", project.feature("prefix-two", task("T1")))
    # When one of them is named by enough of its id
    shown = project.type("status", "prefix-o")
    unclear = project.type("status", "prefix")
    # Then it is the one, and what is not clear or too short is refused
    assert "prefix-one" in shown.stdout
    assert unclear.returncode == 2
    assert "begins with prefix: prefix-one, prefix-two. Write more of it." in unclear.stderr
    assert "No feature has the id pre." in project.type("status", "pre").stderr
    assert project.type("fail", "prefix-o", "--note", "no need").returncode == 0
    assert project.json("status", "prefix-one")["status"] == "failed"


def test_what_a_task_took_is_the_estimate_of_the_next_run_and_the_plan_says_so(project: Project) -> None:
    file = project.feature("learn-1", task("T1"), title="Learn")
    assert "1 task has no estimate and was never completed before" in project.type("plan", file).stdout
    project.type("run", file)
    again = project.type("plan", file).stdout
    assert "1 task takes the median of its earlier runs" in again
    assert "Expected " in again


def test_an_unknown_feature_or_task_is_told(project: Project) -> None:
    project.type("run", project.feature("known", task("T1")))
    assert project.json("explain", "known", "T9")["code"] == "no-such-task"
    for command in (["watch"], ["status"], ["events"], ["cancel"], ["launch"], ["graph"]):
        refused = project.type(*command, "unknown")
        assert refused.returncode == 2
        assert "No feature has the id unknown" in refused.stderr


def test_the_doctor_finds_the_worker(project: Project) -> None:
    findings = {finding["finding"]: finding for finding in project.json("doctor")["findings"]}
    assert findings["redis"]["level"] == "ok"
    assert findings["workers"]["level"] == "ok"
    assert "unserved" in findings["queues"]["text"]


# The private Redis: run brings its own worker


def test_run_brings_a_worker_and_takes_it_away(private: Project) -> None:
    done = private.type("run", private.feature("alone", task("T1"), task("T2", "/bin/true", "T1")))
    assert done.returncode == 0, done.stderr
    assert "Alone (alone) is completed: 2 tasks" in done.stdout
    log = (private.folder / FOLDER / "logs" / "worker.log").read_text("utf-8")
    assert "Warm shutdown" in log


def test_ctrl_c_leaves_the_feature_and_watch_goes_on(private: Project) -> None:
    # Given a run that is interrupted while its first task runs
    file = private.feature("paused", task("T1", python(WAITS_FOR_A_FILE.format("go"))), task("T2"))
    with ended(private.start("run", file, "--cap", "1")) as process:
        assert process.stdout
        until(process.stdout, "T1: started")
        process.send_signal(signal.SIGINT)
        assert process.stderr
        told = until(process.stderr, "Ctrl-C again hands it back")
        (private.folder / "go").touch()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "orchestrator watch paused" in told
    # When
    watched = private.type("watch", "paused")
    # Then
    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert "Paused (paused) is completed: 2 tasks" in watched.stdout


def test_a_second_ctrl_c_hands_back_what_runs(private: Project) -> None:
    # Given a run that is interrupted twice while its task runs
    file = private.feature("hasty", task("T1", python(WAITS_FOR_A_FILE.format("go"))))
    with ended(private.start("run", file)) as process:
        assert process.stdout
        assert process.stderr
        until(process.stdout, "T1: started")
        process.send_signal(signal.SIGINT)
        until(process.stderr, "Ctrl-C again hands it back")
        log = private.folder / FOLDER / "logs" / "worker.log"
        wait_until(lambda: "Warm shutdown" in log.read_text("utf-8"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    # Then its task is nobody's, and no loss
    state = private.json("status", "hasty")["tasks"][0]
    assert (state["status"], state["attempt"]) == ("pending", 2)
    happened = private.type("events", "hasty").stdout
    assert "work_handed_back" in happened
    assert "worker_lost" not in happened


def test_a_worker_that_dies_is_told_and_nothing_hangs(private: Project) -> None:
    # Given a task that kills the worker: its main process, then the one that waits for the task and could still
    # report it as completed
    code = (
        "import psutil\n"
        "above = [one for one in psutil.Process().parents() if 'lifeline.py' in ' '.join(one.cmdline())]\n"
        "for process in reversed(above): process.kill()"
    )
    # When
    done = private.type("run", private.feature("killer", task("T1", python(code))))
    # Then
    assert done.returncode == 1
    assert "The worker that works on killer ended by itself (exit code -9)" in done.stderr
    assert "ready." in done.stderr


def test_up_runs_until_it_is_told_to_stop(private: Project) -> None:
    # Given
    with ended(private.start("up", "--no-flower", stderr=subprocess.STDOUT)) as process:
        assert process.stdout
        started = until(process.stdout, " ready.")
        assert "Redis: unix://" in started
        # When a feature is run beside it
        done = private.type("run", private.feature("beside", task("T1")))
        # Then its worker does the work
        assert done.returncode == 0
        assert not (private.folder / FOLDER / "logs" / "worker.log").exists()
        # And it ends in order
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Warm shutdown" in rest


def test_colours_that_are_forced_into_a_file_bring_no_cursor_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given an output that is no terminal, and colours that are asked for
    monkeypatch.setenv("FORCE_COLOR", "1")
    written: list[str] = []
    monkeypatch.setattr(live, "_draw", lambda *_: written.append("a view that is drawn again and again"))
    monkeypatch.setattr(live, "_write", lambda *_: written.append("lines"))
    # When a feature is watched
    nothing: Any = None
    live.watch(nothing, nothing, nothing, live=True)
    # Then lines are written
    assert written == ["lines"]
