"""A tool as the SDK has it, from a method: a short schema, errors as data, and the caller's name on what it decides."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Resolve
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations
from pydantic import ValidationError

from orchestrator.mcp import failures
from orchestrator.mcp.caller import Caller
from orchestrator.model import errors
from orchestrator.state.actor import acting

CONTEXT = "context"
"""The parameter that the SDK fills, and no caller sees."""

CALLER = "caller"
"""The parameter that a method has if it speaks to its caller while it runs; no caller sees it."""


class _Tool(Tool):
    """A tool that says what is wrong with its arguments as it says each error: as data."""

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                said = failures.of_arguments(error.__cause__)
                raise ToolError(f"Error executing tool {self.name}: {said}") from error
            raise


def tool(
    method: Callable[..., str], *, writes: bool, fills: Mapping[str, Callable[..., Any]] | None = None
) -> Tool:
    """Make a tool of a method: its name, its docstring and its parameters are what the agent reads.

    Args:
        method: Called in a thread. Its docstring is the description.
        writes: It changes something.
        fills: Parameters that no caller sees, each with what fills it: it may ask the person at the client.
    """

    async def run(**given: Any) -> str:
        caller = Caller(given.pop(CONTEXT))
        if speaks:
            given[CALLER] = caller
        answer = await anyio.to_thread.run_sync(functools.partial(_call, method, caller.name, given))
        feature = given.get("feature")
        if writes and isinstance(feature, str) and feature:
            caller.changed(feature)
        await caller.announce()
        return answer

    known = inspect.signature(method, eval_str=True).parameters
    speaks = CALLER in known
    own = [
        one.replace(annotation=Annotated[one.annotation, Resolve(fills[one.name])])
        if fills and one.name in fills
        else one
        for one in known.values()
        if one.name != CALLER
    ]
    added = inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=Context[Any, Any])
    typed: Any = run  # functions have these attributes, which their type does not show; the SDK reads them
    typed.__signature__ = inspect.Signature([*own, added], return_annotation=str)
    typed.__annotations__ = {**{one.name: one.annotation for one in (*own, added)}, "return": str}
    made = _Tool.from_function(
        run,
        name=method.__name__,
        description=" ".join(inspect.cleandoc(method.__doc__ or "").split()),
        annotations=None if writes else ToolAnnotations(read_only_hint=True),
        structured_output=False,  # else every result is sent twice
    )
    made.parameters = without_titles(made.parameters)
    return made


def _call(method: Callable[..., str], who: str, given: dict[str, Any]) -> str:
    try:
        with acting(who):
            return method(**given)
    except errors.OrchestratorError as error:
        raise ToolError(failures.as_data(error)) from error
    except ValidationError as error:
        raise ToolError(failures.of_arguments(error)) from error


def without_titles(schema: Any) -> Any:
    """A JSON schema without the titles that pydantic makes of names, which say nothing and cost a third of all tokens.

    Example:
        >>> without_titles({"title": "Id", "type": "object", "properties": {"title": {"title": "Title"}}})
        {'type': 'object', 'properties': {'title': {}}}
    """
    if isinstance(schema, list):
        return [without_titles(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    named = {
        name: {own: without_titles(inner) for own, inner in part.items()}
        for name, part in schema.items()
        if name in ("properties", "$defs") and isinstance(part, dict)
    }
    return {
        name: named.get(name) or without_titles(part)
        for name, part in schema.items()
        if not (name == "title" and isinstance(part, str))
    }
