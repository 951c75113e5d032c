"""What real programs printed (tests/agents/streams), and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.agents import outcome
from orchestrator.agents.classification import Run, Stopped, classify
from orchestrator.agents.runtimes import find
from orchestrator.agents.stream import StreamReader
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Outcome
from orchestrator.model.usage import Usage

FOLDER = Path(__file__).parent / "streams"
NOW = 1_767_225_600.0
"""The moment at which they are read: the first of January 2026."""


@dataclass(frozen=True)
class Recording:
    """One run of a real program against a stub of its model.

    Args:
        name: The program and the case, such as claude-budget.
        facts: How it was run, how it ended, and the usage that the stub sent.
        output: What it printed.
    """

    name: str
    facts: Mapping[str, Any]
    output: bytes

    @property
    def runtime(self) -> AgentRuntime:
        """How its program is described."""
        return find(self.facts["runtime"], Settings())

    def read(self, baseline: Usage | None = None, times: int = 1) -> StreamReader:
        """A reader that has read all of it."""
        reader = StreamReader(self.runtime, baseline, model=self.model)
        for _ in range(times):
            reader.feed(self.output)
        reader.close()
        for line in self.facts["stderr"].encode().splitlines():
            reader.note(line)
        return reader

    @property
    def model(self) -> str:
        """The model that it was told to use."""
        command = self.facts["command"]
        option = next((name for name in ("--model", "-m") if name in command), None)
        return command[command.index(option) + 1] if option else ""

    def outcome(self, stopped: Stopped | None = None) -> Outcome | None:
        """What the run amounts to."""
        reader = self.read()
        found = outcome.read(structured=reader.seen.structured, message=reader.seen.text)
        run = Run(self.runtime, self.facts["runtime"], "coder", self.model, now=NOW)
        return classify(reader.seen, self.facts["exit"], stopped, run, found.answer)


def recording(name: str) -> Recording:
    """The recording of a program and a case."""
    facts = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return Recording(name, facts, (FOLDER / f"{name}.jsonl").read_bytes())


def names(program: str = "") -> list[str]:
    """The names of all recordings, or of those of a program."""
    return sorted(file.stem for file in FOLDER.glob(f"{program}*.yaml"))
