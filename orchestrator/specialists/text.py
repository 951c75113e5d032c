"""How work is run: by a Python callable (`python`), or by a command (`command`). Here is what both say it with."""

from __future__ import annotations

from pydantic_core import from_json

from orchestrator.config.schema.limits import Limits
from orchestrator.model.outcome import OUTCOME, Completed, Failed, FailureCause, Outcome
from orchestrator.model.sanitizer import as_text as as_text

SHORT = 200
"""Characters of a line that stands for a whole output."""


def last_line(text: str) -> str:
    """The last line that says something, shortened to 200 characters; "" where there is none."""
    line = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return shorten(line)


def shorten(text: str, most: int = SHORT) -> str:
    """The text, with "…" for what goes over `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def within(outcome: Outcome, limits: Limits) -> Outcome:
    """The outcome with its texts made plain and its tail cut, or a failure where the rest is over `limits.result`.

    Raises:
        ValueError: It is nested too deep for JSON.
    """
    said = "summary" if isinstance(outcome, Completed) else "reason"
    outcome = outcome.model_copy(
        update={said: as_text(getattr(outcome, said)), "tail": as_text(outcome.tail, limits.tail)}
    )
    written = OUTCOME.dump_json(outcome, exclude={"status", "tail"})
    from_json(written)  # what is nested some 200 levels deep can be written, but never read again
    size = len(written.decode())
    if size <= limits.result:
        return outcome
    return Failed(
        cause=FailureCause.CODE,
        reason=f"the outcome ({outcome.status}) has {size:,} characters as JSON, "
        f"over limits.result ({limits.result:,}); keep large results in a file and return its path",
        tail=outcome.tail,
    )
