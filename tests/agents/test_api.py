"""A model alone as an agent, on models of pydantic-ai that need no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import exceptions, models
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

from orchestrator import agents
from orchestrator.agents import api
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    RetryLater,
)
from orchestrator.model.usage import UsageVerdict
from tests.agents.places import Place

models.ALLOW_MODEL_REQUESTS = False

LIMITED = exceptions.ModelRateLimitError("small", "too many", retry_after=30.0)
DONE = {"status": "completed", "summary": "three risks", "handoff": "see the list"}


def answers(*found: Any) -> tuple[FunctionModel, list[Any]]:
    """A model that gives these answers in turn; an exception is raised. And all that it was sent."""
    seen, left = list[Any](), list(found)

    def respond(messages: Any, info: Any) -> ModelResponse:
        seen.append(messages)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        part = answer if not isinstance(answer, dict) else ToolCallPart(info.output_tools[0].name, answer)
        return ModelResponse(
            parts=[part], usage=RequestUsage(input_tokens=100, cache_read_tokens=40, output_tokens=10)
        )

    return FunctionModel(respond), seen


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project whose specialist is the model of the tier weak, at a known price."""
    prices = {"small": {"input": 1_000, "output": 1_000}}
    more = {"tiers": {"weak": {"api": "test:small"}}, "prices": prices}
    return Place(tmp_path, agent={"runtime": "api", "ladder": ["weak"]}, more=more)


def perform(place: Place, monkeypatch: pytest.MonkeyPatch, model: FunctionModel, **given: Any) -> Any:
    monkeypatch.setattr(api.Conversation, "_model", lambda self: model)
    return agents.perform(place.context(**given), place.settings)


def test_a_model_gives_its_outcome(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = answers(DONE)
    found = perform(place, monkeypatch, model)
    assert isinstance(found, Completed)
    assert (found.summary, found.handoff) == ("three risks", "see the list")
    assert "Make it work." in str(seen[0])
    ((usage,),) = place.store.usages[-1:]
    assert (usage.input, usage.cache_read, usage.output, usage.requests) == (60, 40, 10, 1)
    assert usage.cost == pytest.approx(0.11)


def test_its_tools_are_functions_of_the_project(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.project / "prices_of_things.py").write_text(
        "def price(thing: str) -> int:\n    return len(thing)\n"
    )
    place.agent["tools"] = {"python": ["prices_of_things:price"]}
    model, seen = answers(ToolCallPart("price", {"thing": "chair"}), DONE)
    assert isinstance(perform(place, monkeypatch, model), Completed)
    assert "5" in str(seen[1][-1])
    assert place.store.usages[-1][0].requests == 2


@pytest.mark.parametrize(
    ("error", "kind", "more"),
    [
        (
            LIMITED,
            RetryLater,
            {"after": 30.0, "limit": "test:small"},
        ),
        (
            exceptions.ModelAuthenticationError("small", "no"),
            Blocked,
            {"kind": BlockKind.EXTERNAL},
        ),
        (exceptions.ModelServerError("small", "no"), RetryLater, {"limit": ""}),
        (
            exceptions.ModelQuotaExceededError("small", "no"),
            Blocked,
            {"kind": BlockKind.EXTERNAL},
        ),
        (RuntimeError("a fault of ours"), Failed, {"cause": FailureCause.CODE}),
    ],
)
def test_what_a_model_raises_becomes_an_outcome(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type, more: dict[str, Any]
) -> None:
    found = perform(place, monkeypatch, answers(error)[0])
    assert isinstance(found, kind)
    assert {name: getattr(found, name) for name in more} == more


def test_a_model_that_gives_no_outcome_has_failed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = perform(place, monkeypatch, answers(TextPart("It is done."))[0])
    assert (found.status, found.cause) == ("failed", FailureCause.NO_OUTCOME)


def test_a_budget_ends_the_conversation_and_it_goes_on_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.project / "clock.py").write_text("def now() -> str:\n    return 'noon'\n")
    place.agent["tools"] = {"python": ["clock:now"]}

    def spend(messages: Any, info: Any) -> ModelResponse:
        place.store.verdict = UsageVerdict(is_over=True, which="feature", limit=5.0, cost_left=0.0)
        return ModelResponse(parts=[ToolCallPart("now", {})])

    found = perform(place, monkeypatch, FunctionModel(spend))
    assert (found.status, found.kind) == ("blocked", BlockKind.BUDGET)
    assert "$5.00 for the feature" in found.reason
    # The next attempt goes on with what was said
    place.store.verdict = UsageVerdict()
    model, seen = answers(DONE)
    assert isinstance(
        perform(place, monkeypatch, model, attempt=2, session=place.store.sessions[-1]), Completed
    )
    assert "Make it work." in str(seen[0][0])
    assert "interrupted" in str(seen[0][-1])


def test_a_cancelled_conversation_ends(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.store.is_cancelled = True

    async def never(messages: Any, info: Any) -> ModelResponse:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    assert isinstance(perform(place, monkeypatch, FunctionModel(never)), Cancelled)


def test_a_price_that_is_unknown_is_refused_where_a_cost_is_limited(place: Place) -> None:
    place.more["prices"] = {}
    place.specialist["budget"] = {"cost": 1.0}
    found = agents.perform(place.context(), place.settings)
    assert (found.status, getattr(found, "kind", "")) == ("blocked", BlockKind.BUDGET)


def test_without_the_extra_the_reason_says_how_to_get_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    found = agents.perform(place.context(), place.settings)
    assert "pip install 'task-orchestrator[agents]'" in getattr(found, "reason", "")
