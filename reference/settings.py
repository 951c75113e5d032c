"""Every setting, from the models that read the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from orchestrator.config.folder import ENV_PREFIX
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.section import Section
from orchestrator.config.settings import Settings
from reference import kinds
from reference.markdown import code, head, sentence, table

ABOUT = f"""\
The file is `.taskorchestrator/config.yaml`; `orchestrator init` writes it with every setting explained, and
`orchestrator config` prints the settings in force, each with its origin. `{ENV_PREFIX}CONFIG` names another
file.

An environment variable goes before the file: `section.name` is `{ENV_PREFIX}SECTION__NAME`, for example
`{ENV_PREFIX}PARALLELISM__MAX_PARALLEL_TASKS=8`. A list or a mapping is JSON there. An unknown setting is
refused, with the nearest name.

A *duration* is a number of seconds, or a text such as `500ms`, `30s`, `5m`, `2h` or `7d`."""

BY_NAME = ("specialists", "agent_runtimes", "prices")
"""Mappings whose keys are names that the user chooses."""


def page() -> str:
    """docs/reference/settings.md."""
    lines = head("Settings", ABOUT)
    for name, field in Settings.model_fields.items():
        found = [AgentRuntime] if name == "agent_runtimes" else list(kinds.models(field.annotation))
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        lines += ["", f"## {name}"]
        if is_section:
            lines += _section(name, found[0])
            continue
        lines += ["", sentence(field.description), "", f"Default: {_default(name, field)}."]
        for model in found:
            lines += _section(f"{name}.{'NAME' if name in BY_NAME else 'N'}", model)
    return "\n".join(lines) + "\n"


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    """The table of a section, and then those of the models in it."""
    yield from ["", sentence((model.__doc__ or "").splitlines()[0])]
    rows, long = [], []
    inner: dict[type[BaseModel], list[str]] = {}
    for name, field in model.model_fields.items():
        default = kinds.default(field)
        if len(default) > kinds.LONGEST:
            long.append((f"{path}.{name}", default))
            default = "see below"
        nested = list(kinds.models(field.annotation))
        for one in nested:
            inner.setdefault(one, []).append(name)
        shown = "" if nested and default == "`{}`" else default
        rows.append([code(name), kinds.of(field) + kinds.bounds(field), shown, sentence(field.description)])
    yield from table(["setting", "type", "default", "what it is for"], rows)
    for where, default in long:
        yield from ["", f"`{where}` as shipped: {default}."]
    for one, names in inner.items():
        where = f"{path}.{', '.join(names)}"
        yield from ["", f"### {where}"]
        yield from _section(where, one)


def _default(name: str, field: object) -> str:
    if name == "specialists":
        return "the four that ship (`orchestrator specialists` lists them)"
    return kinds.default(field)  # type: ignore[arg-type]
