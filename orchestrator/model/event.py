"""An event: one thing that happened to a feature or a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import (
    Field,
)

if TYPE_CHECKING:
    pass
from orchestrator.model.fields import Model


class Event(Model):
    """One entry of a feature's event stream."""

    id: str = Field(description="the id in the Redis Stream")
    time: float
    event: str
    task: str = ""
    source: str = Field(default="", description="status before")
    target: str = Field(default="", description="status after")
    attempt: int | None = None
    batch: int | None = None
    worker: str = ""
    specialist: str = Field(default="", description="who begins the attempt, or who is handed the task")
    cause: str = ""
    percent: str = ""
    note: str = ""
    by: str = Field(default="", description="who decided it, where that is known")
    wait: str = Field(default="", description="ms until the next attempt")
    total: int | None = Field(default=None, description="tasks of a batch that opened")
    in_flight: int | None = None
    waiting: int | None = Field(default=None, description="tasks that wait for a slot")
    ran: float | None = Field(default=None, description="ms that an overdue batch has taken")
    expected: float | None = Field(default=None, description="ms that it was expected to take")
