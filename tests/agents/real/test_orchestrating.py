"""An agent's real program, and MCP's own inspector, call a real `orchestrator mcp`. The model is a stub."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import BIN as OURS
from tests.acceptance.conftest import PATIENCE, Project, open_project
from tests.agents.real.answers import Answer
from tests.agents.real.needs import real_programs
from tests.agents.real.programs import BIN, CLAUDE, CODEX, GEMINI, OPENCODE, Program
from tests.agents.real.stub import Stub

pytestmark = [*real_programs, pytest.mark.real]

SERVER = {"command": str(OURS / "orchestrator"), "args": ["mcp"]}
TOOL = {"claude": "mcp__orchestrator__status", "codex": "mcp__orchestrator__status"}
TOOL |= {"gemini": "mcp_orchestrator_status", "opencode": "orchestrator_status"}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A project with no feature in it. Its path is short: that of the Redis in it must fit a socket's."""
    with tempfile.TemporaryDirectory(prefix="mcp-") as folder, open_project(Path(folder)) as project:
        yield project


def joined(program: Program, home: Path, project: Project) -> list[str]:
    """Tell a program of the server, in its own way. Returns what is added to its command."""
    started = {**SERVER, "cwd": str(project.folder)}
    if program is CLAUDE:
        return [
            "--mcp-config",
            json.dumps({"mcpServers": {"orchestrator": SERVER}}),
            "--allowedTools",
            TOOL["claude"],
        ]
    if program is CODEX:
        settings = home / ".codex" / "config.toml"
        words = [f"{name} = {json.dumps(value)}" for name, value in started.items()]
        # Required: else its first request goes out before the server has told its tools.
        lines = [
            "[mcp_servers.orchestrator]",
            *words,
            'default_tools_approval_mode = "approve"',
            "required = true",
        ]
        settings.write_text("\n".join([settings.read_text(), *lines, ""]))
        return ["-"]
    file = home / (".gemini/settings.json" if program is GEMINI else "opencode.json")
    known = json.loads(file.read_text())
    if program is GEMINI:
        known["mcpServers"] = {"orchestrator": {**started, "trust": True}}
    else:
        command = [SERVER["command"], *SERVER["args"]]
        known["mcp"] = {"orchestrator": {"type": "local", "command": command, "enabled": True}}
    file.write_text(json.dumps(known))
    return []


@pytest.mark.parametrize("program", [CLAUDE, CODEX, GEMINI, OPENCODE], ids=lambda program: program.name)
def test_its_call_reaches_the_orchestrator_and_the_answer_its_model(
    program: Program, project: Project, tmp_path: Path
) -> None:
    script = [Answer(call=(TOOL[program.name], {})), Answer(text="There is nothing to do.")]
    with Stub(script) as stub:
        environment = program.settle(tmp_path, stub.url)
        added = joined(program, tmp_path, project)
        ended = subprocess.run(
            [*program.launch(), *added],
            cwd=project.folder,
            env={**environment, "NO_COLOR": "1"},
            input="What is going on?",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(stub.asked) == len(script)
    assert stub.asked[-1].says("no features"), ended.stdout


def inspect(project: Project, *arguments: str) -> Any:
    """What MCP's inspector answers, in its command-line mode."""
    server = [str(OURS / "orchestrator"), "mcp"]
    inspector = [str(BIN / "mcp-inspector"), "--cli", "--connect-timeout", "110000"]
    ended = project.run(*inspector, *server, *arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_and_calls_the_tools(project: Project, era: str) -> None:
    speaks = ("--protocol-era", era)
    listed = inspect(project, *speaks, "--strict", "--method", "tools/list")
    assert {tool["name"] for tool in listed["tools"]} >= {"plan", "run", "wait"}
    called = inspect(project, *speaks, "--method", "tools/call", "--tool-name", "status")
    assert called["content"][0]["text"] == "no features"
