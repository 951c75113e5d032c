"""Features as JSON for programs, at `feature://ID`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from orchestrator.client import answers
from orchestrator.client.client import Client
from orchestrator.contract import compact
from orchestrator.mcp import failures
from orchestrator.model import errors

TASKS = 100
"""How many tasks of a feature are in its JSON; those that need a look come first."""


def address(feature: str) -> str:
    """The address of a feature.

    Example:
        >>> address("login-1")
        'feature://login-1'
    """
    return f"feature://{feature}"


def add(server: MCPServer[Any], client: Client) -> None:
    """Let clients read and follow features.

    Args:
        server: Gets the resource.
        client: Of the settings in force.
    """

    @server.resource(
        "feature://{id}",
        name="feature",
        description="A feature as JSON: as `orchestrator status ID --json` writes it",
        mime_type="application/json",
    )
    async def feature(id: str) -> str:
        try:
            return await anyio.to_thread.run_sync(read, client, id)
        except errors.OrchestratorError as error:
            raise ResourceError(failures.as_data(error)) from error

    # The SDK serves the subscriptions of 2026 by itself; for the era before, this is the way that it names.
    low = server._lowlevel_server
    for method, params in (
        ("resources/subscribe", SubscribeRequestParams),
        ("resources/unsubscribe", UnsubscribeRequestParams),
    ):
        low.add_request_handler(method, params, _agree())


def read(client: Client, feature: str) -> str:
    """A feature as JSON.

    Raises:
        NoSuchFeature: There is none of this id.
    """
    return compact.write(compact.select(answers.feature(client, client.feature(feature), limit=TASKS)))


def _agree() -> Callable[[Any, Any], Any]:
    async def agree(_: Any, __: Any) -> EmptyResult:
        return EmptyResult()

    return agree
