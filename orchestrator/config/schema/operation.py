"""Sections about operation: what happens on errors, recovery, retention, logging, trust."""

from __future__ import annotations

import warnings
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from orchestrator.config.schema.section import Section
from orchestrator.model.fields import Number, Seconds, Whole


class ErrorHandling(Section):
    """Automatic reactions to errors."""

    escalate_technical_to: str | None = Field(
        default=None,
        description="a specialist that gets a task with a technical blocker, once, before a person is asked",
    )
    overdue_factor: Number = Field(
        default=1.5,
        ge=1,
        le=100,
        description="a batch is overdue when it takes this many times its expected duration",
    )
    overdue_least: Seconds = Field(
        default=60.0,
        description="and only when it is at least this much over it, because short tasks vary by seconds",
    )


class Recovery(Section):
    """How soon the tasks of a lost worker run again."""

    lease: Seconds = Field(default=10.0, description="a worker that is silent for this long counts as lost")
    sweep: Seconds = Field(default=1.0, description="time between two sweeps for lost workers and messages")
    patience: Seconds = Field(
        default=5.0,
        description="a task that has not started by then gets another message, because the first seems lost",
    )
    outage: Seconds = Field(
        default=300.0,
        description="while Redis is away, workers keep their outcomes and watchers wait, at most this long",
    )
    grace: Seconds | None = Field(
        default=30.0,
        description="when a worker stops, its tasks may run on for this long; then it hands back those that still run; "
        "null: no limit",
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
    """How long finished features are kept."""

    finished: Seconds | None = Field(
        default=30 * 86_400.0,
        description="a feature that ended this long ago is deleted, with its logs and folders; null: never",
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


class Metrics(Section):
    """Figures for Prometheus, where there is no Flower: it shows them at its own /metrics."""

    port: Whole | None = Field(
        default=None, ge=1, le=65_535, description="each worker serves /metrics at this port; null: none does"
    )
    address: str = Field(
        default="127.0.0.1", description="where it listens: by default for this machine alone"
    )


class Trust(Section):
    """The rights that features have."""

    inline_commands: bool | None = Field(
        default=None,
        description="may bring `run:` commands; null: only where Redis is the private one",
    )
    canvas: bool | None = Field(
        default=None,
        description="workers take up what Plan.canvas() sends; null: only where messages are signed",
    )
    calls: tuple[str, ...] | None = Field(
        default=None,
        description="the tasks of the project's own Celery app that features may call, as patterns such as "
        "proj.tasks.*; null: all from Python, and from files only where inline commands are allowed",
    )
    inline_workdir: Literal["task", "project"] = Field(
        default="project", description="where inline commands run: see specialists.NAME.workdir"
    )


class Web(Section):
    """The pages of features in Flower."""

    read_only: bool = Field(default=False, description="the pages only show: nobody decides anything there")
    secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="where Flower has no password: what lets somebody in, as ?secret=… in the address; null: Flower "
        "makes one when it starts, and prints the address",
    )


class Mcp(Section):
    """The MCP server."""

    human: tuple[str, ...] = Field(
        default=("approve", "skip", "cancel", "budget"),
        description="actions for which a person is asked: an agent cannot do them by itself",
    )
    lease: Seconds = Field(
        default=600.0,
        ge=1,
        description="an agent that has claimed a task and reports nothing for this long has lost it",
    )
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="what clients of --http send as Authorization: Bearer; null: one is made at the start, and printed",
    )
