"""mcp: the server through which AI agents run features."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli import connection, output
from orchestrator.config.addresses import is_loopback
from orchestrator.model import errors


class Tools(StrEnum):
    """The profiles of the server."""

    CORE = "core"
    READ = "read"
    WORKER = "worker"
    GUIDE = "guide"


def mcp(
    http: Annotated[
        str | None,
        typer.Option(
            "--http", metavar="HOST:PORT", help="Serve over HTTP at this loopback address; else over stdio."
        ),
    ] = None,
    tools: Annotated[
        Tools,
        typer.Option(
            "--tools",
            help="core: to run features; read: what changes nothing; guide: core, and what the guide names; "
            "worker: to do tasks.",
        ),
    ] = Tools.CORE,
) -> None:
    """Let AI agents plan, run, watch and mend features: a server of the Model Context Protocol."""
    try:
        from orchestrator.mcp import server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise errors.NoMcp from None
    with connection.client() as client:
        made = server.make(client, tools.value)
        if http is None:
            made.run("stdio")
            return
        host, port = _loopback(http)
        token = server.token(client.settings)
        output.tell(f"MCP: http://{host}:{port}/mcp, with Authorization: Bearer {token}")
        server.serve(made, host, port, token)


def _loopback(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536 or not is_loopback(host.strip("[]")):
        raise typer.BadParameter(
            f"{address} is no address of this machine alone; write 127.0.0.1:8765", param_hint="--http"
        )
    return host.strip("[]"), int(port)
