"""Sections about operation: what happens on errors, recovery, retention, logging, trust."""

from __future__ import annotations

import warnings
from typing import Literal

from pydantic import Field, model_validator

from orchestrator.config.schema.section import Section
from orchestrator.model.fields import Number, Seconds, Whole


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
