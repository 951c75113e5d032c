"""Errors about limits, resources and caps."""

from __future__ import annotations

from orchestrator.model.errors.base import UsageError


class NoSuchLimit(UsageError):
    """No limit is called {name}. There are {names}. A new resource is named in the settings, under `resources`."""


class BadLimit(UsageError):
    """{amount} cannot be {limit}: {reason}. `none` ends a limit that is not on a resource."""


class NoSuchResource(UsageError):
    """{task} needs the resource {resource}, and no resource has this name; there are: {names}.
    Write `{resource}: 1` (how much there is) under `resources` in the configuration, of the workers too, or take it out
    of the task."""


class NotEnough(UsageError):
    """{task} needs {units} of the resource {resource}, and there is no more than {there}: it would wait forever.
    Raise `{resource}` under `resources` in the configuration, of the workers too, or let the task need less."""


class BadBudget(UsageError):
    """{amount} is no budget: it is dollars, more than 0 and at most 1,000,000. With a + before it, it is added to the
    budget that holds now."""


class BudgetTooLarge(UsageError):
    """The feature asks for a budget of {asked}, and budgets.feature allows {most}. Ask for less. Once it is enqueued, a
    person may raise it: `orchestrator budget ID AMOUNT`."""


class NoBudget(UsageError):
    """{what} has no budget to which {amount} could be added. Give the whole amount, without the +."""


class TooManyOverlaps(UsageError):
    """{what}, and at most {most} can be kept apart (`touches`). Name folders in place of single files, or leave touches
    out where tasks wait for each other anyway."""


class TouchesCannotGrow(UsageError):
    """{task} has touches, and a feature that runs takes in no task that has. Leave touches out, and let the task depend
    on those that touch the same files."""


class BadCap(UsageError):
    """{cap} cannot be max_parallel_tasks: it is a whole number from 1 to 10000."""
