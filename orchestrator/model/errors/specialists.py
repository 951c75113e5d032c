"""Errors about specialists: who does a task, and how."""

from __future__ import annotations

from orchestrator.model.errors.base import OrchestratorError, UsageError


class NoSpecialist(UsageError):
    """No specialist matches {tasks}, and specialist_routing.fallback is ask_user, so none was guessed.
    {choices}
    Set `specialist: NAME` on the task, give it a tag that routes, or set specialist_routing.fallback: use_default."""


class UnknownSpecialist(UsageError):
    """{task} asks for the specialist {specialist}, which is not configured.
    Choose one of: {known}. Or add it under `specialists:` in the configuration."""


class NothingToDo(UsageError):
    """{tasks} would do nothing: {specialist} has no command and no Python callable, and the task has no `run`.
    Give the task a `run:` command, or set specialists.{specialist}.command (or .python) in the configuration."""


class NotClaimed(UsageError):
    """Agents claim no tasks of {specialist}: {reason}.
    Set specialists.{specialist}.agent.runtime: pull in the configuration, and its tasks wait for agents."""


class GatesCannotRun(UsageError):
    """{tasks} of {specialist} cannot be enqueued: a worker runs the gates of what agents elsewhere have done while a
    task is testing, and the flow {flow} has no such status.
    Add testing to status_progression.tasks.flows.{flow}, or give the gates tags that these tasks do not have."""


class RunsInTheWorker(UsageError):
    """The specialist {specialist} is a Python callable: it runs in the worker itself, and cannot run as {user}.
    Make it a command (specialists.{specialist}.command), or take specialists.{specialist}.user away."""


class InvalidSpecialistName(UsageError):
    """{name!r} cannot be the name of a specialist ({source}): a name has small letters, digits and hyphens.
    Give it one that has: @specialist("code-reviewer")."""


class SpecialistExists(UsageError):
    """Two callables claim the specialist {specialist}: {first} and {second}.
    Give one of them another name, or say which one is meant with specialists.{specialist}.python: "module:name"."""


class CannotImport(OrchestratorError):
    """{reference}, which {setting} names, cannot be imported: {cause}.
    Install it where the worker runs, or correct {setting}. Modules are looked for in {project} too."""


class IsCeleryTask(OrchestratorError):
    """{reference}, which {setting} names, is a Celery task: it takes arguments of its own, and no Context.
    Name a function of a Context instead; it may call the task."""


class InlineCommandRefused(UsageError):
    """{tasks} would run a command written in the feature, which this configuration does not allow.
    Put the command in the configuration under `specialists:`, or, if you trust everyone who writes features, set
    trust.inline_commands: true."""


class NoSuchRuntime(UsageError):
    """No program of an agent is called {name}{near}.
    Correct specialists.NAME.agent.runtime, or describe the program under agent_runtimes.{name}."""


class BadRuntime(UsageError):
    """The description of the agent's program {name} cannot be used: {mistakes}.
    Correct agent_runtimes.{name} in the configuration."""


class BadPrompt(OrchestratorError):
    """The prompt of the specialist {specialist}, {file}, cannot be used: {cause}.
    Correct the file, or specialists.{specialist}.agent.prompt, which starts at the project's folder ({project})."""
