"""Settings: `.taskorchestrator/config.yaml`, and environment variables over it."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from orchestrator import agent_mapping, errors, flows, notification, private, spelling, wording
from orchestrator.documents import FOR_ANCHORS, load_yaml
from orchestrator.flows import FeatureFlow, Flow, Rules
from orchestrator.limits import MOST
from orchestrator.models import Resource, Whole
from orchestrator.sections import (
    NAME_PATTERN,
    SHIPPED_SPECIALISTS,
    SHIPPED_TIERS,
    BrokerSettings,
    ErrorHandling,
    FlowMapping,
    Gate,
    Limits,
    Logging,
    Notification,
    Parallelism,
    QualityGates,
    Recovery,
    RedisSettings,
    Retention,
    SpecialistRouting,
    SpecialistSettings,
    StatusProgression,
    StatusValidation,
    Tier,
    Trust,
)

FOLDER = ".taskorchestrator"
FILE = "config.yaml"
ENV_PREFIX = "TASKORCHESTRATOR_"

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

MOST_SHOWN = 100
"""So many mistakes are named; for each setting that is unknown a near one is looked for."""

LARGEST = 500_000
"""Bytes of a configuration file. It may have come with somebody else's repository, and YAML is read slowly."""


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
    _start: Path = PrivateAttr(default_factory=Path.cwd)

    parallelism: Parallelism = Parallelism()
    specialist_routing: SpecialistRouting = SpecialistRouting()
    specialists: Mapping[str, SpecialistSettings] = Field(
        default_factory=dict,
        description="Who does the work. What is set here is laid over the four that ship.",
    )
    tiers: Mapping[str, Tier] = Field(
        default_factory=lambda: dict(SHIPPED_TIERS),
        description="The tiers of models, named as you like; each with the models of a runtime, such as claude.",
    )
    resources: Mapping[Resource, Annotated[Whole, Field(ge=0, le=MOST)]] = Field(
        default_factory=dict,
        description="How much there is of what tasks take while they run, such as gpu: 2.",
    )
    redis: RedisSettings = RedisSettings()
    broker: BrokerSettings = BrokerSettings()
    limits: Limits = Limits()
    recovery: Recovery = Recovery()
    retention: Retention = Retention()
    status_progression: StatusProgression = StatusProgression()
    status_validation: StatusValidation = StatusValidation()
    quality_gates: QualityGates = QualityGates()
    error_handling: ErrorHandling = ErrorHandling()
    notifications: tuple[Notification, ...] = Field(default=(), description="Who is told of what.")
    trust: Trust = Trust()
    logging: Logging = Logging()
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
        return _spelt_as_usual(env_settings), _spelt_as_usual(init_settings)

    @model_validator(mode="before")
    @classmethod
    def _add_the_shipped_specialists(cls, data: Any) -> Any:
        given = data.get("specialists") or {} if isinstance(data, Mapping) else {}
        if not isinstance(given, Mapping):
            return data
        merged = {
            name: _laid_over(given.get(name), _of_tiers(shipped, data.get("tiers")))
            for name, shipped in SHIPPED_SPECIALISTS.items()
        }
        return _by_name({**data, "specialists": {**given, **merged}})

    @model_validator(mode="after")
    def _names_are_known(self) -> Settings:
        mistakes = [*_unknown_names(self), *_broken_flows(self)]
        if mistakes:
            raise ValidationError.from_exception_data("Settings", mistakes, hide_input=True)
        return self

    def title(self, specialist: str) -> str:
        """The specialist's name as people read it."""
        return self.specialists[specialist].title or spelling.default_title(specialist)

    def find_specialist(self, wanted: str) -> str | None:
        """The name of the specialist of that name, else of that title, in small or capital letters."""
        return spelling.find(wanted, {name: self.title(name) for name in self.specialists})

    def queue(self, specialist: str) -> str:
        """The queue that the specialist's tasks go to."""
        return self.specialists[specialist].queue or specialist

    @property
    def queues(self) -> Mapping[str, str]:
        """The queues of the specialists whose queue is not called as they are."""
        return {name: given.queue for name, given in self.specialists.items() if given.queue}

    @cached_property
    def flows(self) -> Mapping[str, Flow]:
        """The status flows of tasks, by name."""
        progression = self.status_progression.tasks
        rules = Rules(**self.status_validation.model_dump())
        emergency = frozenset(progression.emergency_transitions)
        terminal = frozenset(progression.terminal_statuses)
        return {
            name: Flow(name, statuses, rules, emergency, terminal)
            for name, statuses in progression.flows.items()
        }

    @cached_property
    def feature_flows(self) -> Mapping[str, FeatureFlow]:
        """The status flows of features, by name."""
        return {
            name: FeatureFlow(name, statuses)
            for name, statuses in self.status_progression.features.flows.items()
        }

    def flow_for(self, tags: Iterable[str]) -> Flow:
        """The flow of a task with these tags: the first mapping that matches, else `default`."""
        return self.flows[_mapped(tags, self.status_progression.tasks.flow_mappings)]

    def feature_flow_for(self, tags: Iterable[str]) -> FeatureFlow:
        """The flow of a feature with these tags: the first mapping that matches, else `default`."""
        return self.feature_flows[_mapped(tags, self.status_progression.features.flow_mappings)]

    def task_gates(self, stage: str, tags: Iterable[str]) -> tuple[Gate, ...]:
        """The gates that a task with these tags has to pass at a stage: "testing" or "completion"."""
        return self._gates(getattr(self.quality_gates.task_gates, stage), tags)

    def feature_gates(self, stage: str, tags: Iterable[str]) -> tuple[Gate, ...]:
        """The gates that a feature with these tags has to pass at a stage: "testing" or "completion"."""
        return self._gates(getattr(self.quality_gates.feature_gates, stage), tags)

    def _gates(self, gates: tuple[Gate, ...], tags: Iterable[str]) -> tuple[Gate, ...]:
        if not self.quality_gates.enabled:
            return ()
        hooks = self.quality_gates.hooks
        return tuple(gate.resolved(hooks) for gate in gates if not gate.tags or set(gate.tags) & set(tags))

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
    def _is_of_the_folder(self) -> bool:
        """The configuration is the folder's own file, which may have come with somebody else's repository."""
        return not os.environ.get(f"{ENV_PREFIX}CONFIG") and (self.folder / FILE).is_file()

    @property
    def redis_server(self) -> str | None:
        """The redis-server to run, where one is named; a relative path starts at the project's folder."""
        named = self.redis.redis_server
        return str(self.folder.parent / named) if named and "/" in named else named

    def for_looking(self) -> Settings:
        """The settings for commands that only look: they start no program that the folder's own file names."""
        if not self._is_of_the_folder or f"{ENV_PREFIX}REDIS__REDIS_SERVER" in os.environ:
            return self
        return self.model_copy(update={"redis": self.redis.model_copy(update={"redis_server": None})})

    @property
    def starts(self) -> str:
        """What the folder's own file makes a command import or start, in a few words; "" where that is nothing."""
        if not self._is_of_the_folder:
            return ""
        named = [f"starts {self.redis_server}"] if self.redis_server and self.is_embedded else []
        hooks: list[SpecialistSettings | Gate] = [*self.specialists.values(), *self._all_gates]
        callables = [given.python for given in hooks if given.python]
        imported = sorted({*self.imports, *(name.split(":")[0] for name in callables)})
        commands = sorted({given.command[0] for given in (*hooks, *self.notifications) if given.command})
        named += [f"imports {', '.join(imported)}"] if imported else []
        named += [f"runs {', '.join(commands)}"] if commands else []
        return "; ".join(named)

    @property
    def _all_gates(self) -> tuple[Gate, ...]:
        if not self.quality_gates.enabled:
            return ()
        of_tasks, of_features = self.quality_gates.task_gates, self.quality_gates.feature_gates
        return (*of_tasks.testing, *of_tasks.completion, *of_features.testing, *of_features.completion)

    @property
    def takes_canvases(self) -> bool:
        """Whether workers take up what `Plan.canvas()` sends: whoever can send a message could send one like it."""
        allowed = self.trust.canvas
        return self.broker.signing is not None if allowed is None else allowed

    @property
    def inline_commands(self) -> bool:
        """A feature may bring commands of its own."""
        allowed = self.trust.inline_commands
        return self.is_embedded if allowed is None else allowed


def _laid_over(given: Any, shipped: Mapping[str, str]) -> Any:
    if given is None:
        return shipped
    given = _plain(given)
    return {**shipped, **given} if isinstance(given, Mapping) else given


def _spelt_as_usual(source: PydanticBaseSettingsSource) -> PydanticBaseSettingsSource:
    """The source, with other ways to write a setting turned into the usual ones."""

    def read() -> dict[str, Any]:
        return spelling.usual(source())

    return cast(PydanticBaseSettingsSource, read)  # pydantic-settings takes any callable for a source


def _of_tiers(shipped: Mapping[str, str], tiers: Any) -> Mapping[str, str]:
    """A shipped specialist without its tier where the operator's own tiers do not have it."""
    if not isinstance(tiers, Mapping) or shipped["model_tier"] in tiers:
        return shipped
    return {name: value for name, value in shipped.items() if name != "model_tier"}


def _by_name(data: dict[str, Any]) -> dict[str, Any]:
    """With the names of specialists where settings have their titles."""
    titles = spelling.titles({name: _plain(given) for name, given in data["specialists"].items()})

    def name(wanted: Any) -> Any:
        return (spelling.find(wanted, titles) or wanted) if isinstance(wanted, str) else wanted

    routing, handling = _plain(data.get("specialist_routing")), _plain(data.get("error_handling"))
    if isinstance(routing, Mapping):
        routing = {**routing, **{key: name(routing[key]) for key in ("default",) if key in routing}}
        if isinstance(routing.get("mapping"), Mapping):
            routing["mapping"] = {tag: name(who) for tag, who in routing["mapping"].items()}
        data = {**data, "specialist_routing": routing}
    if isinstance(handling, Mapping) and "escalate_technical_to" in handling:
        escalate_to = name(handling["escalate_technical_to"])
        data = {**data, "error_handling": {**handling, "escalate_technical_to": escalate_to}}
    return data


def _plain(section: Any) -> Any:
    """A section that was made in Python, as a file has it."""
    return section.model_dump(exclude_unset=True) if isinstance(section, BaseModel) else section


def _unknown_names(settings: Settings) -> Iterator[InitErrorDetails]:
    """Names of specialists that are badly formed, or that no specialist has."""
    for name in settings.specialists:
        if not re.fullmatch(NAME_PATTERN, name):
            yield _mistake_at(("specialists", name), "a name has small letters, digits and hyphens", name)
    routing = settings.specialist_routing
    used = [("default", routing.default)] + [
        (f"mapping.{tag}", name) for tag, name in routing.mapping.items()
    ]
    used_in = [(("specialist_routing", *setting.split(".", 1)), name) for setting, name in used]
    if settings.error_handling.escalate_technical_to:
        used_in.append(
            (("error_handling", "escalate_technical_to"), settings.error_handling.escalate_technical_to)
        )
    for where, name in used_in:
        if name not in settings.specialists:
            yield _mistake_at(
                where, f"no specialist is called {name}{_did_you_mean(name, settings.specialists)}", name
            )
    for name, given in settings.specialists.items():
        tier = given.model_tier
        if "tiers" in settings.model_fields_set and tier is not None and tier not in settings.tiers:
            text = f"no tier is called {tier}{_did_you_mean(tier, settings.tiers)}"
            yield _mistake_at(("specialists", name, "model_tier"), text, tier)
    if settings.quality_gates.enabled:
        for where, hook in settings.quality_gates.unknown_hooks():
            text = f"no hook is called {hook}; write `{hook}: [PROGRAM, ARGUMENT]` in quality_gates.hooks"
            yield _mistake_at(("quality_gates", *where), text, hook)
    for place, told in enumerate(settings.notifications):
        for name in told.events:
            if name not in notification.NAMES:
                text = f"no event is called {name}{_did_you_mean(name, notification.NAMES)}"
                yield _mistake_at(("notifications", str(place), "events"), text, name)


def _mapped(tags: Iterable[str], mappings: Iterable[FlowMapping]) -> str:
    has = set(tags)
    return next((mapping.flow for mapping in mappings if has & set(mapping.tags)), "default")


def _broken_flows(settings: Settings) -> Iterator[InitErrorDetails]:
    """Flows through which nothing could pass, and mappings to flows that there are not."""
    progression, emergency = settings.status_progression, list(flows.EMERGENCIES)
    for status in progression.tasks.emergency_transitions:
        if status not in emergency:
            text = f"no emergency transition leads there; choose from {', '.join(emergency)}"
            yield _mistake_at(("status_progression", "tasks", "emergency_transitions"), text, status)
    terminal = frozenset(progression.tasks.terminal_statuses)
    kinds: list[tuple[str, Any, Any]] = [
        ("tasks", progression.tasks, lambda name, statuses: Flow(name, statuses, terminal=terminal)),
        ("features", progression.features, FeatureFlow),
    ]
    for part, section, make in kinds:
        for name, statuses in section.flows.items():
            try:
                make(name, statuses)
            except flows.BadFlow as error:
                yield _mistake_at(
                    ("status_progression", part, "flows", name), str(error), " → ".join(statuses)
                )
        for mapping in section.flow_mappings:
            if mapping.flow not in section.flows:
                text = f"no flow is called {mapping.flow}{_did_you_mean(mapping.flow, section.flows)}"
                yield _mistake_at(("status_progression", part, "flow_mappings"), text, mapping.flow)


def _mistake_at(where: tuple[str, ...], text: str, value: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("wrong_name", "{text}", {"text": text}), loc=where, input=value
    )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def find_folder(start: Path | None = None) -> Path:
    """The nearest `.taskorchestrator` folder of this user, from `start` (else the working folder) upwards."""
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise errors.NoWorkingFolder from None
    found = (place / FOLDER for place in [here, *here.parents] if _is_own_folder(place / FOLDER))
    return next(found, here / FOLDER)


def _is_own_folder(folder: Path) -> bool:
    """It is there, and ours: a folder that another user put above ours does not say what our workers run."""
    try:
        # Of a link: its owner too, for another user's could lead to any folder of ours.
        return folder.is_dir() and {folder.stat().st_uid, folder.lstat().st_uid} == {os.geteuid()}
    except OSError:
        return False


def check_private(folder: Path) -> None:
    """Refuse a folder, or a configuration file in it, that others can write: they would say what our workers run.

    Raises:
        OpenToOthers: They can.
    """
    for path in (folder, folder / FILE):
        try:
            mode = path.stat().st_mode
        except OSError:  # it is not there
            continue
        if mode & OTHERS_WRITE:
            raise errors.OpenToOthers(path=path, mode=stat.filemode(mode), folder=folder)


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
    """What the file says, over what agent-mapping.yaml beside it says; not validated yet.

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
        count=("" if is_all else "at least ") + wording.count(len(lines), "mistake"),
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
"""What a text of a setting has to look like, for people."""


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
    if line["type"] == "string_pattern_mismatch":
        return next(
            (FORMS[part] for part in reversed(loc) if part in FORMS), "has a sign that it cannot have"
        )
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
