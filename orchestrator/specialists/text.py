"""How work is run: by a Python callable (`python`), or by a command (`command`). Here is what both say it with."""

from __future__ import annotations

import re

from pydantic_core import from_json

from orchestrator.models import OUTCOME, Completed, Failed, FailureCause, Outcome
from orchestrator.sections import Limits

SHORT = 200
"""Characters of a line that stands for a whole output."""

# ECMA-48, and ECMA-35 for the last: control sequences (colours, cursor moves), control strings (titles, links),
# and all other escape sequences (character sets, modes of the keyboard).
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
# Control characters, text direction overrides (CVE-2021-42574) and half characters that UTF-8 cannot write.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def as_text(raw: str, limit: int | None = None) -> str:
    """A text (its last `limit` characters) without what would colour a terminal or move its cursor.

    Example:
        >>> as_text("\\x1b[31mred\\x1b[0m\\r\\nend\\n")
        'red\\nend\\n'
    """
    lines = _SEQUENCES.sub("", raw).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("", lines)
    return text if limit is None else text[-limit:]


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
