"""The commented config.yaml that `orchestrator init` writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from orchestrator.config.folder import ENV_PREFIX
from orchestrator.config.schema.section import Section
from orchestrator.config.schema.specialists import SHIPPED_SPECIALISTS, SpecialistSettings
from orchestrator.config.settings import Settings


def template() -> str:
    """A config.yaml with every setting, its default and what it is for, all of it commented out.

    Settings follow their `#` directly or indented by two; an explanation follows it after one space.

    Example:
        Path(".taskorchestrator/config.yaml").write_text(template())
    """
    lines = [
        "# Settings of the Task Orchestrator. Everything here is at its default.",
        "# Remove the # in front of a setting to change it. Environment variables go before this file:",
        f"# {ENV_PREFIX}PARALLELISM__MAX_PARALLEL_TASKS=8 sets max_parallel_tasks in the section parallelism.",
    ]
    for name, field in Settings.model_fields.items():
        lines += ["", *_specialists()] if name == "specialists" else ["", *_entry(name, field)]
    return "\n".join(lines) + "\n"


def _entry(name: str, field: FieldInfo) -> Iterator[str]:
    kind = field.annotation
    if not (isinstance(kind, type) and issubclass(kind, Section)):
        yield f"# {_sentence(field.description)}"
        yield from _commented({name: field.get_default(call_default_factory=True)})
        return
    yield f"# {(kind.__doc__ or '').splitlines()[0]}"
    yield f"{name}:"
    for inner, setting in kind.model_fields.items():
        yield f"  # {_sentence(setting.description)}"
        yield from _commented({inner: setting.get_default(call_default_factory=True)}, "  ")


def _specialists() -> Iterator[str]:
    yield f"# {Settings.model_fields['specialists'].description} Each can have:"
    for name, field in SpecialistSettings.model_fields.items():
        yield f"# - {name}: {field.description}"
    yield "specialists:"
    for name, shipped in SHIPPED_SPECIALISTS.items():
        yield from _commented({name: dict(shipped)}, "  ")


def _commented(setting: dict[str, Any], indent: str = "") -> Iterator[str]:
    plain = to_jsonable_python(setting, fallback=str)
    for line in yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110).splitlines():
        yield f"{indent}#{line}"


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""
