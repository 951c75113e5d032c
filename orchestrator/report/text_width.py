"""About how wide a text is in a picture."""

from __future__ import annotations

import unicodedata

BOLD = 1.1
"""How much wider bold letters are."""


def text_width(text: str) -> float:
    """About how wide a text is at 12 pixels, rather too wide than too narrow."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if letter in "ijlI|.,:;'!()[] ftr":
        return 4.6
    if unicodedata.east_asian_width(letter) in "WF":
        return 12.6
    return 12.0 if letter in "mwMW@%—…" else 8.8 if letter.isupper() else 7.4


def fit(text: str, width: float) -> str:
    """The beginning of a text that is at most this many pixels wide."""
    if text_width(text) <= width:
        return text
    left, kept = width - _letter_width("…"), ""
    for letter in text:
        left -= _letter_width(letter)
        if left < 0:
            break
        kept += letter
    return kept.rstrip() + "…"
