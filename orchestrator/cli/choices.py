"""Asking a person which specialist gets a task that no tag routes, and remembering the answer."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.prompt import IntPrompt

from orchestrator.cli import output
from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.model import errors, words
from orchestrator.model.feature import Feature
from orchestrator.model.plan import Route
from orchestrator.model.task import Task
from orchestrator.planning import routing
from orchestrator.report.routes import fallback_lines


def ask(
    feature: Feature, routes: Mapping[str, Route], settings: Settings, *, remember: bool = False
) -> dict[str, str]:
    """Ask for each task that nobody would do, on a terminal. Elsewhere such tasks wait for `assign`.

    Print which tasks go to the default because no tag matches.

    Args:
        feature: The feature.
        routes: The specialist of each of its tasks.
        settings: The settings, with the specialists to choose from.
        remember: Write the choice for a tag into the configuration.

    Returns:
        The chosen specialist of each task that was asked about.
    """
    for line in fallback_lines(feature.tasks, routes):
        output.tell(line)
    unmatched = [task for task in feature.tasks if not routes[task.id].specialist]
    if not unmatched:
        return {}
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        names = words.some([task.id for task in unmatched])
        output.tell(f"No specialist matches {names}: they wait for `orchestrator assign ID TASK SPECIALIST`.")
        return {}
    chosen = {task.id: _ask_for(task, settings) for task in unmatched}
    if remember:
        for task in unmatched:
            remember_tag(task, chosen[task.id], settings)
    return chosen


def _ask_for(task: Task, settings: Settings) -> str:
    names = list(settings.specialists)
    output.say(f"No specialist matches {task.label} (tags: {', '.join(task.tags) or 'none'}):")
    for number, name in enumerate(names, 1):
        output.say(f"  {number}. {settings.title(name)}: {settings.specialists[name].description}")
    numbers = [str(number) for number in range(1, len(names) + 1)]
    return names[IntPrompt.ask("Which one", console=output.console(), choices=numbers) - 1]


def remember_tag(task: Task, specialist: str, settings: Settings) -> None:
    """Write into the configuration that the task's tags go to the specialist.

    Raises:
        CannotRemember: The task has no tags, or the file cannot be changed without losing what is in it.
        UnknownSpecialist: There is no such specialist.
    """
    name = routing.recommend(task.model_copy(update={"specialist": specialist}), settings).specialist
    if not task.tags:
        raise errors.CannotRemember(task=task.id, reason="it has no tags", line="a tag on the task")
    configuration.remember(task.tags, name, settings)
    output.tell(f"Remembered: {', '.join(task.tags)} → {settings.title(name)}")
