"""The prompts that people choose in their client: plan a feature, get one going again."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from mcp.server.mcpserver import MCPServer

from orchestrator.mcp import failures
from orchestrator.mcp.reading import Reading
from orchestrator.model import errors

PLAN = """\
Divide this into a feature of tasks: {goal}

Each task has an id (T1, T2, …), a title, a description that a stranger can work from, tags, and depends_on: only
the tasks whose results it needs, so that the others run beside it. Specialists by tag: {tags}.
Call plan. Mend what it refuses. Show me its batches, and call run once I agree; then wait until it is over."""

UNBLOCK = """\
Get feature {feature} going again. It stands so:

{explained}

For each task that stopped, read task(part=log), and remove the cause if you can. Then decide: retry or unblock, with
a note that says what has changed. Ask me where a person has to decide."""


def add(server: MCPServer[Any], reading: Reading) -> None:
    """Give a server its prompts.

    Args:
        server: Gets them.
        reading: Says where features stand.
    """

    @server.prompt(description="Divide a goal into tasks, and run them")
    def plan_feature(goal: str) -> str:
        mapping = reading.client.settings.specialist_routing.mapping
        tags = ", ".join(f"{tag} → {name}" for tag, name in mapping.items())
        return PLAN.format(goal=goal, tags=tags)

    @server.prompt(description="Get a feature going again that stands still")
    async def unblock(feature: str) -> str:
        try:
            explained = await anyio.to_thread.run_sync(reading.explain, feature)
        except errors.OrchestratorError as error:
            explained = failures.as_data(error)
        return UNBLOCK.format(feature=feature, explained=explained)
