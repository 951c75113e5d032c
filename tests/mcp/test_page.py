"""The examples that are ready to copy, and the page about them, are true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from tests.mcp import transcript
from tests.mcp.test_tokens import WHOLE_RUN
from tests.pages import blocks
from tests.tokens import tokens

EXAMPLES = Path(__file__).parents[2] / "examples" / "agents"


@pytest.mark.parametrize("name", transcript.PLAYS)
def test_the_transcripts_of_the_page_are_those_of_runs(name: str) -> None:
    """`python -m tests.mcp.transcript` writes them again."""
    assert transcript.of_page(name) == transcript.make(name) != ""


def test_the_whole_run_of_the_page_is_cheap() -> None:
    total = transcript.of_page().rpartition("In all ")[2].partition(" tokens")[0]
    assert 0 < int(total.replace(",", "")) <= WHOLE_RUN


def test_the_skill_is_short() -> None:
    assert tokens((EXAMPLES / "SKILL.md").read_text("utf-8")) < 400


def test_the_configuration_of_the_page_is_that_of_the_example() -> None:
    (shown,) = (text for language, text in blocks(transcript.PAGE) if language == "json")
    assert json.loads(shown) == json.loads((EXAMPLES / ".mcp.json").read_text("utf-8"))
