"""The caller of a tool: it hears of progress while the tool runs, and of changes after it."""

from __future__ import annotations

from typing import Any

import anyio.from_thread
from mcp.server.mcpserver import Context
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.mcp import resources


class Caller:
    """The client of one call. A tool runs in a thread; what it says here goes out at once, or when it ends.

    Args:
        context: Of the call.

    Example:
        def wait(self, feature: str, caller: Caller) -> str:
            caller.progress(10, 50, "login-1: batch 2 of 3")
            caller.changed("login-1")
    """

    def __init__(self, context: Context[Any, Any]) -> None:
        self.context = context
        self.touched: set[str] = set()
        """The features that the call has changed, or seen changed."""

    @property
    def name(self) -> str:
        """The name of the client, as events have it: "mcp claude-code 2.1"."""
        found = self._info
        return f"mcp {found.name} {found.version}".strip() if found else "mcp"

    @property
    def client(self) -> str:
        """The name of the client alone: "claude-code"; "" if it says none."""
        return str(self._info.name) if self._info else ""

    @property
    def _info(self) -> Any:
        return getattr(getattr(self.context.session, "client_params", None), "client_info", None)

    def progress(self, seconds: float, most: float, said: str) -> None:
        """Say how a long call stands. A client that did not ask for it is sent nothing.

        Args:
            seconds: How long the call has run.
            most: How long it runs at most, in seconds.
            said: A line.
        """
        anyio.from_thread.run(self.context.report_progress, seconds, most, said)

    def changed(self, feature: str) -> None:
        """Remember that a feature has changed: its subscribers get a notification when the call ends."""
        self.touched.add(feature)

    async def announce(self) -> None:
        """Tell those who follow the features that changed: listeners of 2026, and a caller of the era before."""
        for feature in sorted(self.touched):
            address = resources.address(feature)
            await self.context.notify_resource_updated(address)
            if self.context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
                await self.context.session.send_resource_updated(address)
