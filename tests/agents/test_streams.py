"""What the real programs printed is read as what happened: who, what, how much, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agents.classification import Stopped, is_session_lost
from orchestrator.agents.stream import StreamReader
from orchestrator.model.outcome import BlockKind, FailureCause, Outcome
from tests.agents.recordings import names, recording

KINDS: dict[str, Any] = {
    "result": "completed",
    "partial": "completed",
    "schema": "completed",
    "resumed": "completed",
    "budget": BlockKind.BUDGET,
    "turns": BlockKind.BUDGET,
    "denied": BlockKind.PERMISSION,
    "unauthorized": BlockKind.EXTERNAL,
    "forbidden": BlockKind.EXTERNAL,
    "unknown-model": BlockKind.EXTERNAL,
    "rate-limited": "limit",
    "rate-limited-later": "limit",
    "rate-limited-long": "limit",
    "usage-limit": "limit",
    "overloaded": "limit",
    "outage": "retry-later",
    "refused": "retry-later",
    "empty": None,
    "no-outcome": None,
    "killed": FailureCause.CODE,
    "killed-partial": FailureCause.CODE,
    "ended": FailureCause.CODE,
    # Another folder holds other conversations.
    "resumed-elsewhere": FailureCause.REPORTED,
    "resumed-unknown": FailureCause.REPORTED,
    # It says success, and that an answer which broke off was all.
    "claude-cut": None,
    "codex-cut": "retry-later",
    # It tells its model of the refusal, and us nothing.
    "codex-denied": BlockKind.TECHNICAL,
    "codex-resumed-elsewhere": "completed",
    "codex-resumed-unknown": FailureCause.CODE,
    "gemini-cut": "retry-later",
    "gemini-empty": FailureCause.REPORTED,
    "opencode-cut": "completed",
    "opencode-cut-twice": "completed",
    # It waits for an hour, and says nothing of it.
    "opencode-rate-limited-long": FailureCause.CODE,
    # It waits for something, and says nothing of it.
    "opencode-resumed-elsewhere": FailureCause.CODE,
    "opencode-resumed-unknown": FailureCause.CODE,
    "gemini-resumed-elsewhere": FailureCause.CODE,
    "gemini-resumed-unknown": FailureCause.CODE,
}
"""What a case amounts to: of every program, or of the one that is named."""

TELL_NO_USAGE = (
    *("codex-killed", "codex-ended", "codex-rate-limited-later", "codex-cut"),
    *("gemini-killed", "gemini-ended", "gemini-cut", "opencode-resumed-elsewhere"),
)
"""Runs that ended before their program told any."""

LOST = (
    *(name for name in names() if "resumed-unknown" in name),
    *("claude-resumed-elsewhere", "gemini-resumed-elsewhere"),
)
"""Runs that were to go on with a conversation that is not there."""


def kind_of(outcome: Outcome | None) -> object:
    """An outcome in a word: its kind, its cause, "limit", or its status."""
    kind = getattr(outcome, "kind", None) or getattr(outcome, "cause", None)
    return kind or ("limit" if getattr(outcome, "limit", "") else getattr(outcome, "status", None))


def expected_usage(name: str) -> dict[str, int]:
    """What a run used, as the stub of the model counted it, in the words that the program has for it."""
    sent = dict(recording(name).facts["sent"])
    if name.startswith("codex-resumed"):  # and what the killed run before it used
        sent = {key: value + recording("codex-killed").facts["sent"][key] for key, value in sent.items()}
    if name.startswith(("codex", "gemini")) and sent:  # their APIs do not tell what is written into a cache
        sent |= {"input": sent["input"] + sent["cache_write"], "cache_write": 0}
    if name.startswith("gemini") and sent:  # its thoughts are beside its output
        sent |= {"output": sent["output"] + sent["reasoning"]}
    return {key: value for key, value in sent.items() if key != "reasoning"}


@pytest.mark.parametrize("name", names())
def test_what_a_run_amounts_to(name: str) -> None:
    case = name.partition("-")[2]

    assert kind_of(recording(name).outcome()) == KINDS.get(name, KINDS.get(case))
    assert name in KINDS or case in KINDS


@pytest.mark.parametrize("name", names())
def test_usage_is_what_the_model_sent(name: str) -> None:
    usages = recording(name).read().usages

    assert len(usages) <= 1
    found = {key: getattr(usages[0], key) for key in expected_usage(name)} if usages else {}
    if name in TELL_NO_USAGE:
        assert found == {}
    elif name.startswith("opencode-cut"):  # of answers that broke off it counts none
        assert found["output"] == 40
    elif name == "claude-cut":  # of two answers that broke off it counts the last
        assert found == expected_usage(name) | {"input": 1000, "output": 50}
    elif name in ("claude-killed", "claude-ended"):  # without the parts of its messages
        assert found == expected_usage(name) | {"output": 1}
    else:
        assert found == expected_usage(name)


@pytest.mark.parametrize("name", names())
def test_reading_twice_changes_nothing(name: str) -> None:
    once, twice = recording(name).read(), recording(name).read(times=2)

    assert twice.usages == once.usages
    assert twice.session_total == once.session_total


@pytest.mark.parametrize("name", names())
def test_the_session_is_told(name: str) -> None:
    reader = recording(name).read()

    # A conversation that cannot go on has no name of its own; opencode tells it with the first answer.
    assert reader.seen.session or "resumed" in name or name == "opencode-rate-limited-long"


@pytest.mark.parametrize("name", names())
def test_a_run_that_is_cut_anywhere_is_never_completed(name: str) -> None:
    """Half of the output is what a killed worker leaves."""
    whole = recording(name)
    lines = whole.output.splitlines(keepends=True)
    for at in range(len(lines)):
        cut = type(whole)(
            name, {**whole.facts, "exit": -9, "stderr": ""}, b"".join(lines[:at]) + lines[at][:50]
        )

        assert kind_of(cut.outcome()) != "completed" or at == len(lines) - 1


@pytest.mark.parametrize("name", names())
def test_a_run_that_we_end_for_its_budget_waits_for_a_person(name: str) -> None:
    outcome = recording(name).outcome(Stopped.OVER_BUDGET)

    assert kind_of(outcome) in (BlockKind.BUDGET, "completed", BlockKind.PERMISSION, BlockKind.TECHNICAL)


def test_codex_counts_what_a_conversation_had_used_before_once() -> None:
    killed, resumed = recording("codex-result"), recording("codex-result")
    before = killed.read()

    again = resumed.read(baseline=before.session_total)

    assert before.usages[0].tokens > 0
    assert again.usages == ()  # its sum is what it was
    assert again.session_total == before.session_total


@pytest.mark.parametrize("name", [name for name in names() if name in LOST])
def test_a_conversation_that_is_gone_is_recognised(name: str) -> None:
    found = recording(name)

    assert is_session_lost(found.read().seen, found.runtime)


@pytest.mark.parametrize(
    "name", [name for name in names() if "resumed-unknown" not in name and "elsewhere" not in name]
)
def test_no_other_run_has_lost_its_conversation(name: str) -> None:
    found = recording(name)

    assert not is_session_lost(found.read().seen, found.runtime)


def test_the_reset_of_a_limit_is_waited_for() -> None:
    outcome = recording("codex-usage-limit").outcome()

    assert getattr(outcome, "after", 0) > 7 * 86_400
    assert "try again at Jan 1st, 2030" in getattr(outcome, "reason", "")


def test_claude_shows_what_it_does() -> None:
    found = recording("claude-result")
    reader = StreamReader(found.runtime)
    shown = [str(news) for line in found.output.splitlines(True) if (news := reader.feed(line))]

    assert shown[-1] == "turn 3, Bash echo checked, $0.0086"
    assert "turn 1, Edit greet.py" in shown
