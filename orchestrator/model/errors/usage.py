"""Errors about files, the configuration, and what a command was asked for."""

from __future__ import annotations

from orchestrator.model.errors.base import OrchestratorError, UsageError


class InvalidConfiguration(UsageError):
    """{source} cannot be used: {count}.
    {mistakes}
    `orchestrator init --print` shows every setting with what it is for, and writes nothing."""

    told = ("count",)


class OpenToOthers(UsageError):
    """{path} can be written by others ({mode}), who could choose what your workers run. Nothing was started.
    Check that everything in it is yours, then: chmod -R go-w {folder}"""


class CannotUseFile(OrchestratorError):
    """{file} cannot be used: {cause}.
    Check that it exists, and that you may read and write it."""


class NoWorkingFolder(UsageError):
    """The current folder does not exist any more.
    Change to another one (cd), and try again."""


class NoSuchField(UsageError):
    """The answer has no field {field}. It has {fields}."""


class BadCursor(UsageError):
    """{cursor} is not a cursor of this list.
    Copy `after` (or `cursor`) from an answer, or leave it out to start at the beginning."""


class NoSuchSchema(UsageError):
    """There is no schema {name}. There are {names}."""


class ConfigurationExists(UsageError):
    """{file} exists already, and was left as it is.
    `orchestrator init --print` shows what it would hold; `orchestrator init --force` overwrites it."""


class NoSuchAction(UsageError):
    """There is no action {action} for {about}. There are {known}."""


class ArgumentMissing(UsageError):
    """The action {action} needs {argument}.
    Give it, and send the action again."""


class NoSuchDraft(UsageError):
    """There is no plan {draft}: it is kept for a day.
    Plan the feature again."""


class Outpaced(UsageError):
    """{task} is at attempt {last}, and the decision was about attempt {attempt}.
    `orchestrator explain` says where it stands now."""


class CannotSum(UsageError):
    """The usage of {feature} is not kept by day: ask by task, specialist or model.
    `orchestrator usage --by day` has that of all features."""


class NamesNoFeature(UsageError):
    """Usage by task is that of one feature: name it, as in `orchestrator usage FEATURE`, or ask by day, specialist or
    model."""
