"""Versions of Redis and Valkey with known security holes: a Lua script can break out of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Series = tuple[int, int]


@dataclass(frozen=True)
class Advisory:
    """A security hole, and the versions that fix it.

    Args:
        name: Its CVE number.
        mended: Product → series → the first fixed version of the series. A series between the named ones, such as
            Redis 7.0, never got a fix; later series never had the hole.
    """

    name: str
    mended: Mapping[str, Mapping[Series, int]]

    def mends(self, product: str, version: Sequence[int]) -> str | None:
        """The version that fixes the hole; None if this version does not have it."""
        series = self.mended.get(product, {})
        number = (*version, 0, 0, 0)[:3]
        here: Series = (number[0], number[1])
        if not series or here > max(series):
            return None
        if here in series:
            return f"{here[0]}.{here[1]}.{series[here]}" if number[2] < series[here] else None
        later = min(one for one in series if one > here)
        return f"{later[0]}.{later[1]}.{series[later]}"


ADVISORIES = (
    Advisory(
        "CVE-2024-46981",
        {
            "Redis": {(6, 2): 17, (7, 2): 7, (7, 4): 2},
            "Valkey": {(7, 2): 8, (8, 0): 2},
        },
    ),
    Advisory(
        "CVE-2025-49844",  # and CVE-2025-46817, -46818, -46819, fixed together with it
        {
            "Redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
            "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
        },
    ),
    Advisory("CVE-2025-67733", {"Valkey": {(7, 2): 12, (8, 0): 7, (8, 1): 6, (9, 0): 2}}),
)


def holes(product: str, version: Sequence[int]) -> tuple[list[str], str]:
    """The known holes of a version, and the nearest version that has none of them.

    Example:
        >>> holes("Redis", (7, 2, 8))
        (['CVE-2025-49844'], '7.2.11')
        >>> holes("Redis", (7, 0, 15))
        (['CVE-2024-46981', 'CVE-2025-49844'], '7.2.11')
        >>> holes("Valkey", (9, 1, 0)), holes("Redis", (8, 4))
        (([], ''), ([], ''))
    """
    found = {one.name: mended for one in ADVISORIES if (mended := one.mends(product, version))}
    newest = max(found.values(), key=lambda text: [int(part) for part in text.split(".")], default="")
    return list(found), newest
