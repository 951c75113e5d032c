"""agent-mapping.yaml beside config.yaml: tag → specialist (model), laid under what config.yaml says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.config import spelling
from orchestrator.config.schema.specialists import SHIPPED_SPECIALISTS, SHIPPED_TIERS
from orchestrator.model import errors, words

FILE = "agent-mapping.yaml"
ENTRY = re.compile(r"\s*(?P<specialist>[^()]*[^()\s])\s*(?:\(\s*(?P<model>[^()]*[^()\s])\s*\))?\s*")


def laid_under(given: Mapping[str, Any], entries: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """The settings of a config.yaml over what an agent-mapping.yaml says.

    Its tags go to the specialists that it names, and the models become tiers.

    Args:
        given: The content of config.yaml, as `spelling.usual` has it.
        entries: The content of agent-mapping.yaml.
        source: Where it is, for messages.

    Raises:
        InvalidConfiguration: An entry cannot be read, or a specialist has two models.
    """
    read = {tag: ENTRY.fullmatch(str(entry)) for tag, entry in entries.items() if isinstance(entry, str)}
    lines = [
        f"{tag}: write `{tag}: Implementation Specialist (Haiku)`; the model may be left out"
        for tag in entries
        if not read.get(tag)
    ]
    found = [(tag, match["specialist"], match["model"] or "") for tag, match in read.items() if match]
    lines += _contradictions(found)
    if lines:
        raise errors.InvalidConfiguration(
            source=source,
            count=words.count(len(lines), "mistake"),
            mistakes="\n".join(f"  {line}" for line in lines),
        )
    routing = _section(given, "specialist_routing")
    mapping = {**{tag: who for tag, who, _ in found}, **_section(routing, "mapping")}
    result = {**given, "specialist_routing": {**routing, "mapping": mapping}}
    models = {who: model for _, who, model in found if model}
    return {**result, **_with_tiers(given, models)} if models else result


def _with_tiers(given: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, Any]:
    """The tiers and the specialists, each with the tier of its model; what config.yaml says goes before."""
    tiers = dict(_section(given, "tiers") or SHIPPED_TIERS)
    specialists = dict(_section(given, "specialists"))
    titles = spelling.titles({**SHIPPED_SPECIALISTS, **specialists})
    for who, model in models.items():
        name = spelling.find(who, titles)  # what no specialist is called is refused with the mapping
        tier = next((one for one in tiers if str(one).casefold() == model.casefold()), model.casefold())
        tiers.setdefault(tier, None)
        if name and isinstance(own := specialists.get(name) or {}, Mapping):
            specialists[name] = {"model_tier": tier, **own}
    return {"tiers": tiers, "specialists": specialists}


def _contradictions(found: list[tuple[str, str, str]]) -> Iterator[str]:
    """Specialists with two models."""
    first: dict[str, tuple[str, str]] = {}
    for tag, who, model in found:
        if not model:
            continue
        before, other = first.setdefault(who.casefold(), (tag, model))
        if other.casefold() != model.casefold():
            yield f"{tag}: {who} has the model {model} here, and {other} at {before}; a specialist has one"


def _section(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section, if the value is one; other values are refused with the other settings."""
    section = given.get(name)
    return section if isinstance(section, Mapping) else {}
