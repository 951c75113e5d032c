"""What a run amounts to: the table of signs, and the laws that no sign breaks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.classification import Run, Stopped, classify, without_outcome
from orchestrator.agents.outcome import Answer
from orchestrator.agents.runtimes import find
from orchestrator.agents.seen import Denial, Seen
from orchestrator.config.schema.agents import SHIPPED_RUNTIMES
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    RetryLater,
)

NOW = 1_767_225_600.0


def run(program: str = "claude", **facts: Any) -> Run:
    """The facts of a run of a program that ships."""
    return Run(
        find(program, Settings()),
        program,
        **{"specialist": "coder", "model": "sonnet", "now": NOW, "chance": 0.999, **facts},
    )


def ended(error: str = "", **given: Any) -> Seen:
    """A run that said that it failed."""
    return Seen(is_final=True, is_error=True, errors=[error] if error else [], **given)


DONE = Answer(status="completed", summary="done")


# Limits and outages


@pytest.mark.parametrize("status", [429, 529])
def test_a_reached_limit_closes_the_model_and_uses_no_retry(status: int) -> None:
    outcome = classify(ended(status=status), 1, None, run())

    assert isinstance(outcome, RetryLater)
    assert outcome.limit == "sonnet"


def test_a_limit_is_waited_for_until_its_reset() -> None:
    outcome = classify(ended("usage limit reached|1767229200"), 1, None, run())

    assert isinstance(outcome, RetryLater)
    assert outcome.after == 3_601
    assert (
        outcome.reason == "the limit of sonnet is reached; it is reset in 1h: usage limit reached|1767229200"
    )


def test_a_reset_in_an_event_goes_before_that_of_a_text() -> None:
    outcome = classify(ended("retry-after: 5", status=429, resets=NOW + 60), 1, None, run())

    assert isinstance(outcome, RetryLater)
    assert outcome.after == 61


@pytest.mark.parametrize("said", ["", "usage limit reached|1000000000", "resets at half past nine"])
def test_where_no_reset_is_said_each_wait_is_longer(said: str) -> None:
    waits = [classify(ended(said, status=429), 1, None, run(waits=waits)) for waits in range(4)]

    after = [outcome.after for outcome in waits if isinstance(outcome, RetryLater)]
    assert len(after) == 4
    assert after == sorted(set(after))


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("claude", "API Error: Unable to connect to API (ConnectionRefused)"),
        ("claude", "API Error: 503 The service is unavailable"),
        ("codex", "unexpected status 502 Bad Gateway"),
        ("gemini", "fetch failed"),
        ("opencode", "Unable to connect. Is the computer able to access the url?"),
    ],
)
def test_an_outage_closes_no_limit(program: str, error: str) -> None:
    outcome = classify(ended(error), 1, None, run(program))

    assert isinstance(outcome, RetryLater)
    assert outcome.limit == ""
    assert error in outcome.reason


# What a person has to do


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_model_that_may_not_be_used_is_for_a_person(status: int) -> None:
    outcome = classify(ended(status=status), 1, None, run())

    assert isinstance(outcome, Blocked)
    assert outcome.kind is BlockKind.EXTERNAL
    assert "correct the model sonnet" in outcome.reason


def test_an_exit_code_may_say_what_happened() -> None:
    outcome = classify(Seen(), 41, None, run("gemini"))

    assert isinstance(outcome, Blocked)
    assert outcome.kind is BlockKind.EXTERNAL


def test_a_used_up_budget_waits_for_a_person() -> None:
    outcome = classify(Seen(), -15, Stopped.OVER_BUDGET, run(budget="$2.00 for the task"))

    assert isinstance(outcome, Blocked)
    assert outcome.kind is BlockKind.BUDGET
    assert "($2.00 for the task)" in outcome.reason


def test_refused_tools_are_named_as_the_rules_that_would_allow_them() -> None:
    seen = Seen(
        is_final=True, denials=[Denial("Bash", "pytest -x"), Denial("Bash", "cd a && ls"), Denial("WebFetch")]
    )

    outcome = classify(seen, 0, None, run())

    assert isinstance(outcome, Blocked)
    assert outcome.kind is BlockKind.PERMISSION
    assert "claude was refused Bash(pytest *), Bash(cd a && ls), WebFetch" in outcome.reason
    assert "specialists.coder.agent.tools.allow" in outcome.reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (DONE, "completed"),
        (Answer(status="failed", reason="tests fail"), BlockKind.PERMISSION),
        (Answer(status="blocked", reason="hard"), BlockKind.PERMISSION),
        (Answer(status="blocked", kind=BlockKind.INFORMATION, reason="which port?"), BlockKind.INFORMATION),
    ],
)
def test_a_refused_tool_counts_where_the_work_is_not_completed(answer: Answer, expected: str) -> None:
    outcome = classify(Seen(is_final=True, denials=[Denial("Bash", "rm x")]), 0, None, run(), answer)

    assert getattr(outcome, "kind", None) or getattr(outcome, "status", None) == expected
    assert (getattr(outcome, "kind", None) or (outcome and outcome.status)) == expected


# Failures


def test_silence_is_a_failure_of_its_own() -> None:
    outcome = classify(Seen(tool="Edit a.py"), -15, Stopped.SILENT, run(limit=300.0))

    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.STALLED
    assert outcome.reason == "the agent said nothing for 5m, and was ended"


def test_silence_after_an_error_is_that_error() -> None:
    seen = Seen(errors=["Reconnecting... waiting for network"])

    assert isinstance(classify(seen, -15, Stopped.SILENT, run("codex")), RetryLater)


def test_silence_after_what_the_error_output_said_is_that() -> None:
    seen = Seen(noise=["Attempt 5 failed: this request would exceed your organization's rate limit."])

    outcome = classify(seen, -15, Stopped.SILENT, run("gemini"))

    assert isinstance(outcome, RetryLater)
    assert outcome.limit == "sonnet"


def test_silence_after_the_result_is_none() -> None:
    assert classify(Seen(is_final=True), -15, Stopped.SILENT, run(), DONE) == Completed(summary="done")


def test_a_program_that_lingers_is_judged_by_what_it_said() -> None:
    assert classify(Seen(is_final=True), -15, Stopped.LINGERED, run(), DONE) == Completed(summary="done")
    assert classify(Seen(is_final=True), -15, Stopped.LINGERED, run()) is None


def test_a_cancel_and_a_timeout_go_before_all_else() -> None:
    assert classify(ended(status=429), 1, Stopped.CANCELLED, run(), DONE) == Cancelled()
    outcome = classify(ended(status=429), 1, Stopped.TIMED_OUT, run(limit=60.0), DONE)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.reason) == (FailureCause.TIMEOUT, "timed out after 60 s")


def test_completed_is_not_believed_of_a_program_that_failed() -> None:
    """claude on a limit: subtype "success", and an exit code of 1."""
    outcome = classify(Seen(is_final=True), 3, None, run(), DONE)

    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.CODE
    assert "exit code 3, though its outcome says completed" in outcome.reason


def test_completed_is_believed_of_an_agent_whose_budget_ended_it() -> None:
    assert classify(Seen(), -15, Stopped.OVER_BUDGET, run(), DONE) == Completed(summary="done")


def test_an_error_before_the_result_was_overcome() -> None:
    seen = Seen(is_final=True, errors=["Reconnecting... 1/5 (unexpected status 503)"])

    assert classify(seen, 0, None, run("codex"), DONE) == Completed(summary="done")


def test_an_agent_that_speaks_of_limits_has_reached_none() -> None:
    seen = Seen(is_final=True, text="I handle status 429 and the usage limit now.", noise=["status: 429"])

    assert classify(seen, 0, None, run()) is None


def test_without_an_outcome_the_last_message_is_shown() -> None:
    failed = without_outcome(Seen(text="All\ndone!"), "it is no JSON object")

    assert failed.cause is FailureCause.NO_OUTCOME
    assert failed.reason == (
        "the agent ended without an outcome that can be used: it is no JSON object; its last message: All done!"
    )


# Laws


SIGNS = ("status 429", "usage limit", "status 401", "ECONNREFUSED", "denied by policy")
SEEN = st.builds(
    Seen,
    session=st.text(max_size=5),
    text=st.text(max_size=30),
    is_final=st.booleans(),
    is_error=st.booleans(),
    subtype=st.sampled_from(["", "success", "error_max_turns", "error_during_execution"]),
    status=st.none() | st.integers(0, 700),
    errors=st.lists(
        st.text(max_size=60) | st.sampled_from(["429", "usage limit", "status 401", "ECONNREFUSED"]),
        max_size=3,
    ),
    denials=st.lists(st.builds(Denial, st.text(min_size=1, max_size=10), st.text(max_size=20)), max_size=3),
    resets=st.none() | st.floats() | st.text(max_size=30),
    noise=st.lists(st.text(max_size=60), max_size=3),
)
CODES = st.none() | st.integers(-70, 260)
STOPPED = st.sampled_from([None, *Stopped])
RUNS = st.builds(
    run,
    st.sampled_from(SHIPPED_RUNTIMES),
    waits=st.integers(0, 10_000),
    now=st.floats(0, 4e9),
    chance=st.floats(0, 1, exclude_max=True),
)
ANSWERS = st.builds(
    Answer,
    status=st.sampled_from(["blocked", "failed"]),
    reason=st.text(min_size=1, max_size=30).filter(str.strip),
    kind=st.sampled_from(BlockKind),
)


@given(SEEN, CODES, STOPPED, RUNS, st.none() | ANSWERS)
def test_only_an_agent_that_says_so_has_completed(
    seen: Seen, code: int | None, stopped: Stopped | None, facts: Run, answer: Answer | None
) -> None:
    assert not isinstance(classify(seen, code, stopped, facts, answer), Completed)


@given(SEEN, CODES, STOPPED, RUNS)
def test_completed_is_never_believed_of_a_run_that_failed_by_itself(
    seen: Seen, code: int | None, stopped: Stopped | None, facts: Run
) -> None:
    outcome = classify(seen, code, stopped, facts, DONE)

    if isinstance(outcome, Completed):
        over_budget = stopped is Stopped.OVER_BUDGET or seen.subtype == "error_max_turns" or code == 53
        assert over_budget or not seen.is_error
        assert over_budget or stopped or not code


@given(SEEN, CODES, STOPPED, RUNS, st.none() | ANSWERS | st.just(DONE))
def test_every_wait_is_longer_than_nothing_and_at_most_some_days(
    seen: Seen, code: int | None, stopped: Stopped | None, facts: Run, answer: Answer | None
) -> None:
    outcome = classify(seen, code, stopped, facts, answer)

    if isinstance(outcome, RetryLater):
        assert 0 < outcome.after <= 8 * 86_400 + 1
    if outcome is not None:
        assert type(outcome).model_validate_json(outcome.model_dump_json()) == outcome


@given(SEEN, RUNS)
def test_a_run_that_ended_well_without_a_word_is_asked(seen: Seen, facts: Run) -> None:
    seen.is_final, seen.is_error, seen.denials = True, False, []

    assert classify(seen, 0, None, facts) is None
