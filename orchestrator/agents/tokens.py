"""An estimate of the tokens of a text, rather too many: no vocabulary is at hand where a worker runs."""

from __future__ import annotations

import re

_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[ \t]+|\n+|[^\w\s]+|.", re.S)
_UNUSUAL = re.compile(r"[^aeiouy]{4,}|[aeiou]{4,}|[jqxz][^aeiouy]|[^aeiouyn][jqxzwvk]", re.I)

_COMMON = re.compile("[\u00c0-\u024f\u0370-\u04ff\u0590-\u06ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")
"""Letters of scripts that vocabularies know well: Latin, Greek, Cyrillic, Hebrew, Arabic, Japanese, Chinese, Korean."""


def estimate(text: str) -> int:
    """The number of tokens of a text for a language model, or more.

    Example:
        >>> 9 <= estimate("Add a login page, and test it.") <= 12
        True
    """
    return sum(_of_piece(piece) for piece in _PIECE.findall(text))


def _of_piece(piece: str) -> int:
    length = len(piece)
    if piece == " ":
        return 0  # it belongs to the word after it
    if piece.isspace():
        return 1
    if not piece.isascii():
        return (
            1
            if piece.isalpha() and _COMMON.match(piece)
            else -(-2 * len(piece.encode(errors="replace")) // 3)
        )
    if piece.isalpha():
        return -(-length // 2) if _UNUSUAL.search(piece) else -(-length // 5)
    if piece.isdigit():
        return -(-length // 3)
    return 1 if length == 1 else -(-3 * length // 4)
