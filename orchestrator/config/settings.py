"""The settings: every section, checked as a whole."""

from __future__ import annotations

import fnmatch
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.config import consistency, spelling
from orchestrator.config.folder import ENV_PREFIX, FILE, find_folder
from orchestrator.config.schema.agents import AgentSettings, Budgets, Price, TaskBudget, Workspaces
from orchestrator.config.schema.limits import Limits, Parallelism
from orchestrator.config.schema.notifications import Notification
from orchestrator.config.schema.operation import (
    ErrorHandling,
    Logging,
    Mcp,
    Metrics,
    Recovery,
    Retention,
    Trust,
    Web,
)
from orchestrator.config.schema.quality_gates import Gate, QualityGates
from orchestrator.config.schema.servers import BrokerSettings, RedisSettings
from orchestrator.config.schema.specialists import (
    SHIPPED_SPECIALISTS,
    SHIPPED_TIERS,
    SpecialistRouting,
    SpecialistSettings,
    Tier,
)
from orchestrator.config.schema.statuses import FlowMapping, StatusProgression, StatusValidation
from orchestrator.model.calls import called_by
from orchestrator.model.fields import Resource, Whole
from orchestrator.model.flows import FeatureFlow, Flow, Rules
from orchestrator.model.ladder import Ladder
from orchestrator.model.queues import Queues
from orchestrator.model.rate import MOST
from orchestrator.model.usage import Allowed


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
    _route: Callable[[str], str] | None = PrivateAttr(default=None)
    _queues: Queues | None = PrivateAttr(default=None)
    _unseen_app: str | None = PrivateAttr(default=None)

    parallelism: Parallelism = Parallelism()
    specialist_routing: SpecialistRouting = SpecialistRouting()
    specialists: Mapping[str, SpecialistSettings] = Field(
        default_factory=dict,
        description="Who does the work. These settings are laid over the four specialists that ship.",
    )
    tiers: Mapping[str, Tier] = Field(
        default_factory=lambda: dict(SHIPPED_TIERS),
        description="The tiers of models, named as you like; each with the models of a runtime, such as claude.",
    )
    agent_runtimes: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Programs of agents, beside those that ship; one of the same name is laid over that.",
    )
    budgets: Budgets = Budgets()
    workspaces: Workspaces = Workspaces()
    prices: Mapping[str, Price] = Field(
        default_factory=dict, description="Prices of models, before those of the price list that ships."
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
    notifications: tuple[Notification, ...] = Field(default=(), description="Which events are sent where.")
    trust: Trust = Trust()
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    tracing: bool = Field(
        default=False,
        description="a span of OpenTelemetry for each feature and attempt; set it where features are enqueued, too",
    )
    web: Web = Web()
    mcp: Mcp = Mcp()
    app: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?$",
        description="the project's own Celery app, as `celery -A` takes it, such as proj: its workers run the features",
    )
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
        # The file's settings arrive as arguments, so the environment goes before them.
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
        mistakes = [*consistency.unknown_names(self), *consistency.broken_flows(self)]
        if mistakes:
            raise ValidationError.from_exception_data("Settings", mistakes, hide_input=True)
        return self

    def title(self, specialist: str) -> str:
        """The specialist's name as people read it: the Celery task that it calls, or its title.

        One that is not configured here, but perhaps elsewhere, is called by its name.
        """
        if called := called_by(specialist):
            return called
        given = self.specialists.get(specialist)
        return given.title or spelling.default_title(specialist) if given else specialist

    def agent(self, specialist: str) -> AgentSettings | None:
        """The agent that does the work of a specialist; None: no agent does it."""
        given = self.specialists.get(specialist)
        return given.agent if given else None

    def allowed(self, specialist: str = "") -> Allowed:
        """The budgets as configured: of a feature and a day, and of a task of this specialist, if it is known.

        Example:
            >>> Settings(budgets={"feature": {"cost": 20}}).allowed().feature
            20.0
        """
        given = self.specialists.get(specialist)
        own = (given and given.budget) or TaskBudget()
        feature, day = self.budgets.feature, self.budgets.day
        return Allowed(
            cost=own.cost,
            tokens=own.tokens,
            turns=own.turns,
            feature=feature.cost if feature else None,
            day=day.cost if day else None,
        )

    @cached_property
    def pulled(self) -> tuple[str, ...]:
        """The specialists whose tasks wait for agents elsewhere, which ask for work."""
        return tuple(
            name
            for name, given in sorted(self.specialists.items())
            if given.agent and given.agent.runtime == "pull"
        )

    def rungs(self, specialist: str) -> tuple[str, ...]:
        """The tiers that an agent climbs, the weakest first; at least one, "" where no tier is named.

        Example:
            >>> Settings(specialists={"coder": {"agent": {"ladder": ["haiku", "opus"]}}}).rungs("coder")
            ('haiku', 'opus')
        """
        given = self.specialists.get(specialist)
        if not given or not given.agent:
            return ("",)
        return given.agent.ladder or (given.model_tier or "",)

    def ladder(self, specialist: str) -> Ladder | None:
        """The ladder of a specialist's agent; None: no agent does its work, or one elsewhere, without tiers of ours."""
        agent = self.agent(specialist)
        if not agent or (agent.runtime == "pull" and not agent.ladder):
            return None
        return Ladder(self.rungs(specialist), agent.tries_per_tier)

    def rung(self, specialist: str, place: int) -> str:
        """The tier at a place of an agent's ladder, from 0; the last one where the ladder is shorter now."""
        rungs = self.rungs(specialist)
        return rungs[min(place, len(rungs) - 1)]

    def model(self, runtime: str, tier: str) -> str:
        """The model of a tier for a runtime; the tier's own name where nothing else is said.

        Example:
            >>> Settings().model("claude", "opus")
            'opus'
        """
        found = self.tiers.get(tier)
        if isinstance(found, Mapping):
            return found.get(runtime, "")
        return found or tier

    def model_of(self, specialist: str, place: int) -> str:
        """The model that an agent works with at a place of its ladder; its runtime, where no model is named.

        Example:
            >>> Settings(specialists={"coder": {"agent": {"ladder": ["haiku", "opus"]}}}).model_of("coder", 1)
            'opus'
        """
        agent = self.agent(specialist)
        return (self.model(agent.runtime, self.rung(specialist, place)) or agent.runtime) if agent else ""

    def find_specialist(self, wanted: str) -> str | None:
        """The name of the specialist of that name, else of that title, in small or capital letters."""
        return spelling.find(wanted, {name: self.title(name) for name in self.specialists})

    def queue(self, specialist: str) -> str:
        """The queue that the specialist's tasks go to; "" for a called task whose app is not at hand to say it."""
        if called := called_by(specialist):
            return self._route(called) if self._route else ""
        return self.specialists[specialist].queue or specialist

    @property
    def is_routed(self) -> bool:
        """Messages go through a Celery app of the project's own."""
        return self._route is not None

    def routed(self, route: Callable[[str], str], queues: Queues | None = None) -> Settings:
        """The settings in a Celery app of the project's own.

        Args:
            route: The name of the queue to which the app sends a task, by the name of the task.
            queues: Its queues, if they lie on the Redis of the state, and messages need nothing but Redis to be sent.
        """
        found = self.model_copy()
        found._route, found._queues = route, queues
        return found

    @property
    def celery_queues(self) -> Queues | None:
        """Celery's queues, if they lie on the Redis of the state, and a script there can send messages.

        A script has no key to sign with. A Redis in memory gives its launches to a worker in this process.
        """
        if self.is_routed:
            return self._queues
        if self.app or self.broker.url or self.broker.signing or self.redis.is_in_memory:
            return None
        return Queues(f"{self.redis.prefix}:celery:", self.queues, map(self.queue, self.specialists))

    def in_memory(self) -> Settings:
        """The settings with a Redis in memory, of a new name, and without a broker."""
        url = SecretStr(f"memory://{secrets.token_hex(8)}")
        redis = self.redis.model_copy(update={"url": url, "replicas": 0})
        return self.model_copy(update={"redis": redis, "broker": BrokerSettings(show=self.broker.show)})

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

    @cached_property
    def project(self) -> Path:
        """The folder of the project, in which the `.taskorchestrator` folder lies."""
        return self.folder.parent

    @property
    def log_folder(self) -> Path:
        """The folder that keeps the whole output of commands."""
        return self.logs or self._own_logs

    @cached_property
    def _own_logs(self) -> Path:
        return self.folder / "logs"

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
        """The redis-server to run, if one is named; a relative path starts at the project's folder."""
        named = self.redis.redis_server
        return str(self.project / named) if named and "/" in named else named

    def for_looking(self) -> Settings:
        """The settings for commands that only look: they start and import nothing that the folder's own file names.

        A value from the environment is not the folder's.
        """
        if not self._is_of_the_folder:
            return self
        found = self.model_copy()
        if f"{ENV_PREFIX}REDIS__REDIS_SERVER" not in os.environ:
            found = found.model_copy(update={"redis": self.redis.model_copy(update={"redis_server": None})})
        if f"{ENV_PREFIX}APP" not in os.environ:
            found = found.model_copy(update={"app": None})
            found._unseen_app = self.app
        return found

    @property
    def unseen_app(self) -> str | None:
        """The project's own Celery app, which a command that only looks does not import."""
        return self._unseen_app

    @property
    def starts(self) -> str:
        """The modules and programs that the folder's own file makes a command import or start; "" if none."""
        if not self._is_of_the_folder:
            return ""
        named = [f"starts {self.redis_server}"] if self.redis_server and self.is_embedded else []
        hooks: list[SpecialistSettings | Gate] = [*self.specialists.values(), *self._all_gates]
        callables = [self.app, *(given.python for given in hooks)]
        imported = sorted({*self.imports, *(name.split(":")[0] for name in callables if name)})
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
        """Whether workers accept messages of `Plan.canvas()`: anyone who can send messages could forge one."""
        allowed = self.trust.canvas
        return self.broker.signing is not None if allowed is None else allowed

    @property
    def inline_commands(self) -> bool:
        """A feature may bring commands of its own."""
        allowed = self.trust.inline_commands
        return self.is_embedded if allowed is None else allowed

    def may_call(self, call: str, *, from_file: bool = True) -> bool:
        """Whether a feature may call a task of the project's own Celery app.

        Args:
            call: The name of the task.
            from_file: The feature was written in a file; False: by a Python program of the operator.
        """
        patterns = self.trust.calls
        if patterns is None:
            return not from_file or self.inline_commands
        return any(fnmatch.fnmatchcase(call, pattern) for pattern in patterns)


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
    """A shipped specialist, without its tier if the operator's own tiers do not have it."""
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


def _mapped(tags: Iterable[str], mappings: Iterable[FlowMapping]) -> str:
    has = set(tags)
    if not has:
        return "default"
    return next((mapping.flow for mapping in mappings if has & set(mapping.tags)), "default")
