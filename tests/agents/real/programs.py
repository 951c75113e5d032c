"""The agents' programs: how each is launched, and how it is led to the stub instead of its maker."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = ROOT / "build" / "agent-clis" / "node_modules"
BIN = INSTALLED / ".bin"


@dataclass(frozen=True)
class Program:
    """A program. In its texts `{api}` is the stub's address, `{model}` a model and `{session}` a conversation."""

    name: str
    package: str
    model: str
    command: tuple[str, ...]
    resume: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version that is installed."""
        return str(json.loads((INSTALLED / self.package / "package.json").read_text())["version"])

    def launch(self, session: str = "", *, is_resumed: bool = False) -> list[str]:
        """The command of a new conversation, or of one that goes on."""
        named = {"{model}": self.model, "{session}": session or str(uuid4())}
        return [named.get(word, word) for word in (self.resume if is_resumed else self.command)]

    def settle(self, home: Path, api: str) -> dict[str, str]:
        """Write its settings into a home. Returns the environment that leads it to the stub."""
        for path, text in self.files.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text.replace("{api}", api))
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        led = {
            name: value.replace("{api}", api).replace("{home}", str(home))
            for name, value in self.environment.items()
        }
        return {"HOME": str(home), "PATH": path, **led}


CLAUDE = Program(
    name="claude",
    package="@anthropic-ai/claude-code",
    model="claude-sonnet-5",
    command=(
        *("claude", "--bare", "-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"),
        *("--model", "{model}", "--session-id", "{session}"),
    ),
    resume=(
        *("claude", "--bare", "-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"),
        *("--model", "{model}", "--resume", "{session}"),
    ),
    environment={
        "ANTHROPIC_BASE_URL": "{api}",
        "ANTHROPIC_API_KEY": "no-key",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "MCP_CONNECTION_NONBLOCKING": "0",  # else its first request knows no tools of MCP servers
    },
)

CODEX = Program(
    name="codex",
    package="@openai/codex",
    model="gpt-5",
    command=("codex", "exec", "--json", "--skip-git-repo-check", "-m", "{model}", "-s", "workspace-write"),
    resume=(
        *("codex", "exec", "resume", "{session}", "--json", "--skip-git-repo-check", "-m", "{model}"),
        *("-c", 'sandbox_mode="workspace-write"'),
    ),
    environment={"CODEX_API_KEY": "no-key"},
    files={
        ".codex/config.toml": 'openai_base_url = "{api}/v1"\n',
    },
)

GEMINI = Program(
    name="gemini",
    package="@google/gemini-cli",
    model="gemini-2.5-flash",
    command=(
        *("gemini", "-o", "stream-json", "--approval-mode", "auto_edit", "--skip-trust"),
        *("-m", "{model}", "--session-id", "{session}"),
    ),
    resume=(
        *("gemini", "-o", "stream-json", "--approval-mode", "auto_edit", "--skip-trust"),
        *("-m", "{model}", "--resume", "{session}"),
    ),
    environment={"GOOGLE_GEMINI_BASE_URL": "{api}", "GEMINI_API_KEY": "no-key"},
    # With another address it would look for a gateway's login. It tries ten times, and waits longer each time.
    files={
        ".gemini/settings.json": json.dumps(
            {"general": {"maxAttempts": 1}, "security": {"auth": {"selectedType": "gemini-api-key"}}}
        )
    },
)

OPENCODE = Program(
    name="opencode",
    package="opencode-ai",
    model="anthropic/claude-sonnet-5",
    command=("opencode", "run", "--format", "json", "-m", "{model}"),
    resume=("opencode", "run", "--format", "json", "-m", "{model}", "-s", "{session}"),
    environment={"ANTHROPIC_API_KEY": "no-key", "OPENCODE_CONFIG": "{home}/opencode.json"},
    files={"opencode.json": json.dumps({"provider": {"anthropic": {"options": {"baseURL": "{api}/v1"}}}})},
)

PROGRAMS = {program.name: program for program in (CLAUDE, CODEX, GEMINI, OPENCODE)}
