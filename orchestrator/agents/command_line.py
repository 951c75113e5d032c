"""The command line of an agent: what its runtime describes, with the values of one run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.agents import AgentTools

PLACE = re.compile(r"\{([a-z_]+)\}")

SWITCHES = ("safe", "unsafe", "bare", "full")
"""Places for arguments that the runtime itself has; where one is empty, the argument before it stays."""

LISTS = ("allow", "deny")
"""Places for one argument each of a list."""

VALUES = ("model", "session", "budget", "turns", "schema", "schema_file", "prompt_file", "folder")
"""Places for a value."""

PLACES = frozenset((*SWITCHES, *LISTS, *VALUES))

LEAST_BUDGET = 0.01
"""Dollars. Programs refuse a budget of nothing."""

NO_TOOLS = AgentTools()
"""Nothing is said of tools."""


def arguments(
    runtime: AgentRuntime,
    *,
    model: str = "",
    session: str = "",
    resume: bool = False,
    schema: Mapping[str, Any] | None = None,
    schema_file: str = "",
    prompt_file: str = "",
    folder: str = "",
    budget_left: float | None = None,
    turns_left: int | None = None,
    tools: AgentTools = NO_TOOLS,
    unsafe: bool = False,
    bare: bool = True,
) -> tuple[str, ...]:
    """The program and its arguments. The brief is never one of them, for every user of a machine can read arguments.

    Args:
        runtime: The program.
        model: Its model; "": its own choice.
        session: The conversation: the one to go on with, or the name for a new one.
        resume: Go on with that conversation.
        schema: The form of its answer, as JSON Schema.
        schema_file: A file with the same.
        prompt_file: The file with the brief, for programs that read it from one.
        folder: Where it works.
        budget_left: What it may still spend, in dollars; None: no limit.
        turns_left: Requests that it may still make; None: no limit.
        tools: What it may use.
        unsafe: No tool is refused.
        bare: It loads nothing of its user and of the project.

    Example:
        >>> runtime = AgentRuntime(command=["agent", "--model", "{model}", "--id={session}", "-"])
        >>> arguments(runtime, model="small"), arguments(runtime, session="s1")
        (('agent', '--model', 'small', '-'), ('agent', '--id=s1', '-'))
    """
    values = {
        "model": model,
        "session": session,
        "budget": "" if budget_left is None else f"{max(LEAST_BUDGET, budget_left):.4f}",
        "turns": "" if turns_left is None else str(max(1, turns_left)),
        "schema": json.dumps(schema, separators=(",", ":")) if schema else "",
        "schema_file": schema_file,
        "prompt_file": prompt_file,
        "folder": folder,
    }
    lists = {
        "allow": tools.allow,
        "deny": tools.deny,
        "safe": () if unsafe else runtime.safe,
        "unsafe": runtime.unsafe if unsafe else (),
        "bare": runtime.bare if bare else (),
        "full": () if bare else runtime.full,
    }
    template = runtime.resume if resume and runtime.resume else runtime.command
    return tuple(_filled(template, values, lists))


def _filled(
    template: tuple[str, ...], values: Mapping[str, str], lists: Mapping[str, tuple[str, ...]]
) -> list[str]:
    found: list[str] = []
    for before, argument in pairwise(("", *template)):
        filled = _one(argument, values, lists)
        place = PLACE.fullmatch(argument)
        if not filled and place and place[1] not in SWITCHES and _is_option(before):
            found.pop()
        found += filled
    return found


def _is_option(argument: str) -> bool:
    """It is an option that takes the argument after it."""
    return argument.startswith("-") and argument.strip("-") != "" and not PLACE.search(argument)


def _one(argument: str, values: Mapping[str, str], lists: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What becomes of one argument: nothing where a value is empty, several for a list."""
    places = PLACE.findall(argument)
    several = next((name for name in places if name in lists), None)
    if several is not None:
        return [argument.replace(f"{{{several}}}", each) for each in lists[several]]
    if any(values.get(name) == "" for name in places):
        return []
    return [PLACE.sub(lambda found: values.get(found[1], found[0]), argument)]


def unknown_places(runtime: AgentRuntime) -> list[str]:
    """Words in braces that stand for nothing, such as {modell}.

    Example:
        >>> unknown_places(AgentRuntime(command=["agent", "{modell}", '{"a": 1}']))
        ['modell']
    """
    written = (*runtime.command, *(runtime.resume or ()))
    found = [name for argument in written for name in PLACE.findall(argument)]
    return sorted({name for name in found if name not in PLACES})
