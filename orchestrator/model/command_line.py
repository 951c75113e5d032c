"""A command written as one text: splits it into arguments, if a shell would read the same ones."""

from __future__ import annotations

import json
import re
import shlex

LONGEST_SHOWN = 200
"""The longest text that is shown rewritten in both ways; a longer one would hide the mistake."""

_OPERATORS = re.compile(r"[|&;<>()]+")
_GLOBS = "*?["
_EXPANDS = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9{(\[@*#?$!-])", re.ASCII)
_BRACES = re.compile(r"\{[^\s{}'\"]*(?:,|\.\.)[^\s{}'\"]*\}")
_ASSIGNS = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)
_WORDS = frozenset(
    [
        ".",
        ":",
        "!",
        "[[",
        "{",
        "alias",
        "bg",
        "builtin",
        "case",
        "cd",
        "coproc",
        "declare",
        "eval",
        "exec",
        "exit",
        "export",
        "fg",
        "for",
        "function",
        "getopts",
        "hash",
        "if",
        "jobs",
        "let",
        "local",
        "pushd",
        "popd",
        "read",
        "readonly",
        "return",
        "select",
        "set",
        "shift",
        "shopt",
        "source",
        "times",
        "trap",
        "type",
        "typeset",
        "ulimit",
        "umask",
        "unalias",
        "unset",
        "until",
        "wait",
        "while",
    ]
)
"""Commands that a shell does itself: there is no program of that name, or one that changes nothing."""


def split(text: str) -> list[str]:
    """The arguments that a text stands for.

    Raises:
        ValueError: A quote or a backslash is without its other half, or a shell would read it differently; the message
            shows the two ways to write what is meant.

    Example:
        >>> split('pytest -q "tests/a b"')
        ['pytest', '-q', 'tests/a b']
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("has a quote or backslash without its other half; write both, or a list") from None
    found = _only_a_shell_reads(text.strip())
    if found is None and words and (words[0] in _WORDS or _ASSIGNS.match(words[0])):
        found = words[0]
    if found is not None:
        raise ValueError(_two_ways(text.strip(), words, found))
    return words


def _only_a_shell_reads(text: str) -> str | None:
    """The first part of the text that says something to a shell beyond where words begin and end."""
    quote = ""
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "\n" and not quote:
            return sign
        if sign == "\\" and quote != "'":
            # In double quotes shlex keeps the backslash before these, and a shell does not.
            if text[at + 1 : at + 2] == "\n" or (quote and text[at + 1 : at + 2] in ("$", "`")):
                return text[at : at + 2]
            at += 2
            continue
        if not quote and text[at : at + 2] in ("$'", '$"'):
            return text[at : at + 2]
        if quote and sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
        elif (quote != "'" and (found := _expansion(text, at))) or (
            not quote and (found := _syntax(text, at))
        ):
            return found
        at += 1
    return None


def _expansion(text: str, at: int) -> str | None:
    if text[at] == "`":
        return "`"
    found = _EXPANDS.match(text, at)
    return found[0] if found else None


def _syntax(text: str, at: int) -> str | None:
    sign = text[at]
    begins = at == 0 or text[at - 1].isspace()
    if sign in _GLOBS or (begins and sign in "~#"):
        return sign
    found = _OPERATORS.match(text, at) or _BRACES.match(text, at)
    return found[0] if found else None


def _two_ways(text: str, words: list[str], found: str) -> str:
    shown = "a second line" if found in ("\n", "\\\n") else found
    as_list, as_line = "[program, argument]", '[sh, -c, "…"]'
    if len(text) <= LONGEST_SHOWN and found not in ("\n", "\\\n"):
        as_list = f"[{', '.join(map(_quoted, words))}]"
    if len(text) <= LONGEST_SHOWN:
        as_line = f"[sh, -c, {_in_quotes(text)}]"
    return (
        f"has {shown}, which means something to a shell, and no shell reads it; "
        f"write a list, where it is plain text: {as_list}, or a line for a shell: {as_line}"
    )


def _quoted(word: str) -> str:
    """An entry of a YAML list, in quotes if YAML would read it as something else."""
    is_plain = re.fullmatch(r"[A-Za-z_./][\w./+-]*", word, re.ASCII) and word.lower() not in _NOT_TEXT
    return word if is_plain else _in_quotes(word)


def _in_quotes(text: str) -> str:
    """With what cannot be seen escaped, as YAML and JSON both read it."""
    return "".join(
        sign if sign.isprintable() else json.dumps(sign)[1:-1]
        for sign in json.dumps(text, ensure_ascii=False)
    )


_NOT_TEXT = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
