"""Each real program as a specialist, by our own runner: what its model does decides the outcome."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.model.agent_history import EarlierAttempt
from orchestrator.model.outcome import Blocked, BlockKind, Completed, Failed, Outcome, RetryLater
from orchestrator.model.usage import UsageVerdict
from tests.agents.real.answers import Answer, Tokens
from tests.agents.real.cases import RUNS, SILENT, TOUCHES, WRITES, trouble
from tests.agents.real.lab import Lab, keeps
from tests.agents.real.needs import real_programs
from tests.agents.real.programs import CLAUDE, CODEX, GEMINI, PROGRAMS, Program
from tests.agents.real.stub import Stub
from tests.waiting import wait_until

pytestmark = [*real_programs]

MakeLab = Callable[..., Lab]

NOTHING = {"status": "completed", "summary": "", "reason": "", "kind": None, "handoff": "", "result": None}
OUTCOME = {**NOTHING, "summary": "The greeting is written.", "handoff": "It is in greet.py."}
GIVES_UP = {**NOTHING, "status": "blocked", "reason": "I may not run it.", "kind": "permission"}

TOLD_AT_THE_END = (CODEX, GEMINI)

TELLS = Answer(result=OUTCOME, usage=Tokens(50, 1_700, 0, 40, 10))


@pytest.fixture(params=list(PROGRAMS.values()), ids=lambda program: program.name)
def program(request: pytest.FixtureRequest) -> Program:
    found: Program = request.param
    return found


@pytest.fixture
def lab(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeLab]:
    """Makes a lab whose model has this script."""
    with ExitStack() as stack:

        def made(script: Sequence[Answer], **specialist: Any) -> Lab:
            return Lab(program, tmp_path, stack.enter_context(Stub(script)), monkeypatch, specialist)

        yield made


def test_its_outcome_and_its_usage(lab: MakeLab) -> None:
    """It gets the brief, works in the folder, and what it used is what its model said."""
    place = lab([WRITES, TELLS])
    found = place.perform()
    assert isinstance(found, Completed), found
    assert (found.summary, found.handoff) == (OUTCOME["summary"], OUTCOME["handoff"])
    assert "hello" in (place.project / "greet.py").read_text()
    assert place.stub.asked[0].says("Write greet.py.")
    assert not place.processes()
    (used,) = place.store.usages[-1]
    sent = [answer.usage for answer in (WRITES, TELLS)]
    assert used.cache_read == sum(each.cache_read for each in sent)
    assert used.input + used.cache_write == sum(each.input + each.cache_write for each in sent)
    assert used.output in (
        sum(each.output for each in sent),
        sum(each.output + each.reasoning for each in sent),
    )
    assert used.cost


def test_an_agent_that_gives_no_outcome_is_asked_for_it_in_its_own_conversation(
    lab: MakeLab, program: Program
) -> None:
    """claude, which has the outcome's schema, asks by itself."""
    place = lab([Answer(text="It all went well."), TELLS])
    found = place.perform()
    assert isinstance(found, Completed), found
    assert len(place.stub.asked) == 2
    assert place.stub.asked[1].says("It all went well.")
    assert program is CLAUDE or place.stub.asked[1].says("You ended without an outcome")


def test_a_refused_tool_goes_to_a_person(lab: MakeLab, program: Program) -> None:
    """codex says nothing of what its sandbox refused: there the agent's own word has to do."""
    place = lab([TOUCHES, Answer(result=GIVES_UP)])
    found = place.perform()
    assert isinstance(found, Blocked), found
    assert found.kind is BlockKind.PERMISSION
    rule = {"claude": "Bash(touch", "gemini": "run_shell_command", "opencode": "bash"}.get(program.name, "")
    assert rule in found.reason
    assert not Path("/var/tmp/agent-was-here").exists()


def test_a_limit_is_waited_for_and_closes_the_model(lab: MakeLab, program: Program) -> None:
    place = lab([trouble(429, "This request would exceed your rate limit.", retry_after="1")])
    found = place.perform()
    assert isinstance(found, RetryLater), found
    assert found.limit == program.model
    assert found.after > 0
    assert not place.processes()


def test_a_limit_with_an_hour_to_wait_does_not_hold_the_worker(lab: MakeLab) -> None:
    """claude and gemini give up at once. codex and opencode would wait for the hour, and are ended for silence."""
    place = lab([trouble(429, "This request would exceed your rate limit.", retry_after="3600")])
    place.idle = 8
    found = place.perform()
    assert isinstance(found, RetryLater), found
    assert found.limit == place.program.model


def test_a_key_that_is_no_good_goes_to_a_person(lab: MakeLab) -> None:
    found = lab([trouble(401, "invalid x-api-key")]).perform()
    assert isinstance(found, Blocked), found
    assert found.kind is BlockKind.EXTERNAL


def test_a_used_up_budget_ends_it(lab: MakeLab, program: Program) -> None:
    """At most one request more than the budget pays for."""
    if program in TOLD_AT_THE_END:
        pytest.skip("it tells its usage at the end alone")
    place = lab(
        [Answer(run="echo on and on", usage=Tokens(input=100_000, output=1_000))], budget={"cost": 0.5}
    )
    spent: list[float] = []

    def report(usages: Any) -> UsageVerdict:
        spent.append(sum(used.cost or 0 for used in usages))
        left = 0.5 - spent[-1]
        return UsageVerdict(is_over=left <= 0, which="task", cost_left=max(0.0, left))

    found = place.perform(report_usage=report, left=UsageVerdict(cost_left=0.5))
    assert isinstance(found, Blocked), found
    assert found.kind is BlockKind.BUDGET
    each = spent[-1] / len(place.stub.asked)
    assert 0.5 <= spent[-1] <= 0.5 + 2 * each


def test_its_time_ends_it(lab: MakeLab, program: Program) -> None:
    """Of a program that tells its usage at the end alone, the time is what can be limited while it works."""
    if program not in TOLD_AT_THE_END:
        pytest.skip("its usage is told while it works")
    place = lab([RUNS, SILENT], budget={"time": 8})
    found = place.perform()
    assert isinstance(found, Blocked), found
    assert found.kind is BlockKind.BUDGET
    assert place.stub.asked
    assert not place.processes()


def test_a_killed_agent_goes_on_with_its_conversation(lab: MakeLab) -> None:
    """Its processes are killed while its model thinks. The next attempt knows what it had done."""
    place = lab([WRITES, SILENT, TELLS])
    ended: list[Outcome] = []
    first = threading.Thread(target=lambda: ended.append(place.perform()))
    first.start()
    wait_until(lambda: len(place.stub.asked) == 2 or not first.is_alive())
    assert place.store.sessions, "its conversation is stored before its end"
    wait_until(lambda: keeps(place.home, "print('hello')"))
    for process in place.processes():
        os.kill(process.pid, signal.SIGKILL)
    first.join()
    assert isinstance(ended[0], Failed), ended
    earlier = (EarlierAttempt(attempt=1, status="failed", reason="killed"),)
    found = place.perform(2, session=place.store.sessions[-1], earlier=earlier)
    assert isinstance(found, Completed), found
    assert place.stub.asked[2].says("You were interrupted")
    assert place.stub.asked[2].says("print('hello')"), "the conversation has what it wrote"
