"""An agent works in a worktree of its task; its work is completed when it is gated and integrated."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator import agents
from orchestrator.agents import folder_lock, reviewing, workplace
from orchestrator.config.schema.quality_gates import Gate
from orchestrator.model.agent_history import AgentSession, EarlierAttempt
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    GateResult,
    Outcome,
    RetryLater,
)
from orchestrator.model.task import Task
from orchestrator.specialists import gates
from tests.agents.places import Place, git
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path, agent={"workspace": "worktree", "ladder": ["weak", "strong"]})
    monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(place.script))
    monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "home"))
    return place


def perform(place: Place, script: Any, task: str = "T1", attempt: int = 1, **given: Any) -> Outcome:
    place.writes(script)
    return agents.perform(place.context(task, attempt, **given), place.settings)


def through(place: Place, script: Any, task: str = "T1", attempt: int = 1, **given: Any) -> Outcome:
    """The outcome after the work, and after it is settled."""
    outcome = perform(place, script, task, attempt, **given)
    return agents.settle(place.context(task, attempt, **given), place.settings, outcome)


def worktree(place: Place, task: str = "T1") -> Path:
    return workplace.worktree_folder("auth", task, place.settings)


def recorded(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def integration(place: Place, file: str) -> str:
    return git(place.project, "show", f"to/auth/integration:{file}")


def test_completed_work_is_committed_and_integrated(place: Place) -> None:
    found = through(place, [{"write": {"b.py": "1\n"}}, {"complete": "b is there"}])
    assert isinstance(found, Completed)
    assert integration(place, "b.py") == "1"
    assert not (place.project / "b.py").exists()
    message = git(place.project, "log", "-1", "--format=%B", "to/auth/t/T1")
    for line in ("Feature: auth", "Task: T1", "Attempt: 1", "Tier: weak", "Model: small"):
        assert line in message.splitlines()
    assert git(place.project, "status", "--porcelain") == ""


def test_work_that_is_not_completed_is_kept_and_not_integrated(place: Place) -> None:
    found = through(place, [{"write": {"b.py": "1\n"}}, {"fail": "half of it"}])
    assert isinstance(found, Failed)
    assert git(place.project, "show", "to/auth/t/T1:b.py") == "1"
    assert git(place.project, "branch", "--list", "to/auth/integration")
    with pytest.raises(subprocess.CalledProcessError):
        integration(place, "b.py")


def test_the_next_attempt_goes_on_in_the_same_worktree(place: Place) -> None:
    perform(place, [{"write": {"b.py": "1\n"}}, {"fail": "half of it"}])
    found = through(
        place, [{"expect_file": {"b.py": "1"}}, {"append": {"b.py": "2\n"}}, {"complete": "x"}], attempt=2
    )
    assert isinstance(found, Completed)
    assert integration(place, "b.py") == "1\n2"


def test_a_task_has_the_work_of_those_before_it(place: Place) -> None:
    through(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}], "T1")
    found = through(place, [{"expect_file": {"b.py": "1"}}, {"complete": "y"}], "T2")
    assert isinstance(found, Completed)


def test_work_that_nobody_wants_any_more_is_not_integrated(place: Place) -> None:
    perform(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}])
    place.store.is_cancelled = True
    assert isinstance(agents.settle(place.context(), place.settings, Completed(summary="x")), Cancelled)
    assert git(place.project, "show", "to/auth/t/T1:b.py") == "1"
    assert "b.py" not in git(place.project, "ls-tree", "--name-only", "to/auth/integration").split()


def test_a_change_in_a_protected_file_goes_to_a_person(place: Place) -> None:
    """A change in a file that `agent.protect` names goes to a person, so no agent edits its judge."""
    place.agent["protect"] = ["tests/acceptance/**"]
    found = through(
        place, [{"write": {"tests/acceptance/test_a.py": "pass\n", "b.py": ""}}, {"complete": "x"}]
    )
    assert isinstance(found, Blocked)
    assert found.kind is BlockKind.PERMISSION
    assert "tests/acceptance/test_a.py" in found.reason
    assert "b.py" not in found.reason


def conflicting(place: Place) -> Outcome:
    """T1 and T2 change the same line, T1 first; the outcome of T2."""
    first = {"T1": [{"write": {"app.py": "one\nT1\nthree\n"}}, {"complete": "x"}]}
    second = {"T2": [{"write": {"app.py": "one\nT2\nthree\n"}}, {"complete": "y"}]}
    perform(place, second, "T2")
    assert isinstance(through(place, first, "T1"), Completed)
    return agents.settle(place.context("T2"), place.settings, Completed(summary="y"))


def ended(outcome: Any, attempt: int = 1, tier: str = "weak") -> EarlierAttempt:
    return EarlierAttempt(attempt=attempt, tier=tier, status=outcome.status, reason=outcome.reason)


def test_the_owner_resolves_a_conflict(place: Place, tmp_path: Path) -> None:
    conflict = conflicting(place)
    assert isinstance(conflict, RetryLater)
    assert "app.py" in conflict.reason
    told = tmp_path / "told"
    script = {
        "T2": [
            {"record": str(told)},
            {"expect_file": {"app.py": "<<<<<<<"}},
            {"write": {"app.py": "one\nT1 and T2\nthree\n"}},
            {"complete": "both are there"},
        ]
    }
    session = place.store.sessions[0]
    found = through(place, script, "T2", 2, earlier=(ended(conflict),), session=session)
    assert isinstance(found, Completed)
    assert integration(place, "app.py") == "one\nT1 and T2\nthree"
    assert "app.py" in recorded(told)["brief"]
    assert recorded(told)["is_resumed"]


def test_a_conflict_that_stays_goes_to_the_next_tier_and_then_to_a_person(place: Place) -> None:
    first = conflicting(place)
    unresolved = {"T2": [{"complete": "I did nothing"}]}
    second = through(place, unresolved, "T2", 2, earlier=(ended(first),))
    assert isinstance(second, Blocked)
    assert second.kind is BlockKind.TECHNICAL
    earlier: tuple[EarlierAttempt, ...] = (ended(first), ended(second, 2))
    third = through(place, unresolved, "T2", 3, rung=1, earlier=earlier)
    assert isinstance(third, RetryLater)
    earlier = (*earlier, ended(third, 3, "strong"))
    last = through(place, unresolved, "T2", 4, rung=1, earlier=earlier)
    assert isinstance(last, Blocked)
    assert last.kind is BlockKind.CONFLICT
    assert "app.py" in last.reason


def test_a_project_that_is_no_repository_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / ".taskorchestrator").mkdir(parents=True, mode=0o700)
    place = Place(tmp_path, agent={"workspace": "worktree"})
    found = perform(place, [])
    assert isinstance(found, Failed)
    assert "not in a git repository" in found.reason


@pytest.mark.parametrize("workspace", ["folder", "none"])
def test_a_place_without_git_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: str
) -> None:
    (tmp_path / "project" / ".taskorchestrator").mkdir(parents=True, mode=0o700)
    place = Place(tmp_path, agent={"workspace": workspace})
    monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(place.script))
    monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/nowhere")
    found = through(place, [{"write": {"b.py": "1"}}, {"complete": "x"}])
    assert isinstance(found, Completed)
    expected = place.project if workspace == "none" else workplace.own_folder(place.context())
    assert (expected / "b.py").exists()


# Gates


def test_gates_run_where_the_agent_worked(place: Place) -> None:
    perform(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}])
    code = "import pathlib, sys; sys.exit(not pathlib.Path('b.py').exists())"
    gate = Gate(name="there", command=(sys.executable, "-c", code))
    (result,) = checked(place, gate)
    assert result.passed


def checked(place: Place, *gates: Gate) -> list[GateResult]:
    outcome = Completed(summary="b is there")
    return agents.check_gates(gates, "testing", place.context(), place.settings, outcome)


def test_gates_of_the_feature_run_on_the_integrated_work(place: Place) -> None:
    through(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}], "T1")
    through(place, [{"write": {"c.py": "1\n"}}, {"complete": "x"}], "T2")
    code = "import pathlib, sys; sys.exit(not all(pathlib.Path(f).exists() for f in ('b.py', 'c.py')))"
    assert checked_whole(place, code).passed
    assert git(place.project, "worktree", "list").count("\n") == 2
    assert not list(place.project.glob(".taskorchestrator/worktrees/**/~integration"))


def checked_whole(place: Place, code: str, feature: str = "auth") -> GateResult:
    """The result of a gate of the whole feature."""
    gate = Gate(name="whole", command=(sys.executable, "-c", code))
    context = place.context("T1")
    task = Task.model_construct(id="@testing", title="The feature's gates")
    named = context.feature.model_copy(update={"id": feature})
    context = dataclasses.replace(context, task=task, feature=named)
    (result,) = agents.check_gates((gate,), "testing", context, place.settings, Completed())
    return result


def test_gates_of_two_features_do_not_wait_for_each_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.0)
    base = git(place.project, "rev-parse", "main")
    for feature in ("auth", "other"):
        git(place.project, "branch", f"to/{feature}/integration", base)
    ran = place.folder / "ran"

    def check_other() -> None:
        assert checked_whole(place, f"open({str(ran)!r}, 'w')", "other").passed

    monkeypatch.setattr(gates, "check", functools.partial(_between, gates.check, check_other))
    assert checked_whole(place, "").passed
    assert ran.exists()


def _between(check: Callable[..., Any], before: Callable[[], None], *given: Any, **named: Any) -> Any:
    """Run gates once others have run, which run in the same way without them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "check", check)
        before()
    return check(*given, **named)


def test_gates_of_the_feature_run_whatever_was_left_of_the_ones_before(place: Place) -> None:
    through(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}])
    assert checked_whole(place, "import os; os.remove('.git'); os.remove('app.py')").passed
    (left,) = place.project.glob(".taskorchestrator/worktrees/**/~integration")
    code = "import pathlib, sys; sys.exit(not all(pathlib.Path(f).exists() for f in ('b.py', 'app.py')))"
    assert checked_whole(place, code).passed
    assert not left.exists()


def test_gates_of_what_no_agent_did_run_in_the_project(place: Place) -> None:
    code = "import pathlib, sys; sys.exit(not pathlib.Path('app.py').exists())"
    gate = Gate(name="there", command=(sys.executable, "-c", code))
    context = place.context(specialist="senior-engineer")
    (result,) = agents.check_gates((gate,), "testing", context, place.settings, Completed())
    assert result.passed
    assert agents.settle(context, place.settings, Completed(summary="x")) == Completed(summary="x")
    assert git(place.project, "branch", "--list", "to/*") == ""


def test_a_task_with_a_command_of_its_own_has_no_worktree(place: Place) -> None:
    context = place.context()
    context = dataclasses.replace(context, task=context.task.model_copy(update={"run": ("true",)}))
    gate = Gate(name="there", command=("test", "-f", "app.py"))
    (result,) = agents.check_gates((gate,), "testing", context, place.settings, Completed())
    assert result.passed
    agents.settle(context, place.settings, Completed())
    assert git(place.project, "branch", "--list", "to/*") == ""


def test_gates_whose_folder_is_in_use_do_not_pass(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    with folder_lock.hold(workplace.lock_of(worktree(place)), 1):
        (result,) = checked(place, Gate(name="there", command=("true",)))
    assert not result.passed
    assert "another attempt" in result.reason


def with_reviewer(place: Place, **agent: Any) -> None:
    reviewer = {"agent": {"runtime": "fake", "ladder": ["strong"], **agent}}
    place.more["specialists"] = {"reviewer": reviewer}


@pytest.mark.parametrize("workspace", ["worktree", "folder"])
def test_another_tier_reviews_the_changes(place: Place, tmp_path: Path, workspace: str) -> None:
    with_reviewer(place, workspace=workspace)
    perform(place, [{"usage": {"input": 100}}, {"write": {"b.py": "forty-two\n"}}, {"complete": "x"}])
    told = tmp_path / "told"
    place.writes({"T1/large": [{"usage": {"input": 7}}, {"record": str(told)}, {"complete": "fine"}]})
    (result,) = checked(place, Gate(specialist="reviewer"))
    assert result.passed
    brief = recorded(told)["brief"]
    for text in ("+forty-two", "b is there", "Make it work."):
        assert text in brief
    assert {used.model: used.input for used in place.store.usages[-1]} == {"small": 100, "large": 7}
    assert (recorded(told)["folder"] == str(worktree(place))) == (workspace == "worktree")


def test_a_review_by_the_same_model_adds_to_what_the_attempt_has_used(place: Place) -> None:
    with_reviewer(place, ladder=["weak"])
    perform(place, [{"usage": {"input": 100}}, {"complete": "x"}])
    place.writes([{"usage": {"input": 7}}, {"complete": "fine"}])
    checked(place, Gate(specialist="reviewer"))
    (used,) = place.store.usages[-1]
    assert used.input == 107


@pytest.mark.parametrize(
    "move", [{"fail": "no test fails without it"}, {"block": "no test fails without it"}]
)
def test_a_review_that_finds_something_does_not_pass(place: Place, move: Any) -> None:
    with_reviewer(place)
    perform(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}])
    place.writes([move])
    (result,) = checked(place, Gate(specialist="reviewer"))
    assert (result.passed, result.reason) == (False, "no test fails without it")


def test_a_reviewer_whose_model_is_limited_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_reviewer(place)
    perform(place, [{"complete": "x"}])
    answers: list[Outcome] = [RetryLater(after=0.01), RetryLater(after=0.01), Completed(summary="fine")]
    monkeypatch.setattr(reviewing, "run", lambda *given, **more: answers.pop(0))
    (result,) = checked(place, Gate(specialist="reviewer"))
    assert result.passed
    assert not answers


def test_a_reviewer_is_not_waited_for_longer_than_its_gate(place: Place) -> None:
    with_reviewer(place)
    perform(place, [{"complete": "x"}])
    place.writes([{"rate_limit": 300}])
    (result,) = checked(place, Gate(specialist="reviewer", timeout=60))
    assert not result.passed
    assert "limit of large" in result.reason


def test_the_brief_says_how_work_is_judged(place: Place, tmp_path: Path) -> None:
    with_reviewer(place)
    gates = [{"specialist": "reviewer"}, {"hook": "validate_summary", "summary": {"longest": 90}}]
    place.more["quality_gates"] = {"enabled": True, "task_gates": {"completion": gates}}
    told = tmp_path / "told"
    perform(place, [{"record": str(told)}, {"complete": "x"}])
    assert "reviewer reviews your changes" in recorded(told)["brief"]
    assert "your summary has 1 to 90 characters" in recorded(told)["brief"]


def test_a_reviewer_that_changes_the_branch_does_not_pass(place: Place) -> None:
    with_reviewer(place)
    perform(place, [{"write": {"b.py": "1\n"}}, {"complete": "x"}])
    before = git(place.project, "rev-parse", "to/auth/t/T1")
    place.writes([{"write": {"c.py": "1\n"}}, {"commit": "mine"}, {"complete": "fine"}])
    (result,) = checked(place, Gate(specialist="reviewer"))
    assert not result.passed
    assert "changed the branch" in result.reason
    assert git(place.project, "rev-parse", "to/auth/t/T1") == before


# Processes

WORKER = """
import json, sys
from pathlib import Path
from orchestrator import agents
from tests.agents.places import Place
place = Place(Path(sys.argv[1]), agent=json.loads(sys.argv[2]))
class Store(list):
    def __call__(self, usages):
        from orchestrator.model.usage import NO_BUDGET
        with open(sys.argv[4], "a") as file:
            file.write(json.dumps([used.input for used in usages]) + "\\n")
        return NO_BUDGET
def save(session):
    Path(sys.argv[4]).with_name("session.json").write_text(session.model_dump_json())
context = place.context("T1", int(sys.argv[3]), report_usage=Store(), save_session=save)
print(agents.perform(context, place.settings).model_dump_json())
"""


def a_worker(place: Place, tmp_path: Path, attempt: int = 1) -> subprocess.Popen[str]:
    """A process that performs an attempt."""
    arguments = [str(tmp_path), json.dumps(place.agent), str(attempt), str(tmp_path / "usage")]
    command = [sys.executable, "-c", WORKER, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_a_killed_worker_leaves_no_agent_and_the_next_attempt_goes_on(place: Place, tmp_path: Path) -> None:
    """When its worker is killed, no process of an agent is left, and the next attempt begins only then."""
    told, child = tmp_path / "told", tmp_path / "child"
    moves = ["ignore_sigterm", {"usage": {"input": 60}}, {"write": {"b.py": "1\n"}}, {"child": str(child)}]
    place.writes(
        {
            "T1": [*moves, {"record": str(told)}, "hang"],
            "T1#2+": [{"expect_file": {"b.py": "1"}}, {"complete": "went on"}],
        }
    )
    worker = a_worker(place, tmp_path)
    wait_until(told.exists)
    usage = tmp_path / "usage"
    wait_until(lambda: usage.exists() and "60" in usage.read_text())
    worker.kill()
    worker.wait()
    # The next attempt begins at once: it waits until nothing of the first is left.
    session = AgentSession.model_validate_json((tmp_path / "session.json").read_text())
    found = agents.perform(place.context("T1", 2, session=session), place.settings)
    assert isinstance(found, Completed)
    assert found.summary == "went on"
    assert not is_running(recorded(told)["pid"])
    assert not is_running(int(child.read_text()))
    assert json.loads((tmp_path / "usage").read_text().splitlines()[-1]) == [60]


def test_a_later_attempt_ends_the_agent_of_an_earlier_one(place: Place, tmp_path: Path) -> None:
    """Its worker was taken for lost, and lives."""
    told = tmp_path / "told"
    place.writes({"T1#1": [{"record": str(told)}, "hang"], "T1#2": [{"complete": "the second"}]})
    first = a_worker(place, tmp_path)
    wait_until(told.exists)
    found = agents.perform(place.context("T1", 2), place.settings)
    assert isinstance(found, Completed)
    assert not is_running(recorded(told)["pid"])
    assert first.wait(PATIENCE) == 0
    assert json.loads(first.communicate()[0])["status"] == "failed"


def test_an_agent_that_nobody_answers_for_any_more_is_ended_first(place: Place, tmp_path: Path) -> None:
    """Its worker was killed, and the guard with it."""
    told = tmp_path / "told"
    place.writes({"T1#1": [{"record": str(told)}, "hang"], "T1#2": [{"complete": "the second"}]})
    worker = a_worker(place, tmp_path)
    wait_until(told.exists)
    agent = recorded(told)["pid"]
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    others = [process for process in family if process.pid != agent]
    for process in others:  # else the guard could end the agent before it is killed itself
        process.suspend()
    for process in others:
        process.kill()
    worker.wait()
    assert is_running(agent)
    found = agents.perform(place.context("T1", 2), place.settings)
    assert isinstance(found, Completed)
    assert not is_running(agent)


def test_an_earlier_attempt_does_not_end_a_later_one(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        with folder_lock.hold(path, 2) as held:
            held.note(sleeper.pid)
            with pytest.raises(folder_lock.FolderBusy), folder_lock.hold(path, 1, patience=0.2, grace=0):
                pass
            assert sleeper.poll() is None
    finally:
        os.killpg(sleeper.pid, signal.SIGKILL)
        sleeper.wait()
    with folder_lock.hold(path, 1):
        pass


def test_two_attempts_never_work_in_one_worktree(place: Place, tmp_path: Path) -> None:
    """Each agent takes a lock of its own while it works: it fails if another has it."""
    code = (
        "import fcntl, sys, time; lock = open('guard.lock', 'w')\n"
        "try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except OSError: open(sys.argv[1], 'w').close()\n"
        "time.sleep(0.05)"
    )
    met = tmp_path / "met"
    place.writes([{"run": [sys.executable, "-S", "-c", code, str(met)]}, {"complete": "x"}])
    found: list[Outcome] = []
    work: Callable[[int], None] = lambda attempt: found.append(  # noqa: E731
        agents.perform(place.context("T1", attempt), place.settings)
    )
    threads = [threading.Thread(target=work, args=(attempt,)) for attempt in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 3
    assert any(isinstance(each, Completed) for each in found)
    assert not met.exists()


def test_a_cancelled_attempt_does_not_wait_for_the_folder(place: Place) -> None:
    lock = workplace.lock_of(worktree(place))
    lock.parent.mkdir(parents=True)
    with lock.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        place.store.is_cancelled = True
        assert perform(place, []).status == "cancelled"


GREEN = """
import sys
if sys.argv[1] == "gevent":
    from gevent import monkey, spawn
    monkey.patch_all()
else:
    import eventlet
    eventlet.monkey_patch()
    from eventlet import spawn
from pathlib import Path
from orchestrator import agents
from tests.agents.places import Place
place = Place(Path(sys.argv[2]), agent={"workspace": "worktree"})
work = lambda task: agents.perform(place.context(task), place.settings).status
running = [spawn(work, task) for task in ("T1", "T2")]
print(*(each.get() if sys.argv[1] == "gevent" else each.wait() for each in running))
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_agents_of_two_greenlets_work_at_the_same_time(place: Place, tmp_path: Path, library: str) -> None:
    """Each waits for the other."""
    pytest.importorskip(library)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    place.writes(
        {
            "T1": [{"record": one}, {"wait_for": two}, {"complete": "x"}],
            "T2": [{"record": two}, {"wait_for": one}, {"complete": "y"}],
        }
    )
    command = [sys.executable, "-W", "ignore", "-c", GREEN, library, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout.split() == ["completed", "completed"], done.stderr


@pytest.mark.parametrize("note", ["-1", "0", "1e400", str(10**30), "null", '"x"'])
def test_a_note_in_a_lock_that_names_no_process_holds_nobody_up(tmp_path: Path, note: str) -> None:
    path = tmp_path / "T1~lock"
    path.write_text(f'{{"pid": {note}, "since": 1.0, "attempt": 1}}')
    with folder_lock.hold(path, 2) as held:
        assert held.attempt == 2
        with pytest.raises(folder_lock.FolderBusy, match="T1~lock"), folder_lock.hold(path, 2, patience=0):
            pass
