"""Shortens the texts of an outcome; shared by the runners in `python` and `command`."""

from __future__ import annotations

from pydantic_core import from_json

from orchestrator.config.schema.limits import Limits
from orchestrator.model.outcome import OUTCOME, Completed, Failed, FailureCause, Outcome
from orchestrator.model.sanitizer import as_text as as_text

LONGEST_IN_JSON = 6
"""Characters that one takes in JSON at most: a backslash, a u, and four digits."""

AROUND = 100
"""Characters of an outcome without result as JSON, beside those of its texts; rather too many."""

SHORT = 200
"""Characters of a line that summarises a whole output."""


def last_line(text: str) -> str:
    """The last line that is not blank, shortened to 200 characters; "" if there is none."""
    line = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return shorten(line)


def shorten(text: str, most: int = SHORT) -> str:
    """The text, cut to `most` characters with a "…" at the end."""
    return text if len(text) <= most else text[: most - 1] + "…"


def fit_to_limits(outcome: Outcome, limits: Limits) -> Outcome:
    """The outcome with plain texts and a cut tail; a failure if the rest is over `limits.result`.

    Raises:
        ValueError: Its result is nested too deep for JSON.
    """
    said = "summary" if isinstance(outcome, Completed) else "reason"
    texts = {said: as_text(getattr(outcome, said)), "tail": as_text(outcome.tail, limits.tail)}
    if isinstance(outcome, Completed):
        texts["handoff"] = as_text(outcome.handoff)
    if any(text != getattr(outcome, name) for name, text in texts.items()):
        outcome = outcome.model_copy(update=texts)
    if _is_surely_small(outcome, limits):
        return outcome
    written = OUTCOME.dump_json(outcome, exclude={"status", "tail"})
    from_json(written)  # JSON nested some 200 levels deep can be written, but not read
    size = len(written.decode())
    if size <= limits.result:
        return outcome
    return Failed(
        cause=FailureCause.CODE,
        reason=f"the outcome ({outcome.status}) has {size:,} characters as JSON, "
        f"over limits.result ({limits.result:,}); keep large results in a file and return its path",
        tail=outcome.tail,
    )


def _is_surely_small(outcome: Outcome, limits: Limits) -> bool:
    """Whether it has a summary alone, which fits into the limit however JSON writes it."""
    if not isinstance(outcome, Completed) or outcome.result is not None or outcome.gates:
        return False
    return AROUND + LONGEST_IN_JSON * (len(outcome.summary) + len(outcome.handoff)) <= limits.result
