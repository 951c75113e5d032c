"""What a usage costs: as its program says, else as the configuration has it, else by a price list, else unknown."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

from orchestrator.config.schema.agents import Price
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Blocked, BlockKind
from orchestrator.model.usage import Usage

MILLION = 1_000_000


def priced(usage: Usage, settings: Settings) -> Usage:
    """The usage with what it costs, if that is known. An unknown cost stays unknown, and is never 0.

    Example:
        >>> settings = Settings(prices={"tiny": {"input": 1, "output": 5}})
        >>> priced(Usage(model="tiny", input=1_000_000, output=100_000), settings).cost
        1.5
        >>> priced(Usage(model="never-heard-of", input=5), settings).cost
    """
    if usage.cost is not None:
        return usage if usage.source != "unknown" else usage.model_copy(update={"source": "reported"})
    if not (usage.input or usage.cache_read or usage.cache_write or usage.output):
        return usage.model_copy(update={"cost": 0.0, "source": "priced"})
    price = _own_price(usage.model, settings)
    cost = _cost(usage, price) if price else _listed_cost(usage)
    return usage if cost is None else usage.model_copy(update={"cost": cost, "source": "priced"})


def is_known(model: str, settings: Settings) -> bool:
    """The price of a model is known, without what its program may say of it."""
    return priced(Usage(model=model, input=1, output=1), settings).cost is not None


def refused(model: str, settings: Settings, *, is_limited: bool) -> Blocked | None:
    """Refuse a model whose cost cannot be counted, where a cost is limited; None: it is not refused.

    Args:
        model: The model, as its runtime calls it.
        settings: The settings.
        is_limited: A budget of money holds for the attempt.
    """
    if not is_limited or settings.budgets.unknown_cost == "allow" or is_known(model, settings):
        return None
    reason = (
        f"the price of {model or 'its model'} is not known, so no budget can hold; write it into `prices`, or set "
        "budgets.unknown_cost to allow, and unblock the task"
    )
    return Blocked(kind=BlockKind.BUDGET, reason=reason)


def _own_price(model: str, settings: Settings) -> Price | None:
    """The price in the configuration: by the model's whole name, or without its provider or its date."""
    bare = re.split("[/:]", model)[-1]
    names = (model, bare, re.sub(r"-(?:\d{8}|\d{4}-\d\d-\d\d|latest)$", "", bare))
    return next((settings.prices[name] for name in names if name in settings.prices), None)


def _cost(usage: Usage, price: Price) -> float:
    cache_read = price.input if price.cache_read is None else price.cache_read
    cache_write = price.input if price.cache_write is None else price.cache_write
    return (
        usage.input * price.input
        + usage.cache_read * cache_read
        + usage.cache_write * cache_write
        + usage.output * price.output
    ) / MILLION


def _listed_cost(usage: Usage) -> float | None:
    """The cost by genai-prices (extra `agents`); None where it is not installed, or does not know the model."""
    prices = _price_list()
    if prices is None or not usage.model:
        return None
    counts = prices.Usage(
        # It wants the input with what came from a cache.
        input_tokens=usage.input + usage.cache_read + usage.cache_write,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
    )
    provider, _, model = usage.model.replace(":", "/", 1).rpartition("/")
    try:
        found = prices.calc_price(counts, model_ref=model, provider_id=provider.rsplit("/", 1)[-1] or None)
    except (LookupError, ValueError):
        return None
    return float(found.total_price)


@cache
def _price_list() -> Any:
    """The module of genai-prices; None: the extra `agents` is not installed."""
    try:
        return importlib.import_module("genai_prices")
    except ImportError:
        return None
