"""Settings: `.taskorchestrator/config.yaml`, and environment variables over it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from orchestrator.config import agent_mapping, private, spelling
from orchestrator.config.folder import ENV_PREFIX, FILE, check_private, find_file, find_folder
from orchestrator.config.settings import Settings
from orchestrator.config.yaml_loader import FOR_ANCHORS, load_yaml
from orchestrator.model import errors, words

MOST_SHOWN = 100
"""How many mistakes are named. Each unknown setting costs a search for a similar one."""


LARGEST = 500_000
"""Bytes of a configuration file. It may have come with somebody else's repository, and YAML is read slowly."""


def read(file: Path | None) -> dict[str, Any]:
    """The settings in the file, not validated yet.

    Raises:
        InvalidConfiguration: It cannot be read, or is no YAML mapping.
    """
    if file is None:
        return {}
    try:
        if file.stat().st_size > LARGEST:
            raise _unreadable(file, f"it is larger than {LARGEST:,} bytes")
        data = load_yaml(file.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:  # its own text quotes the line, which may hold a password
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _unreadable(file, f"{place}{error.problem}") from None
    except OSError as error:
        raise _unreadable(file, error.strerror or "it cannot be opened") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise _unreadable(file, "it is no UTF-8 text in YAML") from None
    if data is not None and not isinstance(data, dict):
        raise errors.InvalidConfiguration(
            source=file, count="it is no mapping", mistakes="  Write `section:` and its settings below it."
        )
    return {
        str(key): value
        for key, value in (data or {}).items()
        if value is not None and not str(key).startswith(FOR_ANCHORS)
    }


def _unreadable(file: Path, cause: str) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(source=file, count="it cannot be read", mistakes=f"  {cause}")


def written(file: Path | None, start: Path | None = None) -> dict[str, Any]:
    """The settings in the file, laid over those of agent-mapping.yaml beside it; not validated yet.

    Raises:
        InvalidConfiguration: One of them cannot be read.
    """
    given = spelling.usual(read(file))
    beside = (file.parent if file else find_folder(start)) / agent_mapping.FILE
    return agent_mapping.laid_under(given, read(beside), beside) if beside.is_file() else given


def _mapped_tags(data: Mapping[str, Any]) -> Iterable[str]:
    routing = data.get("specialist_routing")
    mapping = routing.get("mapping") if isinstance(routing, Mapping) else None
    return mapping if isinstance(mapping, Mapping) else ()


def load(start: Path | None = None) -> Settings:
    """Load the settings in force.

    Raises:
        InvalidConfiguration: A value is refused; every mistake is named with its place and what would be right.
        OpenToOthers: Others can write the folder in force.
    """
    check_private(find_folder(start))
    file = find_file(start)
    data = written(file, start)
    # Not all names can be keyword arguments of Settings: `_env_file` in a file would be an order to pydantic.
    known = {name: value for name, value in data.items() if name in Settings.model_fields}
    unknown = [name for name in data if name not in known]
    lines = [f"{name}: {_unknown_setting(name, Settings)}" for name in unknown[:MOST_SHOWN]]
    is_all = len(unknown) <= MOST_SHOWN
    try:
        settings = Settings(**known)
    except ValidationError as error:
        beside = set(_mapped_tags(data)) - set(_mapped_tags(spelling.usual(read(file))))
        found = error.errors(include_url=False)
        is_all = is_all and len(found) <= MOST_SHOWN
        lines += [_mistake(line, beside) for line in found[:MOST_SHOWN]]
    except SettingsError as error:
        lines.append(_not_json(error))
    else:
        if not lines:
            settings._start = start or Path.cwd()
            return settings
    raise errors.InvalidConfiguration(
        source=file or "The environment",
        count=("" if is_all else "at least ") + words.count(len(lines), "mistake"),
        mistakes="\n".join(f"  {line}" for line in lines),
    )


FORMS: Mapping[str, str] = {
    "pass_env": "write the name of a variable, such as HTTPS_PROXY; PIP_* is all that begin so",  # nosec B105  # no password
    "prefix": "write at most 32 letters, digits and _ . -",
    "python": 'write "package.module:name"',
    "queue": "write at most 100 letters, digits and _ . -, first a letter or digit",
    "resources": "a name has at most 63 letters, digits and _ . -, and starts with a letter or digit",
    "user": "write at most 32 small letters, digits and _ -, first a letter or _",
}
"""The form that the text of a setting has, for people."""


def _mistake(line: Any, beside: Collection[str] = ()) -> str:
    """A mistake, with its place; `beside` are the tags that agent-mapping.yaml maps."""
    loc = tuple(str(part) for part in line["loc"] if part != "[key]")
    variable = ENV_PREFIX + "__".join(loc).upper()
    source = f" from ${variable}" if variable in os.environ else ""
    if loc[:2] == ("specialist_routing", "mapping") and loc[-1] in beside:
        source = f" from {agent_mapping.FILE}"
    return f"{'.'.join(loc)}{_shown(line, loc)}{source}: {_right(line, loc)}"


def _shown(line: Any, loc: tuple[str, ...]) -> str:
    """The value that was refused, unless it may be a secret."""
    may_be_secret = (
        loc[0] in ("redis", "broker", "notifications") or "env" in loc or line["type"] == "extra_forbidden"
    )
    if may_be_secret or not isinstance(line["input"], str | int | float):
        return ""
    shown = str(line["input"])
    return f" ({shown.lower() if isinstance(line['input'], bool) else shown[:60]!r})"


def _right(line: Any, loc: tuple[str, ...]) -> str:
    if line["type"] == "extra_forbidden":
        return _unknown_setting(loc[-1], _section(loc))
    if line["type"] == "model_type":
        return "is a section; write its settings below it, indented"
    if line["type"] in ("mapping_type", "dict_type"):
        return "write `name: value` lines below it, indented"
    if line["type"] == "tuple_type":
        return "write a list, such as [one, two]"
    if line["type"] == "string_pattern_mismatch" and loc[0] == "agent_runtimes":
        return "write a JSON pointer, such as /item/text"
    if line["type"] == "string_pattern_mismatch":
        return next(
            (FORMS[part] for part in reversed(loc) if part in FORMS), "has a sign that it cannot have"
        )
    text = str(line["msg"]).removeprefix("Value error, ")
    return text.replace("Input should be", "should be")


def _unknown_setting(name: str, section: type[BaseModel]) -> str:
    return f"unknown setting{words.did_you_mean(name, section.model_fields)}"


def _section(loc: tuple[str, ...]) -> type[BaseModel]:
    """The section in which a setting stands, from the path of the setting."""
    section: type[BaseModel] = Settings
    kind: Any = None
    if loc[0] == "agent_runtimes":
        from orchestrator.config.schema.agent_runtimes import AgentRuntime  # late: few folders have agents

        section, loc = AgentRuntime, loc[1:]
    for name in loc[:-1]:
        if name in section.model_fields:
            kind = section.model_fields[name].annotation
        if found := next(_models(kind), None):
            section, kind = found, None
    return section


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from _models(inner)


def _not_json(error: SettingsError) -> str:
    """pydantic-settings names the field, but not the variable; its text never holds the value."""
    field = re.search(r'field "(\w+)"', str(error))
    variable = f"${ENV_PREFIX}{field[1].upper()}" if field else "A variable"
    return f'{variable}: is no JSON; write a list as ["one", "two"], a section as {{"name": "value"}}'


def origin(path: tuple[str, ...], file_data: Mapping[str, Any]) -> str:
    """The source of the value of a setting: "environment", "file" or "default"."""
    names = [ENV_PREFIX + "__".join(path[: end + 1]).upper() for end in range(len(path))]
    if any(name in (variable.upper() for variable in os.environ) for name in names):
        return "environment"
    node: Any = file_data
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return "default"
        node = node[part]
    return "file"


def remember(tags: Iterable[str], specialist: str, settings: Settings) -> None:
    """Write into the configuration file that tags go to a specialist; all else in it stays as it is written.

    Raises:
        CannotRemember: The file's mapping is not written in lines of its own, so it is left alone.
    """
    file = settings.folder / FILE
    text = file.read_text("utf-8") if file.is_file() else ""
    lines = [f"    {tag}: {specialist}" for tag in tags]
    changed = _with_mapping(text, lines)
    wanted_data = load_yaml(text) or {}
    section = wanted_data.setdefault("specialist_routing", {}) or {}
    section["mapping"] = {**(section.get("mapping") or {}), **dict.fromkeys(tags, specialist)}
    wanted_data["specialist_routing"] = section
    try:
        is_kept = load_yaml(changed) == wanted_data
    except yaml.YAMLError:
        is_kept = False
    if not is_kept:
        wanted = ", ".join(line.strip() for line in lines)
        raise errors.CannotRemember(
            task="the task",
            reason=f"{file} has a mapping that is not written line by line",
            line=f"`{wanted}` under specialist_routing.mapping",
        )
    private.make_folder(file.parent)
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, private.FILE_MODE)
    with os.fdopen(number, "w", encoding="utf-8") as opened:
        opened.write(changed)


def _with_mapping(text: str, lines: list[str]) -> str:
    """The text of a configuration file with these lines in specialist_routing.mapping."""
    added = "\n".join(lines) + "\n"
    mapping = re.search(r"^specialist_routing:[^\n]*\n(?:[ #][^\n]*\n|\n)*?  mapping:[ ]*\n", text, re.M)
    if mapping:
        return text[: mapping.end()] + added + text[mapping.end() :]
    section = re.search(r"^specialist_routing:[ ]*\n", text, re.M)
    if section:
        return text[: section.end()] + "  mapping:\n" + added + text[section.end() :]
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}specialist_routing:\n  mapping:\n{added}"
