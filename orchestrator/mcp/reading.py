"""The tools that only read: where features and tasks stand, why, and who does them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from orchestrator.client import answers, event_log, explaining, task_log
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.client.snapshot import Reader
from orchestrator.client.usage import By
from orchestrator.contract import compact
from orchestrator.mcp import calls, lines
from orchestrator.model.flows import STOPPED
from orchestrator.model.progress import TaskState
from orchestrator.model.usage import summed
from orchestrator.model.words import one_line
from orchestrator.report import json_tasks, status_text
from orchestrator.report.events import event_line

Only = Literal["open", "stopped", "running", "all"]
Part = Literal["brief", "outcome", "log", "diff", "events", "usage"]

LISTED = 10
"""How many features `status` lists."""

WHOLE = 2_000
"""The largest feature of which `status` reads every task; of a larger one it reads the open batch."""


class Reading:
    """The tools that change nothing.

    Args:
        client: Of the settings in force.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def status(self, feature: str = "", only: Only = "open", limit: int = 20) -> str:
        """Where features stand, or the tasks of one."""
        if not feature:
            found = self.client.features(LISTED)
            return lines.joined(lines.headline(one) for one in found) or "no features"
        return self.listed(feature, lambda word: is_wanted(word, only), limit)

    def listed(self, feature: str, wants: Callable[[str], bool], limit: int) -> str:
        """The tasks of a feature whose status, as people read it, is wanted; those that need a look come first."""
        handle = self.client.feature(feature)
        progress = handle.progress()
        snapshot = Reader(self.client, handle, whole=progress.total <= WHOLE).take()
        chosen = [state for state in snapshot.states if wants(status_text.word(state))]
        chosen.sort(key=status_text.urgency)
        shown = self.lines_of(chosen[: max(0, limit)], snapshot.said)
        hidden = 0 if snapshot.is_whole else progress.total - len(snapshot.states)
        return lines.joined(
            [lines.headline(progress), *lines.counted(shown, len(chosen) - len(shown) + hidden)]
        )

    def lines_of(self, states: Sequence[TaskState], said: Mapping[str, str] | None = None) -> list[str]:
        """A line for each task."""
        now = time.time()
        return [lines.task_line(state, now, (said or {}).get(state.id, "")) for state in states]

    def task(self, feature: str, task: str, part: Part, chars: int = 2000) -> str:
        """A part of what is known of a task; a log from its end."""
        handle = self.client.feature(feature)
        match part:
            case "brief":
                found = json_tasks.brief(self.client.store.tasks.find(handle.id, task))
                return lines.head(compact.write(found.model_dump(mode="json", exclude_defaults=True)), chars)
            case "outcome":
                outcome = json_tasks.outcome(handle.outcome(task))
                told = outcome.model_dump(mode="json", exclude_defaults=True) if outcome else {}
                return lines.head(compact.write(told), chars)
            case "log":
                return lines.tail(task_log.end(self.client, handle, task), chars)
            case "diff":
                from orchestrator.client import delivery  # late: it brings git

                return delivery.diff(self.client, handle.id, task, chars) or "nothing"
            case "usage":
                return lines.head(lines.joined(self._usage(handle.id, task)) or "nothing", chars)
        return lines.tail(lines.joined(self._events(handle, task)), chars)

    def _usage(self, feature: str, task: str) -> list[str]:
        of_feature = self.client.store.usage.of_feature(feature)
        own = (used for used in of_feature if used.task == task)
        return [lines.usage_line(summed(f"attempt {used.attempt} {used.model}", [used])) for used in own]

    def _events(self, handle: Handle, task: str) -> Sequence[str]:
        self.client.store.tasks.find(handle.id, task)
        own = (event for event in event_log.read(handle) if event.task == task)
        return [line for event in own if (line := event_line(event, task))]

    def usage(self, feature: str = "", by: By | None = None) -> str:
        """What agents used and cost, of a feature or of 30 days."""
        report = self.client.usage(feature or None, by)
        shown = [lines.usage_line(row) for row in report.rows[:LISTED]]
        rows = lines.counted(shown, len(report.rows) - len(shown), "rows")
        return lines.joined([lines.usage_line(report.total), *map(str, report.budgets), *rows])

    def explain(self, feature: str, task: str = "") -> str:
        """Why a task or feature does not go on, and the calls that help."""
        handle = self.client.feature(feature)
        if not task:
            progress = handle.progress()
            needs = answers.find_needs(self.client, handle, progress)
            return lines.joined([lines.headline(progress), *map(lines.need_line, needs)])
        found = explaining.explain(self.client, handle, task)
        answer = explaining.answer(self.client, handle, found)
        helping = [call for need in answer.needs if (call := calls.line(need.actions))]
        details = [lines.cut(one_line(text), lines.REASON) for text in found.explanation.details[:DETAILS]]
        return lines.joined([found.explanation.answer, *details, *(f"→ {call}" for call in helping[:2])])

    def recommend_agent(self, feature: str = "", task: str = "", tags: list[str] | None = None) -> str:
        """Who does a task, or one with these tags."""
        if tags:
            route = self.client.recommend(tags=[tag.lower() for tag in tags])
        else:
            route = self.client.recommend(feature or None, task or None)
        tier = f" {route.model_tier}" if route.model_tier else ""
        why = f"tag {route.tag}" if route.tag else route.rule
        return f"{route.specialist or 'nobody'}{tier} ({why})"


DETAILS = 3
"""How many lines an explanation has beside its answer."""


def is_wanted(word: str, only: Only) -> bool:
    """A task of this status, as people read it, is among those that are asked for.

    Example:
        >>> is_wanted("failed", "open"), is_wanted("completed", "open")
        (True, False)
    """
    match only:
        case "stopped":
            return word in STOPPED
        case "running":
            return word in ("running", "testing", "launched")
        case "open":
            return word not in ("completed", "skipped", "cancelled")
    return True
