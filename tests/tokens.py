"""Counts the tokens of a text for a language model (o200k)."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _encoding() -> Any:
    import bpe_openai

    return bpe_openai.get_encoding("o200k_base")


def tokens(text: str) -> int:
    """The number of tokens of a text."""
    return len(_encoding().encode(text))
