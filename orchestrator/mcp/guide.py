"""The tools that the guide of the profile `guide` names: the same answers, under its names."""

from __future__ import annotations

from typing import Literal

from mcp.server.mcpserver.exceptions import ToolError

from orchestrator.client.client import Client
from orchestrator.mcp import lines
from orchestrator.mcp.reading import Reading
from orchestrator.planning import graph

Direction = Literal["incoming", "outgoing", "all"]


class Guide:
    """Answers the guide's questions.

    Args:
        client: Of the settings in force.
        reading: Gives the answers.
    """

    def __init__(self, client: Client, reading: Reading) -> None:
        self.client = client
        self.reading = reading

    def query_container(
        self,
        operation: Literal["overview", "get", "search"],
        containerType: Literal["feature", "task"] = "feature",
        id: str = "",
        featureId: str = "",
        status: str = "",
        limit: int = 20,
    ) -> str:
        """Features and tasks. search: the tasks of featureId, or those with a status; get a task: id and featureId."""
        feature = featureId or ("" if containerType == "task" else id)
        if containerType == "task" and not feature:
            raise ToolError("Give featureId: a task's id is unique within its feature.")
        if operation == "search" and feature:
            return self.reading.listed(feature, lambda word: status in ("", word), limit)
        if containerType == "task":
            return self.reading.task(feature, id, "brief")
        return self.reading.status(feature, "all", limit)

    def query_dependencies(
        self, featureId: str, taskId: str, direction: Direction = "all", includeTaskInfo: bool = False
    ) -> str:
        """What a task depends on (incoming) and what depends on it (outgoing)."""
        handle = self.client.feature(featureId)
        task = self.client.store.tasks.find(handle.id, taskId)
        followers = graph.dependents(self.client.store.tasks.dependencies(handle.id))
        found = {"incoming": list(task.depends_on), "outgoing": list(followers.get(taskId, ()))}
        wanted = [name for name in found if direction in (name, "all")]
        shown = [f"{name}: {' '.join(found[name]) or 'none'}" for name in wanted]
        if includeTaskInfo:
            named = [task for name in wanted for task in found[name]]
            shown += self.reading.lines_of(handle.states_of(named)) if named else []
        return lines.joined(shown)
