"""Markdown: tables, sentences, code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

GENERATED = "<!-- `make reference` writes this page. -->"


def head(title: str, about: str) -> list[str]:
    """The first lines of a page."""
    return [GENERATED, "", f"# {title}", "", about]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table, with an empty line before it.

    Example:
        >>> table(["name", "value"], [["a|b", "1"]])
        ['', '| name | value |', '|---|---|', '| a\\\\|b | 1 |']
    """
    lines = [columns, *rows]
    shown = [f"| {' | '.join(_cell(text) for text in line)} |" for line in lines]
    return ["", shown[0], "|" + "---|" * len(columns), *shown[1:]]


def code(text: str) -> str:
    """A text as code; nothing where it is empty."""
    return f"`{text}`" if text else ""


def sentence(text: str | None) -> str:
    """A text that begins with a capital letter and ends with a full stop.

    Example:
        >>> sentence("how many there are")
        'How many there are.'
    """
    if not text:
        return ""
    text = " ".join(text.split())
    first = text if re.match(r"\w*[_.`]\w", text) else text[0].upper() + text[1:]
    return first if first.endswith((".", "?", "!")) else f"{first}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()
