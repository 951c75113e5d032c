"""The place of a feature and of its attempts in a trace, in the form of W3C Trace Context (`traceparent`).

The ids of spans follow from the feature: so any process can name the span of an attempt that ran elsewhere, and a
process that has not seen the begin of a feature can write its span at its end.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

PARENT = "traceparent"
CALLER = "traceparent-of-caller"
"""The header with the span that enqueued the feature, or `NOBODY`. Only a feature with a span of its own has it."""

NOBODY = "-"

_FORM = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")


class Place(NamedTuple):
    """A span in a trace."""

    trace: int
    span: int
    flags: int = 1
    """1: the trace is kept (sampled)."""

    @property
    def text(self) -> str:
        """As the header `traceparent` has it.

        Example:
            >>> Place(1, 2).text
            '00-00000000000000000000000000000001-0000000000000002-01'
        """
        return f"00-{self.trace:032x}-{self.span:016x}-{self.flags:02x}"

    def of_attempt(self, task: str, number: int) -> Place:
        """The span of an attempt; this is that of its feature."""
        digest = hashlib.sha256(f"{self.span:016x}\0{task}\0{number}".encode()).digest()
        return Place(self.trace, int.from_bytes(digest[:8]) or 1, self.flags)


def read(text: object) -> Place | None:
    """Read a `traceparent`; None if it is none.

    Example:
        >>> read("00-00000000000000000000000000000001-0000000000000002-01"), read("junk")
        (Place(trace=1, span=2, flags=1), None)
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    place = Place(*(int(found[name], 16) for name in ("trace", "span", "flags")))
    return place if place.trace and place.span else None


def begin(headers: Mapping[str, Any], caller: Place | None) -> dict[str, Any]:
    """The headers of a feature that gets a span of its own.

    Args:
        headers: The headers that tracing libraries added when the feature was enqueued.
        caller: The span that was current then; one in the headers goes before it.
    """
    caller = read(headers.get(PARENT)) or caller
    trace, flags = (caller.trace, caller.flags) if caller else (secrets.randbits(128) or 1, 1)
    own = {PARENT: Place(trace, secrets.randbits(64) or 1, flags).text}
    inner = headers.get("headers")
    nested = {"headers": {**inner, **own}} if isinstance(inner, Mapping) and PARENT in inner else {}
    return {**headers, **nested, **own, CALLER: caller.text if caller else NOBODY}
