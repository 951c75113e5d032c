"""What a usage costs, and that an unknown cost is never 0."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents import pricing
from orchestrator.agents.pricing import is_known, priced
from orchestrator.config.settings import Settings
from orchestrator.model.usage import Usage

SETTINGS = Settings.model_validate(
    {
        "prices": {
            "tiny": {"input": 1, "output": 5},
            "big": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 4},
        }
    }
)
USED = Usage(input=1_000, cache_read=10_000, cache_write=2_000, output=500)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """The price list is looked for anew."""
    pricing._price_list.cache_clear()
    yield
    pricing._price_list.cache_clear()


def as_model(name: str) -> Usage:
    return USED.model_copy(update={"model": name})


def test_what_the_program_says_goes_before_all_prices() -> None:
    said = Usage(model="tiny", input=5, cost=0.7, source="reported")

    assert priced(said, SETTINGS) == said


def test_the_configuration_goes_before_the_price_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "_listed_cost", lambda usage: 99.0)

    assert priced(as_model("big"), SETTINGS).cost == pytest.approx((3_000 + 3_000 + 8_000 + 7_500) / 1e6)
    assert priced(as_model("other"), SETTINGS).cost == 99.0


def test_what_comes_from_a_cache_costs_as_input_where_nothing_is_said() -> None:
    assert priced(as_model("tiny"), SETTINGS).cost == pytest.approx((13_000 + 2_500) / 1e6)


@pytest.mark.parametrize("name", ["provider/tiny", "tiny-20260101", "a/b/tiny-2026-01-01", "tiny-latest"])
def test_a_model_is_known_without_its_provider_and_its_date(name: str) -> None:
    found = priced(as_model(name), SETTINGS)

    assert (found.cost, found.source) == (priced(as_model("tiny"), SETTINGS).cost, "priced")


def test_without_the_extra_a_cost_is_unknown_and_not_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)

    found = priced(as_model("claude-haiku-4-5"), SETTINGS)

    assert (found.cost, found.source) == (None, "unknown")
    assert not is_known("claude-haiku-4-5", SETTINGS)
    assert is_known("tiny", SETTINGS)


def test_the_price_list_gets_the_input_with_what_came_from_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Any]()

    def calc_price(usage: Any, **model: Any) -> Any:
        asked.append((vars(usage), model))
        return SimpleNamespace(total_price=1)

    listed = SimpleNamespace(Usage=SimpleNamespace, calc_price=calc_price)
    monkeypatch.setattr(pricing, "_price_list", lambda: listed, raising=True)
    monkeypatch.setattr(pricing._price_list, "cache_clear", lambda: None, raising=False)

    assert priced(as_model("anthropic/m"), Settings()).cost == 1
    ((usage, model),) = asked
    assert usage == {
        "input_tokens": 13_000, "cache_read_tokens": 10_000, "cache_write_tokens": 2_000, "output_tokens": 500
    }  # fmt: skip
    assert model == {"model_ref": "m", "provider_id": "anthropic"}


def test_the_price_list_that_ships_knows_models_of_today() -> None:
    pytest.importorskip("genai_prices", reason="of the extra agents")

    found = priced(Usage(model="claude-haiku-4-5", input=1_000, output=100, cache_read=500), Settings())

    assert found.source == "priced"
    assert found.cost == pytest.approx(0.00155)
    assert priced(Usage(model="never-heard-of", input=1), Settings()).cost is None
    assert priced(Usage(model="", input=1), Settings()).cost is None


def test_what_used_nothing_costs_nothing() -> None:
    assert priced(Usage(model="never-heard-of"), Settings()).cost == 0


@given(
    st.builds(Usage, model=st.text(max_size=30), input=st.integers(1, 10**9), output=st.integers(0, 10**9))
)
def test_any_model_has_a_price_or_none(usage: Usage) -> None:
    found = priced(usage, SETTINGS)

    assert (found.cost is None) == (found.source == "unknown")
    assert found.cost is None or found.cost > 0
