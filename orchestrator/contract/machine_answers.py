"""Answers about this installation: `specialists`, `limits`, `usage`, `doctor`, `config`, `prune`, `forget`; errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from orchestrator.contract.answer import Action, After, Answer, LeftOut


class SpecialistLine(Answer):
    """A specialist, and how it is configured."""

    name: str
    title: str = ""
    description: str = ""
    queue: str = Field(default="", description="if it is not the name")
    model_tier: str = ""
    runtime: str = Field(default="", description="what its agent runs by, such as claude")
    ladder: str = Field(default="", description="its agent's tiers, such as: haiku, then opus, then a person")
    tags: tuple[str, ...] = Field(default=(), description="that route to it")
    work: str = Field(
        default="", description="command, python, agent, or absent: it does only tasks with a `run`"
    )
    default: bool = False


class SpecialistsAnswer(Answer):
    """Of `specialists`: who there is."""

    specialists: tuple[SpecialistLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Holder(Answer):
    """A task that holds some of a limit."""

    feature: str
    task: str
    units: int = 1


class LimitLine(Answer):
    """A limit over all features: how much there is, and who holds it."""

    limit: str
    amount: str = ""
    in_use: float = 0
    waiting: int = Field(default=0, description="tasks")
    features: int = Field(default=0, description="of how many features")
    next_token: float | None = Field(default=None, description="seconds until a rate lets one more begin")
    holders: tuple[Holder, ...] = ()


class ModelLine(Answer):
    """A model whose limit an agent has met."""

    model: str
    opens: float = Field(default=0.0, description="seconds until it opens again")
    cap: int = Field(
        description="how many agents may work with it then; it grows as they complete their work"
    )


class LimitsAnswer(Answer):
    """Of `limits`: what holds over all features."""

    limits: tuple[LimitLine, ...] = ()
    models: tuple[ModelLine, ...] = Field(default=(), description="those whose limit was reached")
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class UsageLine(Answer):
    """What agents have used: a sum."""

    name: str = Field(default="", description="the task, specialist, model or day; absent: all together")
    input: int = Field(default=0, description="tokens read, without those from a cache")
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = Field(default=0, description="of the output")
    requests: int = 0
    cost: float | None = Field(default=None, description="dollars, as far as they are known; absent: unknown")
    unknown: int = Field(default=0, description="attempts of which the cost is unknown")


class BudgetLine(Answer):
    """How much of a budget is used, in dollars."""

    budget: Literal["feature", "day"]
    limit: float
    spent: float
    kept: float = Field(default=0.0, description="kept for agents at work, and not spent yet")
    left: float = Field(description="neither spent nor kept")


class UsageAnswer(Answer):
    """Of `usage`: what agents have used."""

    feature: str = ""
    by: Literal["task", "specialist", "model", "day"]
    usage: tuple[UsageLine, ...] = ()
    total: UsageLine
    budgets: tuple[BudgetLine, ...] = Field(default=(), description="those that hold")
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class FindingLine(Answer):
    """The result of one check."""

    finding: str
    level: str
    text: str
    remedy: str = ""


class DoctorAnswer(Answer):
    """Of `doctor`: what was checked."""

    findings: tuple[FindingLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Setting(Answer):
    """A setting in force."""

    setting: str
    value: JsonValue
    origin: str = Field(default="default", description="environment, file or default")


class SettingsAnswer(Answer):
    """Of `config`: the settings in force."""

    file: str = ""
    folder: str
    settings: tuple[Setting, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class PruneAnswer(Answer):
    """Of `prune` and `forget`: what went, or would go."""

    features: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    dry_run: bool = False
    left_out: LeftOut = Field(default_factory=dict)


class DeliverAnswer(Answer):
    """Of `deliver`: where the work of a feature is now."""

    feature: str
    branch: str
    commit: str


# Errors


class ErrorAnswer(Answer):
    """Of any command that fails: what is wrong, with what, and what to do."""

    code: str = Field(description="stable; see `orchestrator schema codes`")
    message: str
    cause: str = ""
    subject: Mapping[str, str] = Field(
        default_factory=dict, description="what it is about: {feature, task, …}"
    )
    actions: tuple[Action, ...] = ()
    facts: Mapping[str, JsonValue] = Field(default_factory=dict)


class Code(Answer):
    """A code that an error may have."""

    code: str
    exit_code: int
    message: str = Field(description="with the names of its facts in braces")


class CodesAnswer(Answer):
    """Of `schema codes`: every code there is."""

    codes: tuple[Code, ...] = ()
