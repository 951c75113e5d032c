"""Other ways to write a setting, as the reference configuration does. Each becomes the one way that the sections have.

It happens to what one source says (the file, the environment), before the sources are laid over each other: so a
variable goes before the file, however either of them is spelt.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NAME_PATTERN = r"^[a-z0-9][a-z0-9\-]{0,62}$"

ROUTING: Mapping[str, str] = {"fallback_behavior": "fallback", "default_specialist": "default"}
SPECIALIST: Mapping[str, str] = {"rate_limit": "rate"}
"""Other names of settings, each with its own name."""

STAGES = ("testing", "completion")


def usual(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a source, under the names that the sections have. A value that is no mapping stays as it is.

    Example:
        >>> usual({"specialist_routing": {"fallback_behavior": "ask_user"}})
        {'specialist_routing': {'fallback': 'ask_user'}}
    """
    found = dict(given)
    ways: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "specialist_routing": lambda section: renamed(section, ROUTING),
        "specialists": _specialists,
        "quality_gates": _gates,
    }
    for section, way in ways.items():
        if isinstance(given.get(section), Mapping):
            found[section] = way(given[section])
    return found


def renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a section by their own names. One that has two values keeps both names (see `by_one_name`)."""
    found = dict(given)
    for other, name in names.items():
        if other in found and found.get(name) in (None, found[other]):
            found[name] = found.pop(other)
    return found


def by_one_name(given: Any, names: Mapping[str, str]) -> Any:
    """As `renamed`.

    Raises:
        ValueError: A setting has two values, under two names.

    Example:
        >>> by_one_name({"rate_limit": "2/m"}, SPECIALIST)
        {'rate': '2/m'}
    """
    if not isinstance(given, Mapping):
        return given
    found = renamed(given, names)
    for other, name in names.items():
        if other in found:
            raise ValueError(f"has both {name} and {other}, which mean the same; keep one of them")
    return found


def as_list(gates: Any) -> Any:
    """The gates of a stage as a list: one gate may be written alone."""
    return [gates] if isinstance(gates, Mapping) else gates


@functools.lru_cache(maxsize=256)  # every attempt asks
def default_title(name: str) -> str:
    """How people read the name of a specialist that has no title.

    Example:
        >>> default_title("senior-engineer")
        'Senior Engineer'
    """
    return name.replace("-", " ").title()


def find(wanted: str, titles: Mapping[str, str]) -> str | None:
    """The specialist of that name, else of that title, in small or capital letters; `titles` are by name.

    Example:
        >>> find("Code reviewer", {"reviewer": "Code Reviewer"})
        'reviewer'
    """
    folded = wanted.strip().casefold()
    if folded in titles:
        return folded
    return next((name for name, title in titles.items() if title.casefold() == folded), None)


def titles(specialists: Mapping[str, Any]) -> dict[str, str]:
    """The title of each specialist, from what is written of them."""
    return {
        name: str((given.get("title") if isinstance(given, Mapping) else None) or default_title(name))
        for name, given in specialists.items()
    }


def _specialists(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: renamed(settings, SPECIALIST) if isinstance(settings, Mapping) else settings
        for name, settings in _named(given)
    }


def _named(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each specialist by its name, also where its title is written. Two of one name stay as they are written."""
    for key, settings in given.items():
        name = re.sub(" +", "-", str(key).casefold())
        if re.fullmatch(NAME_PATTERN, str(key)) or not re.fullmatch(NAME_PATTERN, name) or name in given:
            yield key, settings
        elif str(key) in (default_title(name), str(key).lower()) or not isinstance(settings, Mapping):
            yield name, settings
        else:
            yield name, {"title": str(key), **settings}


def _gates(given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    for part in ("task_gates", "feature_gates"):
        stages = given.get(part)
        if isinstance(stages, Mapping):
            found[part] = {
                stage: as_list(gates) if stage in STAGES else gates for stage, gates in stages.items()
            }
    return found
