"""The transcripts in docs/how-to/agents.md: `python -m tests.mcp.transcript` writes them again.

What differs from run to run (the id of the feature, cursors, paths, the ends of claims) is replaced before tokens are
counted.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client as Session

from orchestrator.config.settings import Settings
from orchestrator.mcp import server
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from orchestrator.testing import InProcessClient, in_memory, open_client
from tests.mcp.conftest import settings, with_agents
from tests.tokens import tokens

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "agents.md"
ENDS = "<!-- end of the {name} -->\n"

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


Played = list[tuple[str, str]]
"""Each call as JSON, and what it answered."""


class Player:
    """An agent whose calls are kept."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.played: Played = []

    async def __call__(self, tool: str, **given: Any) -> str:
        answer = await self.session.call_tool(tool, given)
        text: str = answer.content[0].text  # type: ignore[union-attr]
        self.played.append((f"{tool} {json.dumps(given, separators=(',', ':'))}", text))
        return text


async def run(client: InProcessClient) -> Played:
    """Run a feature as an agent does."""
    async with Session(server.make(client)) as session:
        call = Player(session)
        plan = await call("plan", feature=feature())
        made = await call("run", plan=plan.split()[1].rstrip(":"))
        client.feature(made).wait()
        told = await call("wait", feature=made)
        await call("task", feature=made, task="T3", part="log", chars=44)
        await call("decide", feature=made, task="T3", action="retry")
        await call("decide", feature=made, task="T7", action="retry")
        client.feature(made).wait()
        await call("wait", feature=made, since=told.split()[-1])
    return call.played


async def work(client: InProcessClient) -> Played:
    """Do tasks as an agent does."""
    client.enqueue(
        Feature(
            id="login-1",
            title="Login",
            tasks=[
                Task(id="T1", title="Build the form", tags=["build"]),
                Task(
                    id="T2",
                    title="Review the form",
                    description="Look for missing checks of what people type.",
                    specialist="reviewer",
                    depends_on=["T1"],
                ),
            ],
        )
    )
    client.step()
    async with Session(server.make(client, "worker")) as session:
        call = Player(session)
        claim = (await call("claim", wait=0)).split()[1].rstrip(",")
        await call("report", claim=claim, progress="reading form.py", percent=40)
        done = {"status": "completed", "summary": "two checks added", "handoff": "validate() is in form.py"}
        await call("report", claim=claim, outcome=done)
        await call("report", claim=claim, progress="one more look")
        await call("claim", wait=0)
    return call.played


WORDS = [
    (r"\b(login-)[0-9a-f]{6}\b", r"\g<1>1"),
    (r"\b\d{13}-\d+\b", "1-0"),
    (r"\d+ characters before", "400 characters before"),
    (r"(:T2:1):[0-9a-f]{12}", r"\1:0f3a9c5e71d2"),
]
"""What differs from run to run, and what stands for it."""


def written(played: Played) -> str:
    """A transcript as the page has it, with the tokens of each call and answer, and their sum."""
    for pattern, word in WORDS:
        played = [(re.sub(pattern, word, asked), re.sub(pattern, word, said)) for asked, said in played]
    fence = "````" if any("```" in said for _, said in played) else "```"
    lines = [f"{fence}text"]
    for asked, said in played:
        lines += [f"→ {asked}   [{tokens(asked)}]", *(f"  {line}" for line in said.splitlines())]
        lines[-1] += f"   [{tokens(said)}]"
    total = sum(tokens(text) for turn in played for text in turn)
    return "\n".join([*lines, fence, "", f"In all {total:,} tokens."]) + "\n"


PLAYS: dict[str, tuple[Callable[[InProcessClient], Awaitable[Played]], Callable[[], Settings]]] = {
    "transcript": (run, settings),
    "transcript of a claim": (work, with_agents),
}
"""The transcripts of the page, by their names there."""


def make(name: str = "transcript") -> str:
    """The transcript of a new run."""
    play, of = PLAYS[name]
    with tempfile.TemporaryDirectory() as logs, open_client(in_memory(of(), logs=Path(logs))) as client:
        return written(anyio.run(play, client))


def of_page(name: str = "transcript") -> str:
    """The transcript that the page has."""
    return PAGE.read_text("utf-8").partition(f"<!-- {name} -->\n")[2].partition(ENDS.format(name=name))[0]


if __name__ == "__main__":
    for each in PLAYS:
        page = PAGE.read_text("utf-8")
        head, begins, rest = page.partition(f"<!-- {each} -->\n")
        _, ends, rest = rest.partition(ENDS.format(name=each))
        PAGE.write_text(f"{head}{begins}{make(each)}{ends}{rest}", "utf-8")
    sys.stdout.write(f"{PAGE} is written\n")
