"""The server: which tools a profile has, and how clients reach it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool

from orchestrator.mcp import prompts, resources
from orchestrator.mcp.deciding import Deciding
from orchestrator.mcp.guide import Guide
from orchestrator.mcp.reading import Reading
from orchestrator.mcp.running import Running
from orchestrator.mcp.toolbox import tool
from orchestrator.mcp.working import Working

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from orchestrator.client.client import Client
    from orchestrator.config.settings import Settings

Profile = Literal["core", "read", "worker", "guide"]

INSTRUCTIONS = (
    "Runs features: tasks with dependencies, done by specialists. plan, then run, then wait until it is over; "
    "decide when a task stops."
)


WORKERS = (
    "Gives tasks to agents. claim, do what the brief says, report progress meanwhile, then the outcome; again until "
    "there is none."
)


def make(client: Client, profile: Profile = "core") -> MCPServer[Any]:
    """A server with the tools of a profile.

    Args:
        client: Of the settings in force.
        profile: core: what an agent needs that runs features; read: of these what changes nothing; guide: these and the
            guide's; worker: for an agent that does tasks.

    Example:
        async with mcp.Client(make(client)) as agent:
            print(await agent.call_tool("status"))
    """
    if profile == "worker":
        working = Working(client)
        return _server([tool(working.claim, writes=True), tool(working.report, writes=True)], WORKERS)
    reading, running, deciding = Reading(client), Running(client), Deciding(client)
    reads: list[Callable[..., str]] = [
        reading.status,
        reading.task,
        reading.explain,
        reading.recommend_agent,
        reading.usage,
        running.wait,
    ]
    writes: list[Callable[..., str]] = [running.plan, running.run, running.grow]
    if profile == "guide":
        guide = Guide(client, reading)
        reads += [guide.query_container, guide.query_dependencies]
    tools = [tool(method, writes=False) for method in reads]
    if profile != "read":
        tools += [tool(method, writes=True) for method in writes]
        tools.append(tool(deciding.steer, writes=True, fills={"approval": deciding.ask_about_feature}))
        tools.append(tool(deciding.decide, writes=True, fills={"approval": deciding.ask_about_task}))
    server = _server(tools, INSTRUCTIONS)
    resources.add(server, client)
    prompts.add(server, reading)
    return server


def _server(tools: list[Tool], instructions: str) -> MCPServer[Any]:
    from orchestrator import __version__

    return MCPServer[Any](
        "task-orchestrator", version=__version__, instructions=instructions, tools=tools, log_level="WARNING"
    )


def web_app(server: MCPServer[Any], token: str) -> Starlette:
    """The server over HTTP, for who has the token.

    Args:
        server: As `make` made it.
        token: The token that requests must send as `Authorization: Bearer …`.
    """
    from starlette.middleware import Middleware

    app = server.streamable_http_app()
    app.user_middleware.insert(0, Middleware(_OnlyWithToken, token=token))
    return app


def token(settings: Settings) -> str:
    """The token that clients send: as configured, else a new one."""
    return settings.mcp.token.get_secret_value() if settings.mcp.token else secrets.token_urlsafe(24)


def serve(server: MCPServer[Any], host: str, port: int, token: str) -> None:
    """Serve over HTTP until Ctrl-C.

    Args:
        server: As `make` made it.
        host, port: A loopback address.
        token: The token of the clients.
    """
    import uvicorn

    uvicorn.run(web_app(server, token), host=host, port=port, log_level="warning")


class _OnlyWithToken:
    def __init__(self, app: Callable[..., Any], token: str) -> None:
        self.app = app
        self.expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "lifespan" or secrets.compare_digest(given, self.expected):
            await self.app(scope, receive, send)
            return
        from starlette.responses import PlainTextResponse

        text = "Send the token that `orchestrator mcp --http` printed, as Authorization: Bearer TOKEN.\n"
        answer = PlainTextResponse(text, 401, {"www-authenticate": "Bearer"})
        await answer(dict(scope), receive, send)
