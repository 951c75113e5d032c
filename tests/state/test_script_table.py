"""The page on the scripts says what they do now."""

from __future__ import annotations

from pathlib import Path

from tests.state import script_table

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "scripts.md"


def test_the_page_is_as_the_scripts_are() -> None:
    assert PAGE.read_text("utf-8") == script_table.page(), "write it: make scripts"


def test_reads_and_writes_are_told_apart() -> None:
    reads, writes = script_table.touched("renew")
    assert (reads, writes) == ({"states", "slots", "meta"}, {"slots"})
