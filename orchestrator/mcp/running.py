"""The tools that run features: plan, run, wait, grow."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.client import answers
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.feature_file import reader
from orchestrator.mcp import lines
from orchestrator.mcp.caller import Caller
from orchestrator.mcp.inputs import FeatureInput, TaskInput
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature
from orchestrator.model.flows import STOPPED
from orchestrator.planning import routing
from orchestrator.report import json_plans
from orchestrator.state import drafts

LONGEST_WAIT = 50
"""Seconds: clients give a call up after 60 (typescript-sdk#2250)."""

LOOK = 2.0
"""Seconds between two looks at whether somebody else settled the feature."""

TOLD = frozenset({*map(str, STOPPED), "in-review"})
"""Statuses of a task that end a wait."""


class Running:
    """The tools that start features and change how they run.

    Args:
        client: Of the settings in force.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def plan(self, feature: FeatureInput) -> str:
        """Plan a feature without running it; keeps it a day under a plan id."""
        fields = feature.fields()
        made = self._made(fields)
        settings = self.client.settings
        planned = self.client.plan(made)
        routes = routing.route(made, settings)
        draft = drafts.keep(self.client.store, fields)
        return lines.joined(lines.plan_lines(draft, json_plans.plan(planned, routes)))

    def run(self, plan: str, key: str = "", stop_before: list[int] | None = None) -> str:
        """Start a planned feature and return its id at once. The same plan starts once, unless key differs."""
        made = self._made(drafts.find(self.client.store, plan))
        handle = self.client.enqueue(made, idempotency_key=key or f"plan {plan}", stops=stop_before or ())
        return f"{handle.id} (started before)" if handle.repeated else handle.id

    def _made(self, fields: Mapping[str, Any]) -> Feature:
        text = json.dumps(fields, ensure_ascii=False)
        return reader.parse(text, self.client.settings.limits, "The feature", json=True)

    def wait(self, feature: str, caller: Caller, since: str = "", seconds: int = LONGEST_WAIT) -> str:
        """Wait until a batch ends, a task stops, a person is needed, or all is over. Pass the last cursor as since."""
        handle = self.client.feature(feature)
        after = since or self.client.store.events.last(handle.id)
        news, after = self._until_news(handle, after, max(0, min(seconds, LONGEST_WAIT)), caller)
        progress = handle.progress()
        if news:
            caller.changed(handle.id)
        needs = answers.find_needs(self.client, handle, progress) if news or progress.is_settled else []
        shown = [lines.need_line(need) for need in needs[:NEEDS]]
        return lines.joined(
            [
                lines.headline(progress),
                *lines.counted(shown, len(needs) - len(shown), "needs"),
                f"cursor {after}",
            ]
        )

    def _until_news(self, handle: Handle, after: str, most: float, caller: Caller) -> tuple[bool, str]:
        """Whether something happened that matters, and the last event that was read."""
        began = time.monotonic()
        while True:
            progress = handle.progress()  # read before the events, so that none is missed
            is_settled, waited = progress.is_settled, time.monotonic() - began
            left = most - waited
            if left < most - LOOK / 2:  # not for an answer that comes at once
                caller.progress(waited, most, lines.headline(progress))
            found = handle.events(after, block=None if is_settled or left <= 0 else min(LOOK, left))
            if found:
                after = found[-1].id
            if any(map(matters, found)):
                return True, after
            if not found and (is_settled or left <= 0):
                return False, after

    def grow(
        self, feature: str, tasks: list[TaskInput] | None = None, depend: dict[str, list[str]] | None = None
    ) -> str:
        """Add tasks, or dependencies (task: its new ones), to a running feature."""
        handle = self.client.feature(feature)
        added = [reader.make_task(task.fields(), task.id) for task in tasks or []]
        handle.grow(added, depend)
        return f"added {', '.join(task.id for task in added)}" if added else "added"


NEEDS = 5
"""How many needs of a feature an answer has."""


def matters(event: Event) -> bool:
    """An event ends a wait."""
    if event.task:
        return event.target in TOLD
    return event.event == "batch_opened" or bool(event.target)
