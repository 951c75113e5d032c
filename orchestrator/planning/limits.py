"""Limits that hold over all features and workers: their names, how much there is, and how a rate is counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.model import errors
from orchestrator.model.fields import Model
from orchestrator.model.rate import _UNITS, MOST, Rate, check_rate, parse_rate
from orchestrator.model.words import some

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.model.task import Task


TOTAL = "total"


NONE = "none"
"""The word with which an operator removes a limit."""


def specialist(name: str) -> str:
    """The limit on the tasks of a specialist that are in flight."""
    return f"specialist:{name}"


def rate(name: str) -> str:
    """The limit on how often attempts of a specialist begin."""
    return f"rate:{name}"


def resource(name: str) -> str:
    """The limit on a resource."""
    return f"resource:{name}"


def is_of_files(limit: str) -> bool:
    """It keeps tasks of one feature apart that touch the same files (see `exclusion`): "touch:FEATURE:3"."""
    return limit.startswith("touch:")


def configured(settings: Settings) -> dict[str, str]:
    """All limits of the settings, as they are stored.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> configured(Settings(resources={"gpu": 2}, specialists={"writer": {"rate": "30/m"}}))
        {'resource:gpu': '2', 'rate:writer': '2000 1'}
    """
    found = {resource(name): stored(str(units)) for name, units in settings.resources.items()}
    if settings.parallelism.max_parallel_total is not None:
        found[TOTAL] = stored(str(settings.parallelism.max_parallel_total))
    for name, given in settings.specialists.items():
        if given.concurrency is not None:
            found[specialist(name)] = stored(str(given.concurrency))
        if given.rate is not None:
            found[rate(name)] = stored(given.rate)
    return found


def stored(amount: str) -> str:
    """How much there is, as the scripts read it: units, or a rate's milliseconds for each attempt and its burst.

    Example:
        >>> stored("5"), stored("30/m burst 5")
        ('5', '2000 5')
    """
    if "/" not in amount:
        return amount
    found = parse_rate(amount)
    return f"{found.interval:.10g} {found.burst}"


def written(amount: str) -> str:
    """The opposite of `stored`, for people.

    Example:
        >>> written("5"), written("2000 5"), written("100 1")
        ('5', '30/m burst 5', '10/s')
    """
    if " " not in amount:
        return amount
    interval, burst = amount.split()
    for unit, seconds in _UNITS.items():
        each = seconds * 1000 / float(interval)
        if round(each) and abs(each - round(each)) < 1e-4:
            return str(Rate(round(each), unit, int(burst)))
    return f"1 every {float(interval):g} ms" + (f" burst {burst}" if burst != "1" else "")


def change(name: str, amount: str, settings: Settings, known: Iterable[str] = ()) -> tuple[str, str]:
    """The limit that an operator means, and how much there is to be, as it is stored ("": no such limit).

    Args:
        name: total, specialist:NAME, rate:NAME, resource:NAME, or the name of a resource; for NAME of a specialist also
            its title.
        amount: A number, for a rate 30/m, or none.
        settings: Where the specialists and the resources are.
        known: The limits that are in force now.

    Raises:
        NoSuchLimit: No specialist and no resource is called so.
        BadLimit: The limit cannot have this amount.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> change("gpu", "3", Settings(resources={"gpu": 2}))
        ('resource:gpu', '3')
    """
    specialists = [of(one) for one in settings.specialists for of in (specialist, rate)]
    names = dict.fromkeys([TOTAL, *map(resource, settings.resources), *known, *specialists])
    kind, _, who = name.partition(":")
    found = settings.find_specialist(who) if kind in ("specialist", "rate") else None
    meant = f"{kind}:{found}" if found else name
    limit = meant if meant in names else resource(name)
    if limit not in names:
        raise errors.NoSuchLimit(name=name, names=some(list(names)))
    amount = amount.strip()
    if amount == NONE and not limit.startswith("resource:"):
        return limit, ""
    try:
        if limit.startswith("rate:"):
            return limit, stored(check_rate(amount))
        least = 0 if limit.startswith("resource:") else 1
        if not re.fullmatch(r"\d{1,9}", amount, re.ASCII) or not least <= int(amount) <= MOST:
            raise ValueError(f"it is a whole number from {least} to {MOST:,}")
    except ValueError as error:
        raise errors.BadLimit(limit=limit, amount=amount, reason=error) from None
    return limit, str(int(amount))


def check_resources(tasks: Iterable[Task], settings: Settings) -> None:
    """Refuse tasks that need a resource that there is not, or more than there is of one.

    Raises:
        NoSuchResource: No resource is called so.
        NotEnough: There is less of it than a task needs.
    """
    for task in tasks:
        for name, units in task.resources.items():
            there = settings.resources.get(name)
            if there is None:
                names = some(list(settings.resources)) or "none"
                raise errors.NoSuchResource(task=task.id, resource=name, names=names)
            if units > there:
                raise errors.NotEnough(task=task.id, resource=name, units=units, there=there)


class Holder(Model):
    """A task that holds units of a limit."""

    feature: str
    task: str
    units: int


class Limit(Model):
    """A limit as it stands now."""

    name: str
    amount: str = "0"
    in_use: int = 0
    waiting: int = 0
    """Tasks that wait for it first of all."""
    features: int = 0
    """Features that they are of."""
    holders: tuple[Holder, ...] = ()
    next_token: float | None = None
    """Of a rate: seconds until the next attempt may begin; 0: it may now."""

    @property
    def is_rate(self) -> bool:
        """It counts how often something begins, not what is in flight."""
        return self.name.startswith("rate:")

    @property
    def title(self) -> str:
        """Its name in a sentence.

        Example:
            >>> Limit(name="resource:gpu").title, Limit(name="total").title
            ('resource gpu', 'max_parallel_total')
        """
        return title(self.name)


def title(limit: str) -> str:
    """The name of a limit in a sentence."""
    kind, _, name = limit.partition(":")
    return {
        "specialist": f"the concurrency of {name}",
        "rate": f"the rate of {name}",
        "resource": f"resource {name}",
        "touch": "files that another task touches too",
    }.get(kind, "max_parallel_total")


def usage(limit: Limit) -> str:
    """How much of it is in use, in a few words.

    Example:
        >>> usage(Limit(name="resource:gpu", amount="2", in_use=1))
        '1 of 2 in use'
    """
    return limit.amount if limit.is_rate else f"{limit.in_use:,} of {limit.amount} in use"


def units(limit: str, task: Task) -> int:
    """How much of a limit a task needs."""
    return task.resources.get(limit.removeprefix("resource:"), 1) if limit.startswith("resource:") else 1


def needed(task: Task, limit: str) -> str:
    """How much of a limit a task needs, if that is worth saying.

    Example:
        >>> from orchestrator.model.task import Task
        >>> needed(Task(id="T1", resources={"gpu": 2}), "resource:gpu")
        ', and it needs 2'
    """
    number = units(limit, task)
    return f", and it needs {number}" if number > 1 else ""


def is_too_little(limit: Limit, task: Task) -> bool:
    """There is less of it than the task needs, even if nobody holds any."""
    return not limit.is_rate and int(limit.amount) < units(limit.name, task)
