"""The input of an agent: a feature and its tasks, with the fields that an agent needs, and no more.

Each word here costs every caller tokens, so a field has a description only where its name does not say it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class TaskInput(BaseModel):
    """A task as an agent writes it."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: str = ""
    description: str = ""
    tags: list[str] = []
    depends_on: list[str] = []
    params: dict[str, Any] = {}
    touches: list[str] = []

    def fields(self) -> dict[str, Any]:
        """The fields that were given."""
        return self.model_dump(exclude_unset=True)


class FeatureInput(BaseModel):
    """A feature as an agent writes it."""

    model_config = ConfigDict(extra="forbid")

    title: str
    tasks: list[TaskInput]
    strategy: str = "auto"
    max_parallel_tasks: int = 0
    budget: float = 0

    def fields(self) -> dict[str, Any]:
        """The fields that were given, as a feature file has them."""
        given = self.model_dump(exclude_unset=True, exclude={"tasks"})
        if not self.max_parallel_tasks:
            given.pop("max_parallel_tasks", None)
        if not self.budget:
            given.pop("budget", None)
        return {**given, "tasks": [task.fields() for task in self.tasks]}
