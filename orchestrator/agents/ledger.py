"""What an attempt has used, all the runs of its agent together: a program counts from 0 in each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from orchestrator.config import private
from orchestrator.model.usage import COUNTED, MOST_TOKENS, Usage

_USAGES: TypeAdapter[tuple[Usage, ...]] = TypeAdapter(tuple[Usage, ...])


class Ledger:
    """The usage of an attempt, kept in a file: a review of its work adds to it, and so does the same attempt after a
    worker that was ended.

    Args:
        file: The file, in the folder of the attempt.

    Example:
        ledger = Ledger(context.workdir / "usage.json")
        context.report_usage(ledger.with_run(reader.usages))
        ledger.close_run(reader.usages)
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._before: dict[str, Usage] = {used.model: used for used in self._read()}
        """What the runs before this one have used, by model."""

    def with_run(self, usages: Iterable[Usage]) -> tuple[Usage, ...]:
        """What the attempt has used, with what the run that goes on has used so far."""
        found = dict(self._before)
        for used in usages:
            before = self._before.get(used.model)
            found[used.model] = together(before, used) if before else used
        return tuple(found.values())

    def keep(self, usages: Iterable[Usage]) -> tuple[Usage, ...]:
        """Write what the attempt has used so far, as far as the folder can be written; and return it."""
        found = self.with_run(usages)
        new = self.file.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk: what was reported counts all the same
            number = private.open_file(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with os.fdopen(number, "wb") as file:
                file.write(_USAGES.dump_json(found))
            new.replace(self.file)
        return found

    def close_run(self, usages: Iterable[Usage]) -> tuple[Usage, ...]:
        """Count a run as over, and return what the attempt has used; the next run counts from 0 again."""
        found = self.keep(usages)
        self._before = {used.model: used for used in found}
        return found

    def _read(self) -> tuple[Usage, ...]:
        try:
            with os.fdopen(private.open_to_read(self.file), "rb") as file:
                return _USAGES.validate_json(file.read())
        except (OSError, ValidationError):
            return ()


def together(one: Usage, other: Usage) -> Usage:
    """The sum of the usages of two runs with the same model; its cost is unknown if that of a part is.

    Example:
        >>> together(Usage(input=5, cost=0.5), Usage(input=7, cost=0.25)).cost
        0.75
        >>> together(Usage(input=5), Usage(input=7, cost=0.25)).cost
    """
    marks = {name: min(MOST_TOKENS, getattr(one, name) + getattr(other, name)) for name in COUNTED}
    parts = [used for used in (one, other) if used.tokens or used.cache_read or used.cost]
    costs = [used.cost for used in parts if used.cost is not None]
    is_known = len(costs) == len(parts)
    source = (parts[-1].source if parts else other.source) if is_known else "unknown"
    cost = sum(costs) if is_known and parts else (other.cost if is_known else None)
    partial = one.partial or other.partial
    return other.model_copy(update={**marks, "cost": cost, "source": source, "partial": partial})
