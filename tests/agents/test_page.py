"""The program of the page `Use any agent's program` is read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from orchestrator.agents import outcome
from orchestrator.agents.classification import Run, classify
from orchestrator.agents.command_line import arguments
from orchestrator.agents.runtimes import find
from orchestrator.agents.stream import StreamReader
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Completed

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "agent-programs.md").read_text("utf-8")
CONFIGURATIONS = [yaml.safe_load(text) for text in re.findall("```yaml\n(.*?)```", PAGE, re.S)]
(OUTPUT,) = re.findall("```json\n(.*?)```", PAGE, re.S)


def test_the_program_of_the_page() -> None:
    settings = Settings.model_validate(CONFIGURATIONS[0])
    runtime = find("my-agent", settings)
    reader = StreamReader(runtime, model="small")

    shown = [str(news) for line in OUTPUT.splitlines(True) if (news := reader.feed(line.encode()))]
    found = outcome.read(message=reader.seen.text)

    assert arguments(runtime, model="small") == ("my-agent", "run", "--json", "--model", "small")
    assert arguments(runtime) == ("my-agent", "run", "--json")
    assert arguments(runtime, session="t-7", resume=True) == ("my-agent", "resume", "t-7", "--json")
    assert shown == ["turn 2, edit api.py"]
    assert (reader.seen.session, reader.usages[0].input, reader.usages[0].cache_read) == ("t-7", 1_000, 4_000)
    assert classify(reader.seen, 0, None, Run(runtime), found.answer) == Completed(
        summary="The page is there."
    )


def test_the_change_of_a_program_that_ships() -> None:
    settings = Settings.model_validate(CONFIGURATIONS[1])

    claude, shipped = find("claude", settings), find("claude", Settings())

    assert claude.env == {**shipped.env, "CLAUDE_CODE_MAX_RETRIES": "0"}
    assert claude.command == shipped.command
