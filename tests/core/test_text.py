"""What is left of an output is what a person can read."""

from __future__ import annotations

import pytest

from orchestrator.specialists.text import as_text


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
    ],
)
def test_a_text_is_left_without_what_moves_a_cursor(raw: str, text: str) -> None:
    assert as_text(raw) == text
