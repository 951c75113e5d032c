"""The transcript of a whole run in docs/how-to/agents.md: `python -m tests.mcp.transcript` writes it again.

What differs from run to run (the id of the feature, cursors, paths) is replaced before tokens are counted.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client as Session

from orchestrator.mcp import server
from orchestrator.testing import InProcessClient, in_memory, open_client
from tests.mcp.conftest import settings
from tests.tokens import tokens

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "agents.md"
FROM, TO = "<!-- transcript -->\n", "<!-- end of the transcript -->\n"

TITLES = ["Schema", "Model", "API", "Form", "Mail", "Session", "Limits", "Audit", "Docs", "Release"]


def feature() -> dict[str, Any]:
    """Ten tasks: one, eight beside each other, one."""
    tasks: list[dict[str, Any]] = [
        {"id": f"T{number}", "title": title, "tags": ["build"]}
        for number, title in enumerate(TITLES, start=1)
    ]
    for task in tasks[1:9]:
        task["depends_on"] = ["T1"]
    tasks[9]["depends_on"] = [task["id"] for task in tasks[1:9]]
    return {"title": "Login", "tasks": tasks}


async def play(client: InProcessClient) -> list[tuple[str, str]]:
    """Run the feature as an agent does: each call as JSON, and what it answered."""
    played: list[tuple[str, str]] = []
    async with Session(server.make(client)) as session:

        async def call(tool: str, **given: Any) -> str:
            answer = await session.call_tool(tool, given)
            text: str = answer.content[0].text  # type: ignore[union-attr]
            assert not answer.is_error, text
            played.append((f"{tool} {json.dumps(given, separators=(',', ':'))}", text))
            return text

        plan = await call("plan", feature=feature())
        made = await call("run", plan=plan.split()[1].rstrip(":"))
        client.feature(made).wait()
        told = await call("wait", feature=made)
        await call("task", feature=made, task="T3", part="log", chars=44)
        await call("decide", feature=made, task="T3", action="retry")
        await call("decide", feature=made, task="T7", action="retry")
        client.feature(made).wait()
        await call("wait", feature=made, since=told.split()[-1])
    words = [
        (made, "login-1"),
        (r"\b\d{13}-\d+\b", "1-0"),
        (r"\d+ characters before", "400 characters before"),
    ]
    for pattern, word in words:
        played = [(re.sub(pattern, word, asked), re.sub(pattern, word, said)) for asked, said in played]
    return played


def written(played: list[tuple[str, str]]) -> str:
    """The transcript as the page has it, with the tokens of each call and answer, and their sum."""
    lines = ["```text"]
    for asked, said in played:
        lines += [f"→ {asked}   [{tokens(asked)}]", *(f"  {line}" for line in said.splitlines())]
        lines[-1] += f"   [{tokens(said)}]"
    total = sum(tokens(text) for turn in played for text in turn)
    return "\n".join([*lines, "```", "", f"In all {total:,} tokens."]) + "\n"


def make() -> str:
    """The transcript of a new run."""
    with (
        tempfile.TemporaryDirectory() as logs,
        open_client(in_memory(settings(), logs=Path(logs))) as client,
    ):
        return written(anyio.run(play, client))


def of_page() -> str:
    """The transcript that the page has."""
    return PAGE.read_text("utf-8").partition(FROM)[2].partition(TO)[0]


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    head, _, rest = page.partition(FROM)
    PAGE.write_text(f"{head}{FROM}{make()}{TO}{rest.partition(TO)[2]}", "utf-8")
    sys.stdout.write(f"{PAGE} is written\n")
