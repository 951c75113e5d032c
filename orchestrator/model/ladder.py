"""The ladder of an agent: its tiers from the weakest to the strongest, and then a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from orchestrator.model import words
from orchestrator.model.outcome import Blocked, BlockKind, Failed, FailureCause, Outcome

CLIMBED_KINDS = (BlockKind.TECHNICAL, BlockKind.CONFLICT)
"""Obstacles that a stronger tier may overcome. A login, a budget or a missing answer stops every tier alike."""

CLIMBED_CAUSES = (
    FailureCause.REPORTED,
    FailureCause.TESTS,
    FailureCause.GATE,
    FailureCause.CODE,
    FailureCause.STALLED,
    FailureCause.NO_OUTCOME,
)
"""Failures that a stronger tier may avoid. All others are tried again at the same tier, as `retries` has it."""

Climb = Literal["", "again", "up", "top"]
"""What an outcome leads to: nothing of the ladder's, another try at the same tier, the next tier, or a person."""


class Ladder(NamedTuple):
    """The tiers that try a task one after the other.

    Example:
        >>> Ladder(("haiku", "opus"), tries=2).written
        'haiku, then opus, then a person'
    """

    tiers: tuple[str, ...]
    tries: int = 1
    """Attempts at each tier."""

    @property
    def written(self) -> str:
        """The ladder in a few words."""
        return ", then ".join([*filter(None, self.tiers), "a person"])

    def tier(self, rung: int) -> str:
        """The tier at a place of the ladder. A ladder that became shorter ends at its last tier.

        Example:
            >>> Ladder(("haiku", "opus")).tier(5)
            'opus'
        """
        return self.tiers[min(rung, len(self.tiers) - 1)]


def climb(outcome: Outcome, ladder: Ladder, rung: int, tries: int) -> Climb:
    """What the end of an attempt leads to.

    Args:
        outcome: The outcome.
        ladder: The ladder of its specialist.
        rung: The place of the attempt's tier, from 0.
        tries: The attempts at this tier that ended before it and that the ladder counts.

    Example:
        >>> climb(Failed(reason="2 tests fail"), Ladder(("haiku", "opus")), rung=0, tries=0)
        'up'
        >>> climb(Failed(reason="2 tests fail"), Ladder(("haiku", "opus")), rung=1, tries=0)
        'top'
    """
    match outcome:
        case Blocked(kind=kind) if kind in CLIMBED_KINDS:
            is_used_up = True
        case Failed(cause=cause, retry=retry) if cause in CLIMBED_CAUSES and retry is not False:
            is_used_up = tries + 1 >= ladder.tries
        case _:
            return ""
    if not is_used_up:
        return "again"
    return "up" if rung + 1 < len(ladder.tiers) else "top"


def ask_a_person(
    outcome: Blocked | Failed, tier: str, earlier: Iterable[tuple[str, str]], facts: Iterable[str] = ()
) -> Blocked:
    """The outcome after the last tier: a question for a person, with what stopped each tier last.

    Args:
        outcome: That of the last attempt.
        tier: Its tier.
        earlier: The tier and the reason of each attempt before it, the oldest first.
        facts: What a person wants to know besides: what it cost, where the work lies.

    Example:
        >>> ask_a_person(Failed(reason="1 test fails"), "opus", [("haiku", "2 tests fail")], ["$0.31 spent"]).reason
        'no tier is left: haiku: 2 tests fail; opus: 1 test fails ($0.31 spent)'
    """
    said = {**dict(earlier), tier: outcome.reason}
    lines = [words.one_line(f"{tier}: {reason}" if tier else reason) for tier, reason in said.items()]
    kind = outcome.kind if isinstance(outcome, Blocked) else BlockKind.TECHNICAL
    start = "no tier is left: " if len(lines) > 1 else ""
    known = "; ".join(filter(None, facts))
    reason = start + "; ".join(lines) + (f" ({known})" if known else "")
    return Blocked(kind=kind, reason=reason, tail=outcome.tail)
