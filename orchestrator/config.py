"""Settings: `.taskorchestrator/config.yaml`, and environment variables over it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from orchestrator import errors
from orchestrator.models import Seconds, Tag

FOLDER = ".taskorchestrator"
FILE = "config.yaml"
ENV_PREFIX = "TASKORCHESTRATOR_"
NAME_PATTERN = r"^[a-z0-9][a-z0-9\-]{0,62}$"


class Section(BaseModel):
    """A part of the settings: nothing but its declared fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Parallelism(Section):
    """How much runs at once."""

    max_parallel_tasks: int = Field(
        default=5, ge=1, le=10_000, description="tasks of one feature that run at the same time"
    )
    auto_launch: bool = Field(default=True, description="a completed task starts what was waiting for it")
    respect_dependencies: bool = Field(
        default=True, description="always true: a task waits for its dependencies"
    )

    @field_validator("respect_dependencies")
    @classmethod
    def _cannot_be_turned_off(cls, value: bool) -> bool:
        if not value:
            raise ValueError(
                "cannot be false: a task that starts before its dependencies works on what is not there yet. "
                "Remove the dependency from the feature if it is not a real one"
            )
        return value


class SpecialistSettings(Section):
    """One specialist: how it works, and where."""

    title: str | None = Field(default=None, description="the name people read; else made from the key")
    description: str = Field(default="", description="what it is good at")
    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="program and arguments that do the work"
    )
    python: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description="callable that does the work, such as package.module:function",
    )
    env: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="environment variables of the command; never shown"
    )
    timeout: Seconds | None = Field(default=None, description="an attempt is ended after this, such as 30m")
    workdir: Literal["task", "project"] = Field(
        default="task", description="where the command runs: a folder of the task's own, or the project's"
    )
    queue: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$",
        description="Celery queue of its tasks; else its name",
    )
    rate_limit: str | None = Field(
        default=None,
        pattern=r"^\d+(\.\d+)?(/[smh])?$",
        description="attempts a worker starts, such as 10/m",
    )
    model_tier: str | None = Field(
        default=None, description="a hint for agents, such as standard or advanced"
    )

    @model_validator(mode="after")
    def _one_way_to_work(self) -> SpecialistSettings:
        if self.command and self.python:
            raise ValueError("has both a command and a python callable; keep one of them")
        return self


SHIPPED_SPECIALISTS: Mapping[str, Mapping[str, str]] = {
    "implementation-specialist": {
        "title": "Implementation Specialist",
        "description": "Builds what is well understood: backend, frontend, database, tests, documentation.",
        "model_tier": "standard",
    },
    "senior-engineer": {
        "title": "Senior Engineer",
        "description": "Takes bugs, errors, blockers and whatever is complex.",
        "model_tier": "advanced",
    },
    "feature-architect": {
        "title": "Feature Architect",
        "description": "Turns an idea into a feature.",
        "model_tier": "advanced",
    },
    "planning-specialist": {
        "title": "Planning Specialist",
        "description": "Breaks a feature down into tasks.",
        "model_tier": "standard",
    },
}

SHIPPED_MAPPING: Mapping[str, str] = {
    "bug": "senior-engineer",
    "error": "senior-engineer",
    "blocker": "senior-engineer",
    "complex": "senior-engineer",
    "feature-creation": "feature-architect",
    "planning": "planning-specialist",
    "task-breakdown": "planning-specialist",
    "database": "implementation-specialist",
    "backend": "implementation-specialist",
    "frontend": "implementation-specialist",
    "testing": "implementation-specialist",
    "documentation": "implementation-specialist",
}


class SpecialistRouting(Section):
    """Which tag goes to which specialist. `tag_priority` decides for a task with several matching tags."""

    mapping: Mapping[Tag, str] = Field(
        default_factory=lambda: dict(SHIPPED_MAPPING), description="tag: specialist"
    )
    tag_priority: tuple[Tag, ...] = Field(
        default=tuple(SHIPPED_MAPPING), description="of several matching tags, the first of these decides"
    )
    fallback: Literal["use_default", "ask_user"] = Field(
        default="use_default",
        description="where no tag matches: use_default, or ask_user (refuse and show the choice)",
    )
    default: str = Field(default="implementation-specialist", description="the specialist of use_default")


class RedisSettings(Section):
    """Where the state is kept. Without a url a private redis-server runs for this folder."""

    url: SecretStr | None = Field(
        default=None, description="where it is: redis://host:6379/0, rediss://… or unix:///path; never shown"
    )
    prefix: str = Field(
        default="to", pattern=r"^[A-Za-z0-9_.\-]{1,32}$", description="the first part of every key"
    )
    redis_server: str | None = Field(
        default=None, description="path of the redis-server to run when url is not set"
    )

    @field_validator("url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.match(r"^(redis|rediss|unix)://.+", value.get_secret_value()):
            raise ValueError(
                "is no Redis URL; write redis://host:6379/0, rediss://… for TLS, or unix:///path"
            )
        return value


class BrokerSettings(Section):
    """Where Celery's messages go: the same Redis as the state, unless a url says otherwise."""

    url: SecretStr | None = Field(default=None, description="any broker URL that Celery knows; never shown")


class Limits(Section):
    """Sizes over which a feature is refused, and how much is kept."""

    tasks: int = Field(default=100_000, ge=1, description="tasks in a feature")
    dependencies: int = Field(
        default=1_000_000, ge=0, description="dependencies in a feature, all tasks together"
    )
    text: int = Field(default=100_000, ge=100, description="characters in a description")
    params: int = Field(default=100_000, ge=100, description="characters of a task's params and run, as JSON")
    file: int = Field(default=64_000_000, ge=1_000, description="bytes of a feature file")
    result: int = Field(default=1_000_000, ge=100, description="characters of a result, as JSON")
    tail: int = Field(default=4_000, ge=100, description="characters of output kept in an outcome")
    events: int = Field(default=200_000, ge=100, description="events kept for each feature, about")


class Recovery(Section):
    """How soon what a lost worker held is taken up again."""

    lease: Seconds = Field(default=10.0, description="a worker that is silent for so long is taken for lost")
    sweep: Seconds = Field(default=1.0, description="time between two looks at what needs to be put right")
    patience: Seconds = Field(
        default=5.0, description="a message that is not known as sent by then is sent again"
    )
    worker_lost_retries: int = Field(
        default=2, ge=0, description="attempts that may be lost with their worker"
    )


class Trust(Section):
    """What a feature may do."""

    inline_commands: bool | None = Field(
        default=None,
        description="may bring `run:` commands; null: only where Redis is the private one",
    )
    inline_workdir: Literal["task", "project"] = Field(
        default="project", description="where inline commands run: see specialists.NAME.workdir"
    )


class Settings(BaseSettings):
    """All the settings, validated.

    Example:
        >>> Settings().parallelism.max_parallel_tasks
        5
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )
    file: ClassVar[Path | None] = None

    _start: Path = PrivateAttr(default_factory=Path.cwd)

    parallelism: Parallelism = Parallelism()
    specialist_routing: SpecialistRouting = SpecialistRouting()
    specialists: Mapping[str, SpecialistSettings] = Field(
        default_factory=dict,
        description="Who does the work. What is set here is laid over the four that ship.",
    )
    redis: RedisSettings = RedisSettings()
    broker: BrokerSettings = BrokerSettings()
    limits: Limits = Limits()
    recovery: Recovery = Recovery()
    trust: Trust = Trust()
    imports: tuple[str, ...] = Field(default=(), description="Python modules that workers import at start")
    logs: Path | None = Field(default=None, description="folder of the output logs; else logs in this one")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What the file says arrives as the arguments, so the environment goes before them.
        return env_settings, init_settings

    @model_validator(mode="before")
    @classmethod
    def _add_the_shipped_specialists(cls, data: Any) -> Any:
        given = data.get("specialists") or {} if isinstance(data, Mapping) else {}
        if not isinstance(given, Mapping):
            return data
        merged = {name: _laid_over(given.get(name), shipped) for name, shipped in SHIPPED_SPECIALISTS.items()}
        return {**data, "specialists": {**given, **merged}}

    @model_validator(mode="after")
    def _names_are_known(self) -> Settings:
        mistakes = list(_unknown_names(self))
        if mistakes:
            raise ValidationError.from_exception_data("Settings", mistakes, hide_input=True)
        return self

    def title(self, specialist: str) -> str:
        """The specialist's name as people read it."""
        return self.specialists[specialist].title or specialist.replace("-", " ").title()

    def queue(self, specialist: str) -> str:
        """The queue that the specialist's tasks go to."""
        return self.specialists[specialist].queue or specialist

    @cached_property
    def folder(self) -> Path:
        """The `.taskorchestrator` folder in force: the nearest one from here upwards, else one to be made here."""
        return find_folder(self._start)

    @property
    def log_folder(self) -> Path:
        """Where the output of commands is kept in full."""
        return self.logs or self.folder / "logs"

    @property
    def is_embedded(self) -> bool:
        """No Redis is configured, so a private one serves this folder."""
        return self.redis.url is None

    @property
    def inline_commands(self) -> bool:
        """A feature may bring commands of its own."""
        allowed = self.trust.inline_commands
        return self.is_embedded if allowed is None else allowed


def _laid_over(given: Any, shipped: Mapping[str, str]) -> Any:
    if given is None:
        return shipped
    if isinstance(given, SpecialistSettings):
        given = given.model_dump(exclude_unset=True)
    return {**shipped, **given} if isinstance(given, Mapping) else given


def _unknown_names(settings: Settings) -> Iterator[InitErrorDetails]:
    """Names of specialists that are badly formed, or that no specialist has."""
    for name in settings.specialists:
        if not re.fullmatch(NAME_PATTERN, name):
            yield _mistake_at(("specialists", name), "a name has small letters, digits and hyphens", name)
    routing = settings.specialist_routing
    used = [("default", routing.default)] + [
        (f"mapping.{tag}", name) for tag, name in routing.mapping.items()
    ]
    for setting, name in used:
        if name not in settings.specialists:
            text = f"no specialist is called {name}{_did_you_mean(name, settings.specialists)}"
            yield _mistake_at(("specialist_routing", *setting.split(".", 1)), text, name)


def _mistake_at(where: tuple[str, ...], text: str, value: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("wrong_name", "{text}", {"text": text}), loc=where, input=value
    )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def find_folder(start: Path | None = None) -> Path:
    """The nearest `.taskorchestrator` folder from `start` (else the working folder) upwards."""
    here = (start or Path.cwd()).resolve()
    found = (place / FOLDER for place in [here, *here.parents] if (place / FOLDER).is_dir())
    return next(found, here / FOLDER)


def find_file(start: Path | None = None) -> Path | None:
    """The configuration file in force, if there is one: $TASKORCHESTRATOR_CONFIG, else the folder's."""
    named = os.environ.get(f"{ENV_PREFIX}CONFIG")
    if named:
        return Path(named)
    file = find_folder(start) / FILE
    return file if file.is_file() else None


def read(file: Path | None) -> dict[str, Any]:
    """What the file says, not validated yet.

    Raises:
        InvalidConfiguration: It cannot be read, or is no YAML mapping.
    """
    if file is None:
        return {}
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
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
    return {str(key): value for key, value in (data or {}).items() if value is not None}


def _unreadable(file: Path, cause: str) -> errors.InvalidConfiguration:
    return errors.InvalidConfiguration(source=file, count="it cannot be read", mistakes=f"  {cause}")


def load(start: Path | None = None) -> Settings:
    """Load the settings in force.

    Raises:
        InvalidConfiguration: A value is refused; every mistake is named with its place and what would be right.
    """
    file = find_file(start)
    data = read(file)
    # Not all names can be keyword arguments of Settings: `_env_file` in a file would be an order to pydantic.
    known = {name: value for name, value in data.items() if name in Settings.model_fields}
    lines = [f"{name}: {_unknown_setting(name, Settings)}" for name in data if name not in known]
    try:
        settings = Settings(**known)
    except ValidationError as error:
        lines += [_mistake(line) for line in error.errors(include_url=False)]
    except SettingsError as error:
        lines.append(_not_json(error))
    else:
        if not lines:
            settings._start = start or Path.cwd()
            return settings
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    raise errors.InvalidConfiguration(
        source=file or "The environment", count=count, mistakes="\n".join(f"  {line}" for line in lines)
    )


def _mistake(line: Any) -> str:
    loc = tuple(str(part) for part in line["loc"] if part != "[key]")
    variable = ENV_PREFIX + "__".join(loc).upper()
    source = f" from ${variable}" if variable in os.environ else ""
    return f"{'.'.join(loc)}{_shown(line, loc)}{source}: {_right(line, loc)}"


def _shown(line: Any, loc: tuple[str, ...]) -> str:
    """The value that was refused, unless it may be a secret."""
    may_be_secret = loc[0] in ("redis", "broker") or "env" in loc or line["type"] == "extra_forbidden"
    if may_be_secret or not isinstance(line["input"], str | int | float):
        return ""
    return f" ({str(line['input'])[:60]!r})"


def _right(line: Any, loc: tuple[str, ...]) -> str:
    if line["type"] == "extra_forbidden":
        return _unknown_setting(loc[-1], _section(loc))
    if line["type"] == "model_type":
        return "is a section; write its settings below it, indented"
    if line["type"] in ("mapping_type", "dict_type"):
        return "write `name: value` lines below it, indented"
    if line["type"] == "tuple_type":
        return "write a list, such as [one, two]"
    text = str(line["msg"]).removeprefix("Value error, ")
    return text.replace("Input should be", "should be")


def _unknown_setting(name: str, section: type[BaseModel]) -> str:
    return f"unknown setting{_did_you_mean(name, section.model_fields)}"


def _section(loc: tuple[str, ...]) -> type[BaseModel]:
    if loc[0] == "specialists":
        return SpecialistSettings
    field = Settings.model_fields.get(loc[0]) if len(loc) > 1 else None
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else Settings


def _not_json(error: SettingsError) -> str:
    """pydantic-settings names the field, but not the variable; its text never holds the value."""
    field = re.search(r'field "(\w+)"', str(error))
    variable = f"${ENV_PREFIX}{field[1].upper()}" if field else "A variable"
    return f'{variable}: is no JSON; write a list as ["one", "two"], a section as {{"name": "value"}}'


def origin(path: tuple[str, ...], file_data: Mapping[str, Any]) -> str:
    """Where the value of a setting came from: "environment", "file" or "default"."""
    names = [ENV_PREFIX + "__".join(path[: end + 1]).upper() for end in range(len(path))]
    if any(name in (variable.upper() for variable in os.environ) for name in names):
        return "environment"
    node: Any = file_data
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return "default"
        node = node[part]
    return "file"


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
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in setting.items()}
    for line in yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110).splitlines():
        yield f"{indent}#{line}"


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""
