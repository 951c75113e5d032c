"""The sanitizer leaves of an output what a person can read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.model.sanitizer import as_line, as_text, unwanted


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[1mok\x1b(B\x1b[m done", "ok done"),
        ("\x1b7\x1b[0;23r\x1b8Progress\x1bP1$r0m\x1b\\ end\x1b=", "Progress end"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;no end", "0;no end"),
        ("\x1bcreset", "reset"),
        ("50%\r100%\r\n", "50%\n100%\n"),
        ("a\x1b", "a"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("a\u200eb\u200fc\u061cd\u202ee\u2066f", "abcdef"),
        ("a\u200bb\u2060c\ufeffd\u00ade\u3164f\u180eg", "abcdefg"),
        ("a\u200db\u200cc", "abc"),
        ("a\U000e0061\U000e0062b\U000e0100c", "abc"),
        ("a\ud800b", "ab"),
        # The characters that emoji and scripts need stay
        ("\U0001f469\u200d\U0001f4bb \u2764\ufe0f", "\U0001f469\u200d\U0001f4bb \u2764\ufe0f"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("\U0001f469\u200b\u200d\U0001f4bb", "\U0001f469\U0001f4bb"),
    ],
)
def test_a_text_is_left_without_what_moves_a_cursor(raw: str, text: str) -> None:
    assert as_text(raw) == text


PIECES = [
    "\x1b",
    "\x1b[31m",
    "[",
    "\u200d",
    "\u200c",
    "\u061c",
    "\u202e",
    "\r",
    "\n",
    "\u2028",
    " ",
    "a",
    "\U0001f469",
    "\u0645",
]
nasty = some.lists(some.sampled_from(PIECES) | some.characters()).map("".join)


@given(nasty)
def test_a_text_that_is_plain_stays_as_it_is(raw: str) -> None:
    once = as_text(raw)
    assert as_text(once) == once
    assert unwanted(once, breaks=True) == ""
    assert len(once.splitlines()) <= once.count("\n") + 1


@given(nasty)
def test_a_line_is_one_line(raw: str) -> None:
    line = as_line(raw)
    assert len(line.splitlines()) <= 1
    assert unwanted(line.replace("\t", ""), breaks=False) == ""


@given(nasty)
def test_a_text_is_refused_that_is_not_plain(raw: str) -> None:
    raw = raw.replace("\u2028", "").replace("\u2029", "").replace("\r", "")
    assert bool(unwanted(raw, breaks=True)) is (as_text(raw) != raw)
