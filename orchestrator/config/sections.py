"""The sections of the settings: what can be set, its default, and what it is for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from orchestrator.config import spelling, urls
from orchestrator.config.spelling import NAME_PATTERN as NAME_PATTERN
from orchestrator.config.urls import RedisUrl
from orchestrator.model import flows
from orchestrator.model.fields import Number, Seconds, Tag, Whole
from orchestrator.model.rate import MOST, check_rate

PYTHON_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"


Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\*?$")]

PASS_ENV = "variables of the worker that the command gets, beside PATH, HOME, LANG, LC_*, TZ, TMPDIR; PIP_* is all such"  # nosec B105  # it is no password, but what pass_env is for


class Section(BaseModel):
    """A part of the settings: nothing but its declared fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Take(Section):
    """How long a process of a worker goes on by itself, before Celery gives it a message again."""

    seconds: Seconds = Field(default=1.0, description="it takes no more after this time")
    count: Whole = Field(default=100, ge=1, description="it takes no more after so many tasks")


class Parallelism(Section):
    """How much runs at once."""

    max_parallel_tasks: Whole = Field(
        default=5, ge=1, le=10_000, description="tasks of one feature that run at the same time"
    )
    max_parallel_total: Whole | None = Field(
        default=None, ge=1, le=MOST, description="tasks of all features together that run at the same time"
    )
    take: Take | Literal[False] = Field(
        default=Take(),
        description="a process takes its next task in the step that commits the last; false: Celery brings each",
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
        pattern=PYTHON_PATTERN,
        description="callable that does the work, such as package.module:function",
    )
    env: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="environment variables of the command; never shown"
    )
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    user: str | None = Field(
        default=None,
        pattern=r"^[a-z_][a-z0-9_\-]{0,31}$",
        description="user of this machine that its commands run as; only where the worker is root",
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
    rate: Annotated[str, AfterValidator(check_rate)] | None = Field(
        default=None,
        description="attempts that all workers together start, such as 30/m, or 30/m burst 5; also as rate_limit",
    )
    concurrency: Whole | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="its tasks of all features together that run at the same time",
    )
    model_tier: str | None = Field(
        default=None, description="the tier of its model, one of `tiers`: a hint for agents"
    )

    @model_validator(mode="before")
    @classmethod
    def _by_one_name(cls, value: object) -> object:
        """Celery's rate_limit means rate. Celery's own limit would hold up all other tasks of the worker too."""
        return spelling.by_one_name(value, spelling.SPECIALIST)

    @model_validator(mode="after")
    def _one_way_to_work(self) -> SpecialistSettings:
        if self.command and self.python:
            raise ValueError("has both a command and a python callable; keep one of them")
        if self.user and self.python:
            raise ValueError(
                "has a user and a python callable, which runs in the worker; make it a command, or leave user out"
            )
        return self


SHIPPED_SPECIALISTS: Mapping[str, Mapping[str, str]] = {
    "implementation-specialist": {
        "title": "Implementation Specialist",
        "description": "Builds what is well understood: backend, frontend, database, tests, documentation.",
        "model_tier": "haiku",
    },
    "senior-engineer": {
        "title": "Senior Engineer",
        "description": "Takes bugs, errors, blockers and whatever is complex.",
        "model_tier": "sonnet",
    },
    "feature-architect": {
        "title": "Feature Architect",
        "description": "Turns an idea into a feature.",
        "model_tier": "opus",
    },
    "planning-specialist": {
        "title": "Planning Specialist",
        "description": "Breaks a feature down into tasks.",
        "model_tier": "sonnet",
    },
}

Tier = Mapping[str, str] | str | None
"""The models of a tier: of each runtime, or one for all. None: the name says enough."""

SHIPPED_TIERS: Mapping[str, Tier] = {
    "haiku": {"claude": "haiku"},
    "sonnet": {"claude": "sonnet"},
    "opus": {"claude": "opus"},
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
        default_factory=lambda: dict(SHIPPED_MAPPING), description="tag: specialist, by name or title"
    )
    tag_priority: tuple[Tag, ...] = Field(
        default=tuple(SHIPPED_MAPPING), description="of several matching tags, the first of these decides"
    )
    fallback: Literal["use_default", "ask_user"] = Field(
        default="use_default",
        description="where no tag matches: use_default, or ask_user (the task waits for `assign`); also as "
        "fallback_behavior",
    )
    default: str = Field(
        default="implementation-specialist",
        description="the specialist of use_default, by name or title; also as default_specialist",
    )

    @model_validator(mode="before")
    @classmethod
    def _by_one_name(cls, value: object) -> object:
        return spelling.by_one_name(value, spelling.ROUTING)


class FlowMapping(Section):
    """Which flow a task or feature with one of these tags takes."""

    tags: tuple[Tag, ...] = Field(min_length=1, description="any of these tags")
    flow: str = Field(description="takes this flow")


class TaskProgression(Section):
    """The status flows of tasks."""

    flows: Mapping[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(flows.SHIPPED_FLOWS),
        description="each flow's statuses, in order; laid over the five that ship",
    )
    flow_mappings: tuple[FlowMapping, ...] = Field(
        default=(
            FlowMapping(tags=("hotfix", "emergency"), flow="hotfix"),
            FlowMapping(tags=("bug", "bugfix"), flow="bug_fix"),
            FlowMapping(tags=("needs-review",), flow="with_review"),
            FlowMapping(tags=("documentation", "docs"), flow="documentation"),
        ),
        description="the first one that matches a tag decides; none: the flow default",
    )
    emergency_transitions: tuple[str, ...] = Field(
        default=("blocked", "on-hold", "cancelled", "deferred"),
        description="where a person may send a task from any status that is not terminal",
    )
    terminal_statuses: tuple[str, ...] = Field(
        default=("completed", "cancelled"), description="a task does not leave these"
    )


class FeatureProgression(Section):
    """The status flows of features."""

    flows: Mapping[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(flows.SHIPPED_FEATURE_FLOWS),
        description="each flow's statuses, in order; laid over the four that ship",
    )
    flow_mappings: tuple[FlowMapping, ...] = Field(
        default=(
            FlowMapping(tags=("prototype", "spike"), flow="rapid_prototype"),
            FlowMapping(tags=("experiment",), flow="experimental"),
            FlowMapping(tags=("needs-review",), flow="with_review"),
        ),
        description="the first one that matches a tag decides; none: the flow default",
    )


class StatusProgression(Section):
    """How tasks and features pass through their statuses."""

    tasks: TaskProgression = Field(
        default=TaskProgression(), description="flows of tasks, and who takes which"
    )
    features: FeatureProgression = Field(
        default=FeatureProgression(), description="flows of features, and which takes which"
    )


class StatusValidation(Section):
    """What the flows allow beside going forward, step by step."""

    enforce_sequential: bool = Field(
        default=True, description="a person advances a task one status at a time, and skips none"
    )
    allow_backward: bool = Field(
        default=True, description="changes may be requested, and failed gates send a task back"
    )
    allow_emergency: bool = Field(
        default=True, description="a person may block, hold, defer or cancel from anywhere"
    )
    validate_prerequisites: bool = Field(
        default=True, description="a person cannot advance a task before its dependencies are resolved"
    )


class Hook(Section):
    """What a gate runs: a command, or a Python callable."""

    command: tuple[str, ...] | None = Field(default=None, min_length=1, description="argument list to run")
    python: str | None = Field(
        default=None, pattern=PYTHON_PATTERN, description='callable "package.module:name" to call'
    )

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: object) -> object:
        """A list is a command, a text a callable."""
        if isinstance(value, list | tuple):
            return {"command": value}
        return {"python": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> Hook:
        if (self.command is None) == (self.python is None):
            raise ValueError("needs either a command or a python callable")
        return self


class Gate(Section):
    """One quality gate: a hook that passes or does not."""

    name: str = Field(default="", max_length=64, description="how reports call it; else as its hook")
    hook: str | None = Field(default=None, description="what to run, by its name in quality_gates.hooks")
    command: tuple[str, ...] | None = Field(default=None, min_length=1, description="argument list to run")
    python: str | None = Field(
        default=None, pattern=PYTHON_PATTERN, description='callable "package.module:name" to call'
    )
    required: bool = Field(default=True, description="false: a failure warns, and lets the task through")
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    timeout: Seconds = Field(default=600.0, description="a gate that takes longer has failed")
    tags: tuple[Tag, ...] = Field(default=(), description="applies to tasks with one of these; none: to all")

    @model_validator(mode="before")
    @classmethod
    def _named_as_its_hook(cls, value: object) -> object:
        if not isinstance(value, Mapping) or value.get("name") or not value.get("hook"):
            return value
        return {**value, "name": value["hook"]}

    @model_validator(mode="after")
    def _one_hook(self) -> Gate:
        if [self.hook, self.command, self.python].count(None) != 2:
            raise ValueError("needs either a command or a python callable, or the name of a hook")
        if not self.name:
            raise ValueError("needs a name, by which reports call it")
        return self

    def resolved(self, hooks: Mapping[str, Hook]) -> Gate:
        """The same gate with the command or the callable of its hook."""
        if self.hook is None:
            return self
        found = hooks[self.hook]
        return self.model_copy(update={"hook": None, "command": found.command, "python": found.python})


class StageGates(Section):
    """The gates of a task or a feature, by the stage that they guard."""

    testing: tuple[Gate, ...] = Field(default=(), description="to be passed while in testing")
    completion: tuple[Gate, ...] = Field(default=(), description="to be passed before completion")

    @field_validator(*spelling.STAGES, mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return spelling.as_list(value)


class QualityGates(Section):
    """Hooks that a task or a feature has to pass."""

    enabled: bool = Field(default=False, description="false: no gate runs")
    task_gates: StageGates = Field(
        default=StageGates(),
        description="of each task: name, command or python or hook, required, timeout, tags; one, or a list",
    )
    feature_gates: StageGates = Field(
        default=StageGates(), description="of a feature, once all its tasks are resolved"
    )
    hooks: Mapping[str, Hook] = Field(
        default_factory=dict,
        description="what gates name by `hook`: a list is a command, a text a Python callable",
    )

    def unknown_hooks(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Where a gate names a hook that there is not, with that name."""
        for part, stages in (("task_gates", self.task_gates), ("feature_gates", self.feature_gates)):
            for stage in spelling.STAGES:
                for place, gate in enumerate(getattr(stages, stage)):
                    if gate.hook is not None and gate.hook not in self.hooks:
                        yield (part, stage, str(place), "hook"), gate.hook


class ErrorHandling(Section):
    """What happens by itself when something goes wrong."""

    escalate_technical_to: str | None = Field(
        default=None,
        description="a specialist that gets a task with a technical blocker, once, before anybody is asked",
    )
    overdue_factor: Number = Field(
        default=1.5, ge=1, le=100, description="a batch is overdue at so many times its expected duration"
    )
    overdue_least: Seconds = Field(
        default=60.0, description="and not before it is this much over it: short tasks vary by seconds"
    )


class Notification(Section):
    """Who is told of what. Exactly one of log, command and webhook."""

    events: tuple[str, ...] = Field(
        min_length=1,
        description="event names (work_failed, …), needs-person, failures, milestones, or * for all",
    )
    log: bool = Field(default=False, description="write a line to the worker's log")
    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="argument list to run; it gets the event as JSON on its input"
    )
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    webhook: SecretStr | None = Field(default=None, description="URL that gets the event as JSON by POST")
    secret: SecretStr | None = Field(default=None, description="key of the webhook's signature; never shown")
    timeout: Seconds = Field(default=10.0, description="a try takes no longer")
    tries: Whole = Field(
        default=5, ge=1, le=100, description="tries before an event is given up, with a log line"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Notification:
        if sum(map(bool, (self.log, self.command, self.webhook))) != 1:
            raise ValueError("needs exactly one of log, command and webhook")
        return self

    @field_validator("webhook")
    @classmethod
    def _is_a_web_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            urls.check(value.get_secret_value(), schemes=("https", "http"))
        return value


class RedisSettings(Section):
    """Where the state is kept. Without a url a private redis-server runs for this folder."""

    url: SecretStr | None = Field(
        default=None,
        description="where it is: redis://host:6379/0, rediss://…, unix:///path, sentinel://host:26379/mymaster; "
        "never shown",
    )
    replicas: Whole = Field(
        default=0,
        ge=0,
        le=100,
        description="replicas that have an outcome, and a new feature, before it counts (WAIT)",
    )
    prefix: str = Field(
        default="to", pattern=r"^[A-Za-z0-9_.\-]{1,32}$", description="the first part of every key"
    )
    allow_eviction: bool = Field(
        default=False, description="workers start with a Redis that throws keys away when its memory is full"
    )
    redis_server: str | None = Field(
        default=None, description="path of the redis-server to run when url is not set"
    )

    @field_validator("url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            urls.read(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _has_replicas(self) -> RedisSettings:
        if self.replicas and self.url is None:
            raise ValueError("replicas is set, but the private Redis has none; set url too")
        return self

    @property
    def server(self) -> RedisUrl | None:
        """The url, read."""
        return urls.read(self.url.get_secret_value()) if self.url else None


class Signing(Section):
    """Paths of what messages are signed with, and whose signatures are accepted. See docs/security.md."""

    key: Path = Field(description="private key of whoever sends, PEM without a password")
    certificate: Path = Field(description="certificate of that key, PEM")
    store: str = Field(description="certificates of all whose messages are accepted, such as /etc/keys/*.crt")


class BrokerSettings(Section):
    """Where Celery's messages go: the same Redis as the state, unless a url says otherwise."""

    url: SecretStr | None = Field(
        default=None, description="a Redis as in redis.url, or any broker URL that Celery knows; never shown"
    )
    signing: Signing | None = Field(
        default=None, description="key, certificate and store: messages are signed, and others refused"
    )
    show: Literal["ids", "titles"] = Field(
        default="ids", description="how Celery's log, Flower and other monitors name a task that ended"
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            text = value.get_secret_value()
            urls.read(text) if urls.is_redis(text) else urls.check(text)
        return value

    @property
    def server(self) -> RedisUrl | None:
        """The url, read, where it is that of a Redis."""
        text = self.url.get_secret_value() if self.url else ""
        return urls.read(text) if urls.is_redis(text) else None


class Limits(Section):
    """Sizes over which a feature is refused, and how much is kept."""

    tasks: Whole = Field(default=100_000, ge=1, description="tasks in a feature")
    dependencies: Whole = Field(
        default=1_000_000, ge=0, description="dependencies in a feature, all tasks together"
    )
    text: Whole = Field(default=100_000, ge=100, description="characters in a description")
    params: Whole = Field(
        default=100_000, ge=100, description="characters of a task's params and run, as JSON"
    )
    file: Whole = Field(default=64_000_000, ge=1_000, description="bytes of a feature file")
    result: Whole = Field(default=1_000_000, ge=100, description="characters of a result, as JSON")
    tail: Whole = Field(default=4_000, ge=100, description="characters of output kept in an outcome")
    events: Whole = Field(
        default=1_000_000,
        ge=100,
        description="events kept for each feature, about; a task has three or more",
    )


class Recovery(Section):
    """How soon what a lost worker held is taken up again."""

    lease: Seconds = Field(default=10.0, description="a worker that is silent for so long is taken for lost")
    sweep: Seconds = Field(default=1.0, description="time between two looks at what needs to be put right")
    patience: Seconds = Field(
        default=5.0,
        description="a task whose message seems lost, for it has not started by then, gets another",
    )
    outage: Seconds = Field(
        default=300.0,
        description="while Redis is away, a worker keeps what it has to tell it for so long, and who watches waits",
    )
    grace: Seconds | None = Field(
        default=30.0,
        description="a worker that is told to end lets its tasks run for so long, and hands back what still runs then; "
        "null: to their own end",
    )
    worker_lost_retries: Whole = Field(
        default=2, ge=0, description="attempts that may be lost with their worker"
    )
    hand_backs: Whole = Field(
        default=20, ge=0, description="attempts of a task that workers may hand back when they end"
    )

    @model_validator(mode="after")
    def _can_be_renewed(self) -> Recovery:
        if self.lease < 3 * self.sweep:
            raise ValueError(
                "lease is shorter than three times sweep: leases are renewed once in a sweep, and would end under "
                "workers that are well"
            )
        return self


class Retention(Section):
    """How long what is over is kept."""

    finished: Seconds | None = Field(
        default=30 * 86_400.0,
        description="a feature that has been over for so long is forgotten, with its logs and folders; null: never",
    )


with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", UserWarning
    )  # pydantic has a method of this name, which it calls outdated

    class Logging(Section):
        """How a worker writes its log."""

        json: bool = Field(  # type: ignore[assignment]
            default=False,
            description="a line of JSON for each record, with feature, task and attempt as fields",
        )


class Trust(Section):
    """What a feature may do."""

    inline_commands: bool | None = Field(
        default=None,
        description="may bring `run:` commands; null: only where Redis is the private one",
    )
    canvas: bool | None = Field(
        default=None,
        description="workers take up what Plan.canvas() sends; null: only where messages are signed",
    )
    inline_workdir: Literal["task", "project"] = Field(
        default="project", description="where inline commands run: see specialists.NAME.workdir"
    )
