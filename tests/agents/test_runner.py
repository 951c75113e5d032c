"""An agent's program works on a task: whatever it does, there is one outcome, and nothing of it is left."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator import agents
from orchestrator.agents import launch
from orchestrator.agents.job import Job
from orchestrator.agents.runner import work_on
from orchestrator.agents.workplace import Workplace
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.model import errors
from orchestrator.model.agent_history import AgentSession, EarlierAttempt
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.model.usage import Usage, UsageVerdict
from tests.agents.places import Place
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path)
    monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(place.script))
    monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "home"))
    return place


def perform(place: Place, script: Any, *, grace: float = 60.0, **given: Any) -> Outcome:
    """The outcome of an attempt in which the agent makes these moves, with short pauses between the checks."""
    place.writes(script)
    settings = place.settings
    agent = settings.agent("coder")
    assert agent
    job = Job(
        place.context(**given),
        settings,
        AgentRuntime.model_validate(settings.agent_runtimes["fake"]),
        agent,
        Workplace(place.project),
        grace=grace,
        poll=0.02,
        every=0.02,
    )
    return work_on(job)


def recorded(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# Outcomes


def test_what_it_says_of_its_work_is_the_outcome(place: Place) -> None:
    given = {"summary": "it works", "handoff": "call run()", "result": {"files": 1}}
    found = perform(place, [{"write": {"b.py": "1\n"}}, {"complete": given}])
    assert isinstance(found, Completed)
    assert (found.summary, found.handoff, found.result) == ("it works", "call run()", {"files": 1})
    assert (place.project / "b.py").read_text() == "1\n"


@pytest.mark.parametrize("move", ["outcome_file", "outcome_text"])
def test_the_outcome_may_stand_in_its_file_or_at_the_end_of_the_last_message(place: Place, move: str) -> None:
    found = perform(place, [{move: {"status": "completed", "summary": "by another way"}}])
    assert isinstance(found, Completed)
    assert found.summary == "by another way"


@pytest.mark.parametrize(
    ("moves", "kind", "text"),
    [
        ([{"ask": "which port?"}], BlockKind.INFORMATION, "which port?"),
        ([{"block": "too hard"}], BlockKind.TECHNICAL, "too hard"),
        (["logout"], BlockKind.EXTERNAL, "may not use its model"),
        (["over_budget"], BlockKind.BUDGET, "the budget is used up"),
        ([{"deny": ["Bash", "git push"]}, {"exit": 0}], BlockKind.PERMISSION, ""),
    ],
)
def test_what_blocks_it_is_told_by_its_kind(place: Place, moves: Any, kind: BlockKind, text: str) -> None:
    if kind is BlockKind.PERMISSION:
        moves = [moves[0], {"fail": "I may not push"}]
        text = "Bash(git *)"
    found = perform(place, moves)
    assert isinstance(found, Blocked)
    assert found.kind is kind
    assert text in found.reason


@pytest.mark.parametrize(
    ("moves", "cause", "text"),
    [
        ([{"fail": "two tests fail"}], FailureCause.REPORTED, "two tests fail"),
        ([{"say": "hm"}, {"exit": 3}], FailureCause.CODE, "exit code 3"),
        (["die"], FailureCause.CODE, "SIGKILL"),
        ([{"lie": "all done"}], FailureCause.REPORTED, "all done"),
    ],
)
def test_a_failure_says_why(place: Place, moves: Any, cause: FailureCause, text: str) -> None:
    found = perform(place, moves)
    assert isinstance(found, Failed)
    assert found.cause is cause
    assert text in found.reason


def test_a_limit_closes_the_model_until_its_reset(place: Place) -> None:
    place.specialist = {"model_tier": "weak"}
    found = perform(place, [{"rate_limit": 300}])
    assert isinstance(found, RetryLater)
    assert found.limit == "small"
    assert 200 < found.after <= 310


def test_an_outage_is_waited_for_and_closes_nothing(place: Place) -> None:
    found = perform(place, ["outage"])
    assert isinstance(found, RetryLater)
    assert not found.limit


def test_exit_0_alone_is_not_completed(place: Place) -> None:
    found = perform(place, {"T1": [{"exit": 0}]})
    assert isinstance(found, Failed)
    assert "without a result" in found.reason


def test_an_agent_that_gives_no_outcome_though_it_was_asked_has_failed(place: Place) -> None:
    found = perform(place, {"T1": [{"say": "hm"}], "T1+": [{"say": "still hm"}]})
    assert isinstance(found, Failed)
    assert found.cause is FailureCause.NO_OUTCOME
    assert "still hm" in found.reason


def test_an_agent_without_an_outcome_is_asked_for_it_once(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "told"
    found = perform(
        place,
        {"T1": [{"say": "done, I think"}], "T1+": [{"record": str(told)}, {"complete": "it is done"}]},
    )
    assert isinstance(found, Completed)
    assert found.summary == "it is done"
    assert "You ended without an outcome" in recorded(told)["brief"]
    assert recorded(told)["session"] == place.store.sessions[0].session


def test_one_that_cannot_go_on_is_not_asked(place: Place) -> None:
    place.runtime = {"resume": None}
    found = perform(place, {"T1": [{"say": "done, I think"}], "T1+": [{"complete": "never asked"}]})
    assert isinstance(found, Failed)
    assert found.cause is FailureCause.NO_OUTCOME
    assert "done, I think" in found.reason


def test_what_cannot_be_started_says_so(place: Place) -> None:
    place.runtime = {"command": ["no-such-agent"]}
    found = perform(place, [])
    assert isinstance(found, Failed)
    assert found.cause is FailureCause.DEPENDENCY
    assert "cannot start no-such-agent" in found.reason


# What it says, and how


def test_a_huge_line_and_half_a_line_are_read_around(place: Place) -> None:
    moves = [{"huge": 9_000_000}, {"say": "after it"}, {"complete": "x"}]
    found = perform(place, moves)
    assert isinstance(found, Completed)
    half = perform(place, [{"say": "before"}, {"half": '{"event": "end", "outc'}, {"exit": 1}])
    assert isinstance(half, Failed)
    assert place.context().log_file.read_bytes().endswith(b'{"event": "end", "outc')


def test_its_whole_output_is_in_the_log_and_secrets_are_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is masked in the log and in the outcome."""
    monkeypatch.setenv("FAKE_KEY", "sk-fake-0123456789")
    place.runtime = {"pass_env": ["FAKE_AGENT_*", "FAKE_KEY"]}
    place.specialist = {"env": {"TOKEN": "token-9876543210"}}
    said = "the key is sk-fake-0123456789, the token token-9876543210"
    given = {"summary": said, "handoff": said, "result": [said]}
    found = perform(place, [{"say": said}, {"stderr": said}, {"complete": given}])
    log = place.context().log_file.read_text()
    assert "the key is" in log
    for text in (log, found.model_dump_json()):
        assert "sk-fake-0123456789" not in text
        assert "token-9876543210" not in text


def test_a_note_of_progress_has_no_secret(place: Place) -> None:
    place.specialist = {"env": {"TOKEN": "token-9876543210"}}
    perform(place, [{"tool": ["Bash", "curl token-9876543210"]}, {"complete": "x"}])
    assert place.store.notes[-1] == "turn 1, Bash curl **"


def test_progress_is_the_last_tool_and_turn(place: Place) -> None:
    moves = [{"usage": {"input": 5, "cost": 0.25}}, {"tool": ["Edit", "src/api.py"]}, {"complete": "x"}]
    perform(place, moves)
    assert place.store.notes[-1] == "turn 1, Edit api.py, $0.25"


def test_it_gets_the_brief_by_stdin_and_no_key_but_its_own(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the worker's variables an agent gets few, and of its keys that of its own program alone."""
    monkeypatch.setenv("OTHER_API_KEY", "secret")
    monkeypatch.setenv("OWN", "mine")
    place.specialist = {"env": {"EXTRA": "more"}, "pass_env": ["OWN"]}
    place.agent = {"tools": {"allow": ["Edit", "Bash(pytest *)"], "deny": ["WebFetch"]}}
    told = tmp_path / "told"
    perform(place, [{"record": str(told)}, {"complete": "x"}])
    seen = recorded(told)
    assert "Make it work." in seen["brief"]
    assert not any("Make it work." in word for word in seen["arguments"])
    assert "--allow=Bash(pytest *)" in seen["arguments"]
    assert "--deny=WebFetch" in seen["arguments"]
    environment = seen["environment"]
    assert "OTHER_API_KEY" not in environment
    assert (environment["EXTRA"], environment["OWN"]) == ("more", "mine")
    assert environment["ORCHESTRATOR_TASK_ID"] == "T1"
    assert environment["ORCHESTRATOR_PROJECT"] == str(place.project)
    assert "FAKE_AGENT_SCRIPT" in environment
    left = [path.name for path in place.context().workdir.iterdir()]
    assert sorted(left) == ["task.json", "usage.json"]


def test_a_brief_in_a_file_is_removed(place: Place, tmp_path: Path) -> None:
    """The brief comes by stdin or in a file that is removed, and is no argument."""
    code = "import sys; print(open(sys.argv[1]).read())"
    place.runtime = {
        "command": [sys.executable, "-c", code, "{prompt_file}"],
        "resume": None,
        "prompt": "file",
        "events": "none",
    }
    found = perform(place, [])
    assert "Make it work." in place.context().log_file.read_text()
    assert not (place.context().workdir / launch.BRIEF_FILE).exists()
    assert found.status in ("failed", "completed")


def test_a_sandbox_goes_before_the_command(place: Place, tmp_path: Path) -> None:
    """The option that lifts all rules is given to a program only with `unsafe: true`, which needs a sandbox."""
    told = tmp_path / "told"
    place.agent = {"sandbox": ["env", "SANDBOX={folder}"], "unsafe": True}
    perform(place, [{"record": str(told)}, {"complete": "x"}])
    assert recorded(told)["environment"]["SANDBOX"] == str(place.project)
    assert "--unsafe" in recorded(told)["arguments"]
    place.agent = {"sandbox": ["env", "SANDBOX=1"]}
    perform(place, [{"record": str(told)}, {"complete": "x"}])
    assert "--unsafe" not in recorded(told)["arguments"]


# How it is ended


def test_a_silent_agent_is_ended(place: Place) -> None:
    place.agent = {"idle_timeout": 0.3}
    found = perform(place, [{"say": "thinking"}, "hang"])
    assert isinstance(found, Failed)
    assert found.cause is FailureCause.STALLED


def test_an_agent_that_speaks_is_not_silent(place: Place) -> None:
    place.agent = {"idle_timeout": 2}
    found = perform(
        place, [{"repeat": {"times": 25, "moves": [{"say": "…"}, {"sleep": 0.1}]}}, {"complete": "x"}]
    )
    assert isinstance(found, Completed)


def test_one_that_lingers_after_its_result_is_ended_and_its_result_counts(
    place: Place, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    place.agent = {"linger": 0.1}
    found = perform(place, [{"record": str(told)}, "linger", {"complete": "done"}])
    assert isinstance(found, Completed)
    assert not is_running(recorded(told)["pid"])


def test_the_timeout_ends_it(place: Place) -> None:
    place.specialist = {"timeout": 0.5}
    found = perform(place, ["hang"])
    assert isinstance(found, Failed)
    assert found.cause is FailureCause.TIMEOUT


def test_the_budget_of_time_counts_earlier_attempts(place: Place) -> None:
    place.specialist = {"budget": {"time": 60}}
    earlier = EarlierAttempt(attempt=1, status="failed", seconds=59.7)
    found = perform(place, ["hang"], attempt=2, earlier=(earlier,))
    assert isinstance(found, Blocked)
    assert found.kind is BlockKind.BUDGET
    assert "1m for the task" in found.reason or "60s for the task" in found.reason


def test_a_cancelled_attempt_is_ended(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "told"
    ended = _in_background(lambda: perform(place, [{"record": str(told)}, "hang"]))
    wait_until(told.exists)
    place.store.is_cancelled = True
    assert isinstance(ended(), Cancelled)
    assert not is_running(recorded(told)["pid"])


def test_one_that_ignores_sigterm_is_killed(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "told"
    place.store.is_cancelled = False
    ended = _in_background(
        lambda: perform(place, ["ignore_sigterm", {"record": str(told)}, "hang"], grace=0.2)
    )
    wait_until(told.exists)
    place.store.is_cancelled = True
    assert isinstance(ended(), Cancelled)
    assert not is_running(recorded(told)["pid"])


@pytest.mark.parametrize("end", [{"complete": "done"}, {"exit": 3}, "die"])
def test_a_child_that_holds_the_output_open_hinders_nothing(place: Place, tmp_path: Path, end: Any) -> None:
    child = tmp_path / "child"
    found = perform(place, [{"child": str(child)}, end], grace=0.2)
    assert isinstance(found, Completed) == (end == {"complete": "done"})
    assert not is_running(int(child.read_text()))


def test_an_interrupt_passes_through_and_leaves_nothing(place: Place, tmp_path: Path) -> None:
    """A worker that shuts down interrupts its attempts so."""

    class WorkerShutdown(BaseException):
        pass

    told = tmp_path / "told"

    def interrupt(percent: float | None = None, note: str = "") -> None:
        if told.exists():
            raise WorkerShutdown

    moves = [{"usage": {"input": 5}}, {"record": str(told)}, {"tool": ["Edit", "a"]}, "hang"]
    with pytest.raises(WorkerShutdown):
        perform(place, moves, grace=0.2, progress=interrupt)
    assert not is_running(recorded(told)["pid"])


# Usage


def test_usage_is_reported_while_it_works_and_at_the_end(place: Place, tmp_path: Path) -> None:
    go = tmp_path / "go"
    place.specialist = {"model_tier": "weak"}
    first = {"input": 100, "cached": 50, "output": 10, "cost": 0.5}
    ended = _in_background(
        lambda: perform(place, [{"usage": first}, {"wait_for": str(go)}, {"usage": first}, {"complete": "x"}])
    )
    wait_until(lambda: bool(place.store.usages) and place.store.usages[-1][0].requests == 1)
    go.touch()
    assert isinstance(ended(), Completed)
    (used,) = place.store.usages[-1]
    assert (used.model, used.tier, used.runtime) == ("small", "weak", "fake")
    assert (used.input, used.cache_read, used.output, used.requests) == (200, 100, 20, 2)
    assert (used.cost, used.source, used.partial) == (1.0, "reported", False)


def test_the_runs_of_an_attempt_are_added(place: Place) -> None:
    moves = {
        "T1": [{"usage": {"input": 100, "cost": 0.5}}],
        "T1+": [{"usage": {"input": 30, "cost": 0.25}}, {"complete": "x"}],
    }
    perform(place, moves)
    (used,) = place.store.usages[-1]
    assert (used.input, used.cost, used.requests) == (130, 0.75, 2)
    assert all(
        one[0].input <= two[0].input
        for one, two in zip(place.store.usages, place.store.usages[1:], strict=False)
    )


@pytest.mark.parametrize(
    ("which", "text"), [("task", "$2.00 for the task"), ("feature", "$20.00 for the feature")]
)
def test_a_budget_that_is_used_up_ends_it(place: Place, which: str, text: str) -> None:
    place.more = {"budgets": {"feature": {"cost": 20}}}
    place.specialist = {"budget": {"cost": 2}}
    limit = 20.0 if which == "feature" else None
    place.store.verdict = UsageVerdict(is_over=True, which=which, limit=limit, cost_left=0.0)
    found = perform(place, [{"usage": {"input": 5, "cost": 2.5}}, "hang"])
    assert isinstance(found, Blocked)
    assert (found.kind, found.budget) == (BlockKind.BUDGET, which)
    assert text in found.reason


@pytest.mark.parametrize(
    ("left", "budget"),
    [
        (UsageVerdict(cost_left=1.0), {"cost": 2}),
        (UsageVerdict(tokens_left=50), {"tokens": 90}),
        (UsageVerdict(turns_left=1), {"turns": 1}),
    ],
)
def test_what_was_left_at_the_start_holds_while_the_store_is_away(
    place: Place, left: UsageVerdict, budget: Any
) -> None:
    def away(usages: Any) -> UsageVerdict:
        raise errors.RedisUnreachable(url="redis://x", cause="gone")

    place.specialist = {"budget": budget}
    moves = [{"usage": {"input": 60, "cost": 1.5}}, {"usage": {"input": 60, "cost": 1.5}}, "hang"]
    found = perform(place, moves, left=left, report_usage=away)
    assert isinstance(found, Blocked)
    assert found.kind is BlockKind.BUDGET


def test_a_result_that_is_there_counts_though_the_budget_is_used_up(place: Place) -> None:
    place.store.verdict = UsageVerdict(is_over=True, which="task")
    found = perform(place, [{"usage": {"input": 5, "cost": 2.5}}, {"complete": "just in time"}])
    assert isinstance(found, Completed)


def test_a_model_without_a_price_is_refused_where_a_cost_is_limited(place: Place) -> None:
    place.runtime = {"usage": {"input": "/input"}, "final": {"when": {"/event": "end"}}}
    place.specialist = {"budget": {"cost": 2}, "model_tier": "weak"}
    found = perform(place, [{"complete": "x"}])
    assert isinstance(found, Blocked)
    assert "the price of small is not known" in found.reason
    place.more = {"budgets": {"unknown_cost": "allow"}}
    assert not isinstance(perform(place, [{"complete": "x"}]), Blocked)


# Conversations


def a_session(place: Place, **given: Any) -> AgentSession:
    facts = {
        "runtime": "fake",
        "model": "small",
        "session": "s-1",
        "host": socket.gethostname(),
        "folder": str(place.project),
        "attempt": 1,
        **given,
    }
    return AgentSession(**facts)


def the_home_knows(tmp_path: Path, place: Place, session: str = "s-1") -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / f"{session}.json").write_text(json.dumps({"folder": str(place.project)}))


def test_the_conversation_is_stored_before_the_first_request(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "told"

    def save(session: AgentSession) -> None:
        assert not told.exists()
        place.store.sessions.append(session)

    place.specialist = {"model_tier": "weak"}
    perform(place, [{"record": str(told)}, {"complete": "x"}], save_session=save)
    (session,) = place.store.sessions[:1]
    assert session.session == recorded(told)["session"]
    assert (session.runtime, session.model, session.attempt) == ("fake", "small", 1)
    assert (session.host, session.folder) == (socket.gethostname(), str(place.project))


def test_a_conversation_that_the_program_names_itself_is_stored_when_it_does(
    place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    command = [word for word in place.settings.agent_runtimes["fake"]["command"] if "session" not in word]
    place.runtime = {"chooses_session": False, "command": command}
    ended = _in_background(lambda: perform(place, [{"wait_for": str(go)}, {"complete": "x"}]))
    wait_until(lambda: len(place.store.sessions) == 1)
    assert place.store.sessions[0].session
    go.touch()
    assert isinstance(ended(), Completed)


def test_the_next_attempt_goes_on_with_the_conversation(place: Place, tmp_path: Path) -> None:
    the_home_knows(tmp_path, place)
    place.specialist = {"model_tier": "weak"}
    told = tmp_path / "told"
    script = {"T1": [{"fail": "begun anew"}], "T1+": [{"record": str(told)}, {"complete": "went on"}]}
    found = perform(place, script, attempt=2, session=a_session(place))
    assert isinstance(found, Completed)
    assert recorded(told)["session"] == "s-1"
    assert "Look at what is there already" in recorded(told)["brief"]


@pytest.mark.parametrize(
    "given", [{"model": "large"}, {"host": "elsewhere"}, {"runtime": "other"}, {"folder": "/elsewhere"}]
)
def test_a_conversation_of_another_model_host_or_folder_is_not_gone_on_with(
    place: Place, tmp_path: Path, given: Any
) -> None:
    the_home_knows(tmp_path, place)
    place.specialist = {"model_tier": "weak"}
    script = {"T1": [{"complete": "begun anew"}], "T1+": [{"fail": "went on"}]}
    found = perform(place, script, attempt=2, session=a_session(place, **given))
    assert isinstance(found, Completed)


def test_resume_may_be_turned_off(place: Place, tmp_path: Path) -> None:
    the_home_knows(tmp_path, place)
    place.specialist, place.agent = {"model_tier": "weak"}, {"resume": False}
    script = {"T1": [{"complete": "begun anew"}], "T1+": [{"fail": "went on"}]}
    assert isinstance(perform(place, script, attempt=2, session=a_session(place)), Completed)


def test_a_conversation_that_is_gone_begins_anew_in_the_same_attempt(place: Place, tmp_path: Path) -> None:
    place.specialist = {"model_tier": "weak"}
    told = tmp_path / "told"
    script = {"T1": [{"record": str(told)}, {"complete": "begun anew"}], "T1+": [{"fail": "went on"}]}
    earlier = EarlierAttempt(attempt=1, status="failed", reason="its worker was lost")
    found = perform(place, script, attempt=2, session=a_session(place), earlier=(earlier,))
    assert isinstance(found, Completed)
    assert "its worker was lost" in recorded(told)["brief"]
    assert "Make it work." in recorded(told)["brief"]
    assert place.store.sessions[-1].session == recorded(told)["session"] != "s-1"


def test_what_a_conversation_had_used_before_is_taken_off(place: Place, tmp_path: Path) -> None:
    """Some programs report the sum of the conversation."""
    the_home_knows(tmp_path, place)
    runtime = place.settings.agent_runtimes["fake"]
    place.runtime = {"turn": [], "usage": {**runtime["usage"], "scope": "session"}}
    place.specialist = {"model_tier": "weak"}
    before = Usage(model="small", input=100)
    moves = [{"usage": {"input": 130}}, {"complete": "x"}]
    perform(place, moves, attempt=2, session=a_session(place, baseline=before))
    assert place.store.usages[-1][0].input == 30
    baseline = place.store.sessions[-1].baseline
    assert baseline is not None
    assert baseline.input == 130


def _in_background(work: Callable[[], Outcome]) -> Callable[[], Outcome]:
    """Begin work in a thread; the function that is returned waits for its outcome."""
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()

    def wait() -> Outcome:
        thread.join(PATIENCE)
        return found[0]

    return wait


def test_a_runtime_that_is_not_there_is_a_failure(place: Place) -> None:
    settings = place.settings.model_copy(update={"agent_runtimes": {}})
    found = agents.perform(place.context(), settings)
    assert isinstance(found, Failed)
    assert found.cause is FailureCause.DEPENDENCY
