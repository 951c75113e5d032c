"""Texts from outside: the characters in them that do more than be read, and texts without these."""

from __future__ import annotations

import re

# ECMA-48, and ECMA-35 for the last: control sequences (colours, cursor moves), control strings (titles, links),
# and all other escape sequences (character sets, modes of the keyboard).
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")

_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
"""Characters that end a line for terminals or `str.splitlines`, beside the line feed."""

_JOINED = "\u0620-\u064a\u066e-\u06d5\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
"""Letters and pictures that a joiner joins or parts: Arabic, Indic, Burmese, Khmer, symbols, emoji."""

# Controls. Marks, embeddings, overrides and isolates of direction (CVE-2021-42574). Characters of no width, and those
# that are ignored if they are not known (Unicode's Default_Ignorable_Code_Point, without those that scripts and emoji
# need): tags and variation selectors can carry whole texts that nobody sees. Half characters, which UTF-8 cannot write.
_UNSEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u00ad\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"
)
_HARMFUL = re.compile(f"[{_UNSEEN}]|(?<![{_JOINED}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}])")


def as_text(raw: str, limit: int | None = None) -> str:
    """A text (its last `limit` characters) that can only be read: each line ends with a line feed, and nothing in it
    colours a terminal, moves its cursor, turns the direction of what follows, or hides.

    Example:
        >>> as_text("\\x1b[31mred\\x1b[0m\\r\\nend\\n")
        'red\\nend\\n'
        >>> as_text("pay\\u202e\\u200b10")
        'pay10'
    """
    is_plain = raw.isascii() and raw.isprintable()
    text = raw if is_plain else _HARMFUL.sub("", _BREAKS.sub("\n", _SEQUENCES.sub("", raw)))
    return text if limit is None else text[-limit:]


def as_line(raw: str) -> str:
    """The same on one line: line breaks, and the space around them, are one space.

    Example:
        >>> as_line("done\\n  [ERROR] not me")
        'done [ERROR] not me'
    """
    return " ".join(filter(None, (line.strip() for line in as_text(raw).splitlines())))


def unwanted(text: str, *, breaks: bool) -> str:
    """The first character of a text that it may not hold, as people write it; "" if there is none.

    Args:
        text: The text.
        breaks: It may have line feeds, carriage returns and tabs.

    Example:
        >>> unwanted("a\\u200bb", breaks=True), unwanted("a\\nb", breaks=True), unwanted("a\\nb", breaks=False)
        ('U+200B', '', 'U+000A')
    """
    if text.isascii() and text.isprintable():
        return ""
    found = _HARMFUL.search(text) or (_NOT_IN_A_TEXT if breaks else _NOT_ON_A_LINE).search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


_NOT_IN_A_TEXT = re.compile("[\x0b\x0c\x85]")
_NOT_ON_A_LINE = re.compile("[\t\n\r\x0b\x0c\x85\u2028\u2029]")
