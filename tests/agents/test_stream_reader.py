"""Whatever an agent prints, in whatever pieces, is read to the same end, and nothing of it raises."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents import stream
from orchestrator.agents.classification import Run, Stopped, classify
from orchestrator.agents.runtimes import find
from orchestrator.agents.stream import StreamReader
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.agents import SHIPPED_RUNTIMES
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Completed
from orchestrator.model.usage import COUNTED, Usage, higher
from tests.agents.recordings import names, recording

RUNTIMES = [find(name, Settings()) for name in SHIPPED_RUNTIMES]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
"""Any value."""


def with_other_values(event: Any, draw: Any) -> Any:
    """An event with anything in the place of any of its values."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    if isinstance(event, dict):
        return {name: with_other_values(value, draw) for name, value in event.items()}
    if isinstance(event, list):
        return [with_other_values(value, draw) for value in event]
    return event


EVENTS = [line for name in names() for line in recording(name).output.splitlines()]


@st.composite
def broken_events(draw: Any) -> bytes:
    """A line that a program might print if it were broken."""
    event = json.loads(draw(st.sampled_from(EVENTS)))
    return json.dumps(with_other_values(event, draw)).encode()


def outputs() -> st.SearchStrategy[bytes]:
    """Output of lines that are events, broken events, texts, or bytes."""
    line = (
        st.sampled_from(EVENTS)
        | broken_events()
        | st.binary(max_size=50)
        | st.text(max_size=50).map(str.encode)
    )
    return st.lists(line, max_size=8).map(b"\n".join)


def everything(reader: StreamReader) -> tuple[Any, ...]:
    """All that a reader has learnt."""
    return repr(reader.seen), reader.usages, reader.session_total


def read(runtime: AgentRuntime, pieces: list[bytes], baseline: Usage | None = None) -> StreamReader:
    """A reader that has read these pieces to their end."""
    reader = StreamReader(runtime, baseline, model="m")
    for piece in pieces:
        reader.feed(piece)
    reader.close()
    return reader


@given(st.sampled_from(RUNTIMES), outputs(), st.lists(st.integers(0, 2_000), max_size=8))
def test_how_the_output_is_cut_into_pieces_does_not_matter(
    runtime: AgentRuntime, output: bytes, cuts: list[int]
) -> None:
    places = sorted({0, len(output), *(cut for cut in cuts if cut < len(output))})
    pieces = [output[start:end] for start, end in pairwise(places)]

    assert everything(read(runtime, pieces)) == everything(read(runtime, [output]))


@given(st.sampled_from(RUNTIMES), outputs())
def test_usage_that_is_read_twice_is_counted_once(runtime: AgentRuntime, output: bytes) -> None:
    known = [line for line in output.split(b"\n") if line in EVENTS]
    once, twice = read(runtime, [b"\n".join(known)]), read(runtime, [b"\n".join([*known, *known])])

    assert [(used.model, used.tokens, used.cost) for used in twice.usages] == [
        (used.model, used.tokens, used.cost) for used in once.usages
    ]


@given(st.sampled_from(RUNTIMES), outputs())
def test_usage_only_grows(runtime: AgentRuntime, output: bytes) -> None:
    reader, before = StreamReader(runtime, model="m"), dict[str, Usage]()
    for line in output.splitlines(keepends=True):
        reader.feed(line)
        now = {used.model: used for used in reader.usages}
        for model, used in before.items():
            assert model in now
            marks = higher(used, now[model])
            assert all(getattr(marks, name) == getattr(now[model], name) for name in COUNTED)
        before = now


@given(
    st.sampled_from(RUNTIMES),
    outputs(),
    st.integers(-64, 255),
    st.sampled_from([None, *Stopped]),
)
def test_no_output_and_no_exit_code_makes_a_run_completed(
    runtime: AgentRuntime, output: bytes, code: int, stopped: Stopped | None
) -> None:
    seen = read(runtime, [output]).seen

    found = classify(seen, code, stopped, Run(runtime))

    assert not isinstance(found, Completed)
    if found is not None:
        assert found.model_dump_json()


@given(st.lists(st.text(alphabet="ab {}\"',:\\\n", max_size=30)))
def test_plain_output_is_the_final_message(texts: list[str]) -> None:
    runtime = AgentRuntime(command=("agent",), events="none")

    reader = read(runtime, [text.encode() for text in texts])

    assert reader.seen.text == "".join(texts).strip()


# Lines


RUNTIME = AgentRuntime.model_validate(
    {"command": ["agent"], "session": "/id", "text": {"at": "/text"}, "error": {"at": "/error"}}
)


def test_a_line_that_is_too_long_is_left_out_and_the_next_one_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "LONGEST", 100)
    kept = list[bytes]()
    reader = StreamReader(RUNTIME, log=kept.append)

    for piece in (b'{"text": "', b"x" * 90, b"y" * 90, b'"}\n{"text": "short"}\n'):
        reader.feed(piece)

    assert reader.seen.text == "short"
    assert reader.seen.skipped == 1
    assert kept == [b"(a line of more than 100 bytes is left out)\n", b'{"text": "short"}\n']


def test_half_a_line_waits_for_its_rest_and_counts_at_the_end() -> None:
    reader = StreamReader(RUNTIME)

    assert reader.feed(b'{"text": "no') is None
    assert reader.seen.text == ""
    reader.feed(b'w"}')
    assert reader.seen.text == ""
    reader.close()

    assert reader.seen.text == "now"


def test_a_line_that_is_no_event_is_noise() -> None:
    reader = read(RUNTIME, [b"Warning: old node\r\n[1]\n\xff\xfe\n"])

    assert reader.seen.noise[:2] == ["Warning: old node", "[1]"]


def test_a_session_that_would_be_an_option_is_none() -> None:
    reader = read(RUNTIME, [b'{"id": "--dangerously-skip-permissions"}\n{"id": "a b"}\n{"id": 7}\n'])

    assert reader.seen.session == ""


def test_the_same_error_without_end_is_no_sign_of_life() -> None:
    reader = read(RUNTIME, [b'{"error": "waiting"}\n' * 50])

    assert reader.seen.signs == 0
    assert len(reader.seen.errors) == stream.MOST_KEPT


def test_a_deep_event_is_noise() -> None:
    reader = read(RUNTIME, [b'{"text": ' + b"[" * 100_000 + b"\n", b'{"text": "after"}\n'])

    assert reader.seen.text == "after"


def test_one_value_is_read_at_the_end() -> None:
    runtime = AgentRuntime.model_validate(
        {"command": ["agent"], "events": "json", "final": {"text": "/answer", "usage": "/usage"}}
    )

    reader = read(
        runtime, [b'{\n "answer": "done",\n', b' "usage": {"input_tokens": 3, "output_tokens": 4}\n}\n']
    )

    assert reader.seen.text == "done"
    assert reader.seen.is_final
    assert reader.usages[0].tokens == 7


# Usage


def test_numbers_that_are_no_usage_count_nothing() -> None:
    usage = {"input_tokens": -5, "output_tokens": "many", "cache_read_input_tokens": 1e30, "cost": True}
    event = {"type": "assistant", "message": {"id": "1", "usage": usage, "content": "text"}}

    assert read(find("claude", Settings()), [json.dumps(event).encode()]).usages == ()


@pytest.mark.parametrize("runtime", RUNTIMES, ids=SHIPPED_RUNTIMES)
@pytest.mark.parametrize(
    "number", [10**400, -(10**400), float("nan"), float("inf")], ids=["huge", "low", "nan", "inf"]
)
def test_a_number_that_no_float_can_hold_counts_nothing(runtime: AgentRuntime, number: float) -> None:
    reader = StreamReader(runtime)
    for line in EVENTS:
        reader.feed(json.dumps(_with_numbers(json.loads(line), number)).encode() + b"\n")
    reader.close()
    assert not any(used.tokens or used.cost for used in reader.usages)


def test_sums_of_usage_have_an_end_too() -> None:
    lines = [
        json.dumps({"type": "assistant", "message": {"id": f"m{id}", "usage": {"input_tokens": 10**12}}})
        for id in range(3)
    ]
    (used,) = read(find("claude", Settings()), [f"{line}\n".encode() for line in lines]).usages
    assert Usage.model_validate(used.model_dump()).input == 10**12


def _with_numbers(value: Any, number: float) -> Any:
    """An event with this number in the place of each number."""
    if isinstance(value, dict):
        return {name: _with_numbers(each, number) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each, number) for each in value]
    return number if isinstance(value, int | float) and not isinstance(value, bool) else value


def test_messages_of_several_agents_at_once_keep_their_usage_apart() -> None:
    def part(kind: str, thread: str | None, **event: Any) -> bytes:
        return json.dumps(
            {"type": "stream_event", "parent_tool_use_id": thread, "event": {"type": kind, **event}}
        ).encode()

    def begun(id: str, thread: str | None) -> bytes:
        message = {"id": id, "model": "m", "usage": {"input_tokens": 10, "output_tokens": 1}}
        return part("message_start", thread, message=message)

    lines = [
        begun("a", None),
        begun("b", "t1"),
        part("message_delta", None, usage={"output_tokens": 30}),
        part("message_delta", "t1", usage={"output_tokens": 500}),
        part("message_delta", "t2", usage={"output_tokens": 9}),
    ]

    (used,) = read(find("claude", Settings()), [b"\n".join(lines)]).usages

    assert (used.input, used.output, used.requests) == (20, 530, 2)


def test_the_cost_of_a_run_is_divided_among_its_models() -> None:
    runtime = AgentRuntime.model_validate(
        {"command": ["a"], "final": {"when": {"/done": True}, "models": "/models", "cost": "/cost"}}
    )
    event = {"done": True, "cost": 4.0, "models": {"x": {"input_tokens": 30}, "y": {"input_tokens": 10}}}

    usages = read(runtime, [json.dumps(event).encode()]).usages

    assert {used.model: used.cost for used in usages} == {"x": 3.0, "y": 1.0}


def test_the_usage_carries_what_is_known_of_the_attempt() -> None:
    reader = StreamReader(RUNTIMES[0], known={"tier": "fast", "runtime": "claude"})
    reader.feed(recording("claude-result").output)

    (used,) = reader.usages

    assert (used.tier, used.runtime, used.partial) == ("fast", "claude", False)
    assert used.session == reader.seen.session
