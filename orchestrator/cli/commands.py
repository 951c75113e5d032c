"""The commands by name: each with its module, which is imported when the command runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand

from orchestrator.cli.imports import quick_imports


class Entry(NamedTuple):
    """A command as the help lists it.

    Args:
        name: As people type it.
        module: The module of `orchestrator.cli` that has it: as a function of that name, or as a group called `app`.
        summary: The first sentences of its own help. They stand here too, so that listing imports no command.
    """

    name: str
    module: str
    summary: str

    def load(self) -> Any:
        """The function, or the group, that does it."""
        with quick_imports():
            module = importlib.import_module(f"orchestrator.cli.{self.module}")
        return getattr(module, "app", None) or getattr(module, self.name.replace("-", "_"))


PANELS: Mapping[str, tuple[Entry, ...]] = {
    "Before a run": (
        Entry("plan", "plans", "Show what would run when, and who would do it. Nothing is stored."),
        Entry("route", "plans", "Show which specialist gets each task, and why."),
        Entry(
            "recommend",
            "advice",
            "Say which specialist gets one task, and why: who does an enqueued task, or who would do "
            "one with these tags.",
        ),
        Entry(
            "graph", "plans", "Draw the dependency graph; of an enqueued feature, with where its tasks stand."
        ),
        Entry(
            "adopt",
            "adoption",
            "Print the feature that a canvas of Celery's means, as a feature file. Nothing is stored.",
        ),
        Entry(
            "specialists", "tasks", "List the specialists: what each is for, and the tags that route to it."
        ),
    ),
    "Run": (
        Entry(
            "run",
            "runs",
            "Enqueue a feature and watch it to its end. On the private Redis it brings a worker, if none runs.",
        ),
        Entry("enqueue", "runs", "Enqueue a feature and print its id. It runs where workers are."),
        Entry(
            "watch",
            "runs",
            "Watch an enqueued feature to its end. On the private Redis it brings a worker, if none runs.",
        ),
        Entry("wait", "waiting", "Wait for a feature, at most for a given time, and say where it stands."),
    ),
    "See": (
        Entry("status", "features", "Show where features stand, or one feature with its batches and tasks."),
        Entry("progress", "features", "Say in one line how far a feature is."),
        Entry(
            "explain",
            "features",
            "Say why a task is in its status: what it waits for, or what went wrong, and what to do.",
        ),
        Entry(
            "task",
            "tasks",
            "Show one task: where it stands, and with --part one part of what is known of it.",
        ),
        Entry("events", "story", "Print the events of a feature, oldest first."),
        Entry(
            "logs",
            "logs",
            "Print the output of a task's attempt: all of it on the machine where it ran, its end on any other.",
        ),
        Entry(
            "usage",
            "usage",
            "Show what agents have used, and what it cost: of a feature, or of all on the last 30 days.",
        ),
    ),
    "Answer what stopped": (
        Entry("retry", "decisions", "Run failed tasks again. Completed tasks never run again."),
        Entry("unblock", "decisions", "Run a blocked task again, because its obstacle is gone."),
        Entry(
            "skip", "decisions", "Do without a task: it counts as resolved, and what depends on it may run."
        ),
        Entry("assign", "decisions", "Give a task that has not started to a specialist."),
    ),
    "Review": (
        Entry(
            "approve",
            "decisions",
            "Approve a task that is in review, or a feature that waits for its review.",
        ),
        Entry("request-changes", "decisions", "Send a task that is in review back to its specialist."),
        Entry("advance", "decisions", "Move a task on by hand, as if its work had been done elsewhere."),
    ),
    "Hold and give up": (
        Entry("hold", "decisions", "Put a task on hold. If it runs, its work is stopped."),
        Entry(
            "block",
            "decisions",
            "Say that a task cannot go on; if it runs, its work is ended. `unblock` lets it run again.",
        ),
        Entry(
            "resume",
            "decisions",
            "Take up again a task that was on hold or deferred, or a feature that was paused.",
        ),
        Entry(
            "defer", "decisions", "Put a task off; what depends on it waits until it is resumed or skipped."
        ),
        Entry(
            "cancel",
            "decisions",
            "Cancel a feature, or one task: nothing more of it starts, and what runs is ended within seconds.",
        ),
        Entry(
            "fail",
            "decisions",
            "Give a feature up: as cancel, and it counts as failed. Or one task: if it runs, its work is ended.",
        ),
    ),
    "Steer": (
        Entry(
            "pause",
            "decisions",
            "Start nothing more of a feature until `resume`; what runs goes on to its end.",
        ),
        Entry("launch", "decisions", "Start the next batch of a feature that waits for it."),
        Entry(
            "budget",
            "decisions",
            "Change what the agents of a feature, or of one task, may spend; what was blocked by it goes on.",
        ),
        Entry("cap", "decisions", "Change how many tasks of a feature may run at once, while it runs."),
        Entry(
            "add-task",
            "growing",
            "Add a task to a feature that runs, or several from a file. It is refused if it would close a cycle.",
        ),
        Entry(
            "depend",
            "growing",
            "Let a task that has not started wait for others too. It is refused if it would close a cycle.",
        ),
        Entry(
            "limits",
            "limits",
            "Show what holds over all features: how much there is, who holds it, and how many tasks wait for it.",
        ),
    ),
    "Tidy up": (
        Entry(
            "deliver",
            "deliver",
            "Deliver what agents did for a completed feature, in this project's git repository.",
        ),
        Entry(
            "prune",
            "retention",
            "Forget features that have been over for long, and remove this machine's logs and folders of what is gone.",
        ),
        Entry(
            "forget",
            "retention",
            "Forget a feature that is over at once: all that is stored of it, and this machine's logs and folders.",
        ),
    ),
    "This machine": (
        Entry(
            "up",
            "machine",
            "Run a worker and Flower here until Ctrl-C, with the private Redis if none is configured.",
        ),
        Entry(
            "doctor",
            "machine",
            "Check all that a feature needs to run: settings, Redis, broker, workers, folders. Exit code 1: a problem.",
        ),
        Entry(
            "init",
            "machine",
            "Write .taskorchestrator/config.yaml here: every setting, its default, and what it is for.",
        ),
        Entry(
            "config",
            "machine",
            "Show every setting in force and where it came from: environment, file or default. Secrets are hidden.",
        ),
    ),
    "For programs": (
        Entry(
            "mcp",
            "mcp",
            "Let AI agents plan, run, watch and mend features: a server of the Model Context Protocol.",
        ),
        Entry(
            "claim",
            "claims",
            "Get a task that waits for an agent: the claim on the first line, then what is to be done.",
        ),
        Entry(
            "report",
            "claims",
            "Report on a claimed task: that the work goes on, which renews the lease, or how it ended.",
        ),
        Entry(
            "schema",
            "contracts",
            "Print the JSON Schema of an answer; `codes` lists the codes of errors, `all` prints the whole contract.",
        ),
    ),
}
"""Every command, under the heading of the help that lists it."""


def entries() -> Iterator[tuple[str, Entry]]:
    """Every command with its heading, in the order of the help."""
    for panel, commands in PANELS.items():
        for entry in commands:
            yield panel, entry


_ENTRIES = {entry.name: (panel, entry) for panel, entry in entries()}


class Commands(Mapping[str, Any]):
    """Every command as Typer runs it, by name. Looking one up imports it.

    Example:
        >>> Commands()["plan"].rich_help_panel
        'Before a run'
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        panel, entry = _ENTRIES[name]
        if name not in self._loaded:
            self._loaded[name] = _as_command(entry, panel)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in _ENTRIES

    def __iter__(self) -> Iterator[str]:
        return iter(_ENTRIES)

    def __len__(self) -> int:
        return len(_ENTRIES)


def listed(name: str) -> TyperCommand:
    """A command as the help lists it; it is not imported."""
    panel, entry = _ENTRIES[name]
    return TyperCommand(name, help=entry.summary, rich_help_panel=panel)


def _as_command(entry: Entry, panel: str) -> Any:
    found = entry.load()
    if isinstance(found, typer.Typer):
        group = found
    else:
        group = typer.Typer(add_completion=False, rich_markup_mode="rich")
        group.command(entry.name)(found)
    command: Any = typer.main.get_command(group)
    command.name, command.rich_help_panel = entry.name, panel
    return command
