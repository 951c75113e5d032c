"""An agent's outcome: where it is looked for, what is forgiven, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.brief import OUTCOME
from orchestrator.agents.outcome import NAMES, Answer, outcome_of, read, schema
from orchestrator.model.outcome import Blocked, BlockKind, Completed, Failed, FailureCause

DONE: dict[str, Any] = {"status": "completed", "summary": "done"}


def test_the_file_goes_before_the_structured_answer_and_that_before_the_message() -> None:
    file, structured, message = (
        json.dumps(DONE | {"summary": where}) for where in ("file", "answer", "message")
    )

    def found(**given: Any) -> str:
        answer = read(**given).answer
        return answer.summary if answer else ""

    assert found(file=file, structured=json.loads(structured), message=message) == "file"
    assert found(structured=json.loads(structured), message=message) == "answer"
    assert found(structured=structured, message=message) == "answer"
    assert found(message=message) == "message"


def test_where_one_cannot_be_used_the_next_one_counts() -> None:
    assert read(file="not yet", structured=[1], message=json.dumps(DONE)).answer == Answer(**DONE)


@pytest.mark.parametrize(
    "message",
    [
        "All done.\n```json\nOUTCOME\n```",
        "```\nOUTCOME\n```\nThat is all.",
        '{"a": 1} and then OUTCOME',
        "A { brace, and OUTCOME",
        'Before: {"status": "failed", "reason": "x"}\nAfter: OUTCOME',
        'OUTCOME {"other": {"deep": 1}}',
    ],
)
def test_the_last_outcome_of_a_message_counts_however_it_is_wrapped(message: str) -> None:
    assert read(message=message.replace("OUTCOME", json.dumps(DONE))).answer == Answer(**DONE)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"file": "{"}, "the outcome file cannot be used: it has no JSON object with a status"),
        (
            {"file": '{"status": "done"}'},
            "the outcome file cannot be used: status: write one of 'completed', 'blocked' or 'failed', not 'done'",
        ),
        ({"structured": [1]}, "the structured answer cannot be used: it is no JSON object"),
        (
            {"message": '{"status": "blocked"}'},
            "the JSON at the end of the final message cannot be used: it is blocked, and says no reason",
        ),
        (
            {"message": '{"status": "completed", "summary": 7}'},
            "the JSON at the end of the final message cannot be used: summary: should be a valid string",
        ),
        ({"message": "It works."}, ""),
        ({}, ""),
        ({"file": " \n"}, ""),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, Any], wrong: str) -> None:
    assert read(**given) == (None, wrong)


def test_null_and_unknown_fields_are_forgiven() -> None:
    value = {**DONE, "reason": None, "kind": None, "handoff": None, "result": None, "confidence": 0.9}

    assert read(structured=value).answer == Answer(**DONE)


def test_a_result_in_a_text_is_its_value() -> None:
    assert Answer.model_validate(DONE | {"result": '{"files": 3}'}).result == {"files": 3}
    assert Answer.model_validate(DONE | {"result": "[not json"}).result == "[not json"
    assert Answer.model_validate(DONE | {"result": {"files": 3}}).result == {"files": 3}


def test_what_an_answer_means() -> None:
    assert outcome_of(Answer(status="completed", summary="s", handoff="h", result=1)) == Completed(
        summary="s", handoff="h", result=1
    )
    assert outcome_of(Answer(status="failed", summary="s")) == Failed(cause=FailureCause.REPORTED, reason="s")
    assert outcome_of(Answer(status="blocked", reason="r")) == Blocked(kind=BlockKind.TECHNICAL, reason="r")


@pytest.mark.parametrize("kind", [*BlockKind, "approval", "", None, 7])
def test_an_agent_says_only_kinds_that_are_its_to_say(kind: object) -> None:
    answer = Answer.model_validate({"status": "blocked", "reason": "r", "kind": kind})

    ours = (BlockKind.BUDGET, BlockKind.CONFLICT, BlockKind.WORKER_LOST)
    is_its_own = kind in list(BlockKind) and kind not in ours
    assert answer.kind == (kind if is_its_own else BlockKind.TECHNICAL)


def test_long_texts_are_cut() -> None:
    outcome = outcome_of(Answer(status="completed", summary="s" * 999, handoff="h\n" * 999))

    assert isinstance(outcome, Completed)
    assert (len(outcome.summary), len(outcome.handoff)) == (200, 1_000)


def test_the_schema_is_strict_and_says_what_the_brief_says() -> None:
    form = schema()

    assert form["required"] == list(form["properties"]) == list(NAMES)
    assert form["additionalProperties"] is False
    for name in NAMES:
        assert f'"{name}"' in OUTCOME
    for kind in form["properties"]["kind"]["enum"]:
        assert kind is None or kind in OUTCOME


@given(st.text(alphabet='{}[]"\\:,astu0 \n`') | st.text(), st.text(), st.none() | st.lists(st.integers()))
def test_any_text_is_read(message: str, file: str, structured: object) -> None:
    found = read(file=file, structured=structured, message=message)

    assert found.answer is None or outcome_of(found.answer)


@given(st.text(), st.dictionaries(st.text(), st.integers()))
def test_an_outcome_at_the_end_is_found_after_any_text(text: str, other: dict[str, int]) -> None:
    message = f"{text}\n{json.dumps(other)}\n{json.dumps(DONE)}"

    found = read(message=message)

    # An open brace or quote of the text may make all that follows a part of another value.
    assert found.answer == Answer(**DONE) or "{" in text


def test_many_braces_end_soon() -> None:
    assert read(message="{" * 200_000 + json.dumps(DONE)).answer == Answer(**DONE)
    assert read(message='{"a":' * 50_000 + json.dumps(DONE)).answer is None
    assert read(message="[" * 200_000).answer is None


def test_an_outcome_is_found_behind_much_code() -> None:
    code = "function f() { return {a: [1]} }\n" * 1_000
    assert read(message=code + json.dumps(DONE)).answer == Answer(**DONE)


def test_a_file_that_is_nothing_but_an_outcome_may_be_long() -> None:
    given = DONE | {"result": [{"status": "red", "place": place} for place in range(5_000)]}
    assert read(file=json.dumps(given)).answer == Answer.model_validate(given)


@pytest.mark.parametrize("result", ['"\\ud83d"', '{"\\ud83d": ["\\ud83d"]}', "[" * 900 + "]" * 900])
def test_every_result_that_is_taken_can_be_stored(result: str) -> None:
    found = read(file=f'{{"status": "completed", "result": {result}, "summary": "half \\ud83d"}}')
    if found.answer:
        assert outcome_of(found.answer).model_dump_json()
    else:
        assert "result" in found.wrong
