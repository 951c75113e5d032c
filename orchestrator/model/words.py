"""How a text names and counts things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.model import sanitizer

SHOWN = 12
"""How many names a text has; the others are counted."""


def named(id: str, title: str) -> str:
    """How a list names a task: id and title, or the id if there is no other title.

    Example:
        >>> named("T1", "Create schema"), named("T2", "")
        ('T1 Create schema', 'T2')
    """
    return id if title in ("", id) else f"{id} {title}"


def some(names: Sequence[str], most: int = SHOWN, separator: str = ", ", of: int = 0) -> str:
    """The first of the names, and how many more there are; `of` is how many there are in all, if not all are given.

    Example:
        >>> some(["T1", "T2", "T3", "T4"], most=2)
        'T1, T2 and 2 more'
    """
    more = max(of, len(names)) - min(most, len(names))
    return separator.join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def count(number: int, noun: str, nouns: str = "") -> str:
    """A number and its noun; `nouns` is the plural if an s is not enough.

    Example:
        >>> count(1, "task"), count(1200, "task"), count(2, "batch", "batches")
        ('1 task', '1,200 tasks', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def one_line(text: str, most: int = 200) -> str:
    """A text with its line breaks as spaces, and nothing but what can be read, shortened to `most` characters.

    Example:
        >>> one_line("first\\n  second")
        'first second'
    """
    flat = " ".join(sanitizer.as_text(text[: most * 4]).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def letters(place: int) -> str:
    """A place as letters, counted from 0, as the columns of a spreadsheet.

    Example:
        >>> letters(0), letters(25), letters(26)
        ('a', 'z', 'aa')
    """
    text = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """The end of a message about an unknown name: the nearest known one.

    Args:
        word: The unknown name.
        known: The known names.
        otherwise: The end of the message if none is near; None: all the known names.

    Example:
        >>> did_you_mean("batchd", ["batched", "parallel"]), did_you_mean("x", ["batched", "parallel"])
        ('; did you mean batched?', '; there are batched, parallel')
    """
    if near := nearest(word, known):
        return f"; did you mean {near}?"
    return f"; there are {', '.join(known)}" if otherwise is None else otherwise


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is spelt most like `word`, in any case; None if no word is like it.

    Example:
        >>> nearest("batchd", ["Batched", "parallel"])
        'Batched'
    """
    import difflib  # late: only a mistake needs it

    spellings = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word[:100].lower(), spellings, n=1)
    return spellings[near[0]] if near else None


def by_agent(runtime: str, ladder: str) -> str:
    """Say by which agent a specialist works, after its name; "" if by none.

    Args:
        runtime: What the agent runs by.
        ladder: Its tiers and then a person, as `Ladder.written` has them.

    Example:
        >>> by_agent("claude", "haiku, then opus, then a person"), by_agent("codex", "a person")
        (', by claude: haiku, then opus, then a person', ', by codex, then a person')
    """
    if not runtime:
        return ""
    return f", by {runtime}: {ladder}" if ", then " in ladder else f", by {runtime}, then {ladder}"
