"""Settings: `.taskorchestrator/config.yaml`, and environment variables over it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator import errors
from orchestrator.models import Seconds, Tag

FOLDER = ".taskorchestrator"
FILE = "config.yaml"
ENV_PREFIX = "TASKORCHESTRATOR_"
NAME_PATTERN = r"^[a-z0-9][a-z0-9\-]{0,62}$"


class Section(BaseModel):
    """A part of the settings: nothing but its declared fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parallelism(Section):
    """How much runs at once."""

    max_parallel_tasks: int = Field(default=5, ge=1, le=10_000)
    auto_launch: bool = True
    respect_dependencies: bool = True

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

    title: str | None = None
    description: str = ""
    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    python: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
    env: Mapping[str, SecretStr] = Field(default_factory=dict)
    timeout: Seconds | None = None
    queue: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$")
    rate_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?(/[smh])?$")
    model_tier: str | None = None

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

    mapping: Mapping[Tag, str] = Field(default_factory=lambda: dict(SHIPPED_MAPPING))
    tag_priority: tuple[Tag, ...] = tuple(SHIPPED_MAPPING)
    fallback: Literal["use_default", "ask_user"] = "use_default"
    default: str = "implementation-specialist"


class RedisSettings(Section):
    """Where the state is kept. Without a url a private redis-server runs for this folder."""

    url: SecretStr | None = None
    prefix: str = Field(default="to", pattern=r"^[A-Za-z0-9_.\-]{1,32}$")
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

    url: SecretStr | None = None


class Limits(Section):
    """Sizes over which a feature is refused, and how much is kept."""

    tasks: int = Field(default=100_000, ge=1)
    dependencies: int = Field(default=1_000_000, ge=0)
    text: int = Field(default=100_000, ge=100, description="characters in a description")
    params: int = Field(default=100_000, ge=100, description="characters of a task's params and run, as JSON")
    file: int = Field(default=64_000_000, ge=1_000, description="bytes of a feature file")
    result: int = Field(default=1_000_000, ge=100, description="characters of a result, as JSON")
    tail: int = Field(default=4_000, ge=100, description="characters of output kept in an outcome")
    events: int = Field(default=200_000, ge=100, description="events kept for each feature, about")


class Trust(Section):
    """What a feature may do."""

    inline_commands: bool | None = Field(default=None, description="None: only on the embedded Redis")


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
        nested_model_default_partial_update=True,
    )
    file: ClassVar[Path | None] = None

    parallelism: Parallelism = Parallelism()
    specialist_routing: SpecialistRouting = SpecialistRouting()
    specialists: Mapping[str, SpecialistSettings] = Field(default_factory=dict)
    redis: RedisSettings = RedisSettings()
    broker: BrokerSettings = BrokerSettings()
    limits: Limits = Limits()
    trust: Trust = Trust()
    imports: tuple[str, ...] = ()
    logs: Path | None = Field(default=None, description="folder of the output logs")

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
        merged = {
            name: {**shipped, **_dict(given.get(name))} for name, shipped in SHIPPED_SPECIALISTS.items()
        }
        return {**data, "specialists": {**given, **merged}}

    @model_validator(mode="after")
    def _names_are_known(self) -> Settings:
        wrong = [name for name in self.specialists if not re.match(NAME_PATTERN, name)]
        if wrong:
            raise ValueError(f"specialists.{wrong[0]}: a name has small letters, digits and hyphens")
        routing = self.specialist_routing
        for setting, name in [
            ("default", routing.default),
            *((f"mapping.{tag}", to) for tag, to in routing.mapping.items()),
        ]:
            if name not in self.specialists:
                known = ", ".join(self.specialists)
                raise ValueError(
                    f"specialist_routing.{setting}: no specialist is called {name}; there are {known}"
                )
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
        return find_folder()

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


def _dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


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
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.InvalidConfiguration(
            source=file, count="it cannot be read", mistakes=f"  {error}"
        ) from None
    if data is not None and not isinstance(data, dict):
        raise errors.InvalidConfiguration(
            source=file, count="it is no mapping", mistakes="  Write `section:` and its settings below it."
        )
    return {key: value for key, value in (data or {}).items() if value is not None}


def load(start: Path | None = None) -> Settings:
    """Load the settings in force.

    Raises:
        InvalidConfiguration: A value is refused; every mistake is named with its place and what would be right.
    """
    file = find_file(start)
    try:
        return Settings(**read(file))
    except ValidationError as error:
        lines = [_mistake(line, file) for line in error.errors(include_url=False)]
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise errors.InvalidConfiguration(
            source=file or "The environment", count=count, mistakes="\n".join(f"  {line}" for line in lines)
        ) from None


def _mistake(line: Any, file: Path | None) -> str:
    place = ".".join(str(part) for part in line["loc"])
    text = line["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(line["input"], dict | Settings) or "url" in place else f" ({line['input']!r})"
    variable = ENV_PREFIX + "__".join(str(part) for part in line["loc"]).upper()
    source = f" from ${variable}" if variable in os.environ else ""
    return f"{place}{shown}{source}: {text}" if place else text


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
