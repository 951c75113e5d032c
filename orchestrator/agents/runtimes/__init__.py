"""The programs of agents: those that ship, as files beside this one, and those of the configuration over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.agents.command_line import PLACES, unknown_places
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.agents import OWN_RUNTIMES, SHIPPED_RUNTIMES
from orchestrator.config.yaml_loader import load_yaml
from orchestrator.model import errors, words

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings


def find(name: str, settings: Settings) -> AgentRuntime:
    """The description of an agent's program: the configuration's, laid over the one of the same name that ships.

    Raises:
        NoSuchRuntime: There is none of that name.
        BadRuntime: Its description has a mistake.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> find("claude", Settings()).command[0]
        'claude'
        >>> find("claude", Settings(agent_runtimes={"claude": {"pass_env": []}})).pass_env
        ()
    """
    if name not in SHIPPED_RUNTIMES and name not in settings.agent_runtimes:
        raise errors.NoSuchRuntime(name=name, near=words.did_you_mean(name, known(settings.agent_runtimes)))
    try:
        return AgentRuntime.model_validate(_whole(name, settings.agent_runtimes.get(name)))
    except ValidationError as error:
        lines = [
            f"agent_runtimes.{name}.{'.'.join(map(str, line['loc']))}: {line['msg']}"
            for line in error.errors(include_url=False)
        ]
        raise errors.BadRuntime(name=name, mistakes="; ".join(lines)) from None


def known(own: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that the runtime of an agent may have, where these are the configuration's own."""
    return tuple(dict.fromkeys((*SHIPPED_RUNTIMES, *OWN_RUNTIMES, *own)))


def mistakes(own: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], ErrorDetails | str, Any]]:
    """What is wrong with the configuration's own descriptions.

    Returns:
        For each mistake its path, what is wrong (as pydantic says it, or in words), and the value.
    """
    for name, given in own.items():
        if name in OWN_RUNTIMES:
            yield (name,), "is no program, and so has no description; choose another name", name
            continue
        try:
            runtime = AgentRuntime.model_validate(_whole(name, given))
        except ValidationError as error:
            for line in error.errors(include_url=False):
                yield (name, *map(str, line["loc"])), line, line["input"]
            continue
        for place in unknown_places(runtime):
            near = words.did_you_mean(place, sorted(PLACES))
            yield (name, "command"), f"nothing is put in place of {{{place}}}{near}", place


@cache
def shipped(name: str) -> Mapping[str, Any]:
    """The description of a program as it ships."""
    text = files(__package__).joinpath(f"{name}.yaml").read_text("utf-8")
    found: Mapping[str, Any] = load_yaml(text)
    return found


def _whole(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """A description over the one that ships; of sections in it, what is given goes before, setting by setting."""
    if name not in SHIPPED_RUNTIMES:
        return dict(given or {})
    below = shipped(name)
    sections = {
        key: {**below[key], **value}
        for key, value in (given or {}).items()
        if key in ("usage", "env", "exit_codes", "final")
        and isinstance(value, Mapping)
        and isinstance(below.get(key), Mapping)
    }
    return {**below, **(given or {}), **sections}
