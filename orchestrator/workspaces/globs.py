"""Globs of files: which files one matches, and whether two may match the same file.

`*` and `?` stay within a folder, `**` does not, `[ab]` is one letter. A glob without a slash matches names in any
folder, as in a .gitignore. `docs/` and `docs/**` are the folder and all that is in it. Upper and lower case are one:
some file systems do not tell them apart.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

_WILD = re.compile(r"[*?\[\]{}\\!]")


def matching(files: Iterable[str], globs: Iterable[str]) -> tuple[str, ...]:
    """The files that one of the globs matches.

    Example:
        >>> matching(["src/a.py", ".github/workflows/ci.yml"], [".github/**"])
        ('.github/workflows/ci.yml',)
    """
    patterns = [_pattern(glob) for glob in globs]
    return tuple(file for file in files if any(pattern.fullmatch(_plain(file)) for pattern in patterns))


def leading_to(links: Iterable[str], globs: Iterable[str]) -> tuple[str, ...]:
    """The links that stand in the place of a folder above the files of a glob: those files are then elsewhere.

    Example:
        >>> leading_to(["tests", "docs"], ["tests/acceptance/**", "*.md"])
        ('tests',)
    """
    parts = [_segments(glob) for glob in globs]
    heads = {head for each in parts for length in range(1, len(each)) if "**" not in (head := each[:length])}
    return matching(links, ["/" + "/".join(head) for head in heads])


def overlap(first: Iterable[str], second: Iterable[str]) -> bool:
    """Whether two lists of globs may match the same file. Where that cannot be excluded, it is True.

    Example:
        >>> overlap(["src/api/**"], ["src/web/**"]), overlap(["*.md"], ["docs/**"])
        (False, True)
    """
    others = [_segments(glob) for glob in second]
    return any(_meet(one, other) for one in map(_segments, first) for other in others)


def overlapping(globs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The pairs of globs that may match the same file, each once; quick where most begin or end in other names.

    Example:
        >>> list(overlapping(["src/api/**", "src/web/**", "src/api/a.py"]))
        [('src/api/a.py', 'src/api/**')]
    """
    by_head = defaultdict[tuple[str, ...], list[tuple[str, str]]](list)
    for glob in dict.fromkeys(globs):
        parts = _segments(glob)
        head = tuple(itertools.takewhile(lambda part: not _WILD.search(part), parts))
        by_head[head].append((glob, "" if _WILD.search(parts[-1]) else parts[-1]))
    for head, found in by_head.items():
        for place, (glob, tail) in enumerate(found):
            # Two may meet only if one of them begins as the other.
            shorter = (by_head[head[:length]] for length in range(len(head)) if head[:length] in by_head)
            for other, its_tail in itertools.chain(found[:place], *shorter):
                if (not tail or not its_tail or tail == its_tail) and overlap([glob], [other]):
                    yield glob, other


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


@functools.lru_cache(maxsize=1_024)
def _segments(glob: str) -> tuple[str, ...]:
    """The parts of a glob between slashes; what it leaves out is written as `**`."""
    text = _plain(glob)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        return ("**",)  # it may lead anywhere
    if len(parts) == 1 and not text.startswith("/") and not text.endswith("/"):
        parts.insert(0, "**")
    if text.endswith("/") or not parts:
        parts.append("**")
    return tuple(
        part for part, before in zip(parts, ["", *parts], strict=False) if part != "**" or before != "**"
    )


@functools.lru_cache(maxsize=1_024)
def _pattern(glob: str) -> re.Pattern[str]:
    """A regular expression for a glob: a `**` at the end matches the folder itself too, which a link may replace."""
    text = ""
    *folders, last = _segments(glob)
    for part in folders:
        text += "(?:[^/]+/)*" if part == "**" else f"{_of_segment(part)}/"
    if last != "**":
        return re.compile(text + _of_segment(last))
    return re.compile(f"{text.removesuffix('/')}(?:/.*)?" if text.endswith("/") else f"{text}.*", re.DOTALL)


def _of_segment(part: str) -> str:
    letters = re.findall(r"\[[^\]]+\]|.", part, re.DOTALL)
    return "".join(map(_of_letter, letters))


def _of_letter(letter: str) -> str:
    if letter == "*":
        return "[^/]*"
    if letter == "?":
        return "[^/]"
    if len(letter) > 1:
        negated = "^" if letter[1] in "!^" else ""
        inner = letter[2:-1] if negated else letter[1:-1]
        return f"[{negated}{re.escape(inner).replace(chr(92) + '-', '-')}]" if inner else re.escape(letter)
    return re.escape(letter)


@functools.lru_cache(maxsize=4_096)
def _meet(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether a path may match both: each `**` may stand for any number of folders, none too."""
    if not first and not second:
        return True
    if first and first[0] == "**":
        return _meet(first[1:], second) or (bool(second) and _meet(first, second[1:]))
    if second and second[0] == "**":
        return _meet(second, first)
    return bool(first and second) and _may_be_one(first[0], second[0]) and _meet(first[1:], second[1:])


def _may_be_one(first: str, second: str) -> bool:
    """Whether two names with signs such as `*` may be the same: their ends, which have none, do not contradict."""
    if not _WILD.search(first) and not _WILD.search(second):
        return first == second
    starts = [_WILD.split(name)[0] if _WILD.search(name) else name for name in (first, second)]
    ends = [_WILD.split(name)[-1] if _WILD.search(name) else name for name in (first, second)]
    is_start_one = starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])
    return is_start_one and (ends[0].endswith(ends[1]) or ends[1].endswith(ends[0]))
