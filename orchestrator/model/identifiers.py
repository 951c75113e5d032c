"""Ids of features and tasks: which texts are one, and how they stand in file names and in the ids of messages."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from urllib.parse import quote, unquote

LONGEST = 200

GATES = ("@testing", "@validating")
"""The tasks as which the gates of a feature run (see schedule.lua). No task of a feature may be called so."""

RULE = (
    "an id has letters and digits of any script and _ . - + @ / : ~, "
    "starts with none of . - ~ and is at most 200 characters long"
)

LONGEST_NAME = 100
"""Characters of a file name that an id becomes; longer ones are cut, and a digest tells them apart."""

_PLAIN = re.compile(rf"(?!(?:{'|'.join(GATES)})$)[A-Za-z0-9_+@/:][A-Za-z0-9_.+@/:~\-]{{0,{LONGEST - 1}}}")
_OLD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_RANDOM = re.compile(r"[0-9a-f]{12}")
_ATTEMPT = re.compile(rf"([^:]+):([^:]+):([0-9]+)(?::{_RANDOM.pattern})?")
_SIGNS = frozenset("_.+@/:~-")
_NOT_FIRST = frozenset(".~-")
# Letters and marks that nobody sees (Unicode: Default_Ignorable_Code_Point): two ids would look the same.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def trouble(text: str) -> str | None:
    """Why a text is no id of a task; None: it is one.

    Example:
        >>> trouble("@babel/core"), trouble("größe")
        (None, None)
        >>> trouble("a b").split(";")[0]
        'has a space'
    """
    if is_plain(text):
        return None
    if text in GATES:
        return f"is the name of a feature's own gates; choose another id than {text}"
    if not text:
        return f"is empty; {RULE}"
    if len(text) > LONGEST:
        return f"has {len(text):,} characters; {RULE}"
    wrong = next((sign for sign in text if not _may_have(sign)), None)
    if wrong is not None:
        return f"has {_named(wrong)}; {RULE}"
    if text[0] in _NOT_FIRST or unicodedata.category(text[0])[0] == "M":
        return f"starts with {_named(text[0])}; {RULE}"
    return None


def is_plain(text: str) -> bool:
    """An id of a task in the letters of ASCII, as most are. It is normal too."""
    return _PLAIN.fullmatch(text) is not None


def trouble_of_feature(text: str) -> str | None:
    """Why a text is no id of a feature; None: it is one. In Redis a colon stands between it and a task.

    Example:
        >>> trouble_of_feature("größe/2"), trouble_of_feature("a:b")
        (None, 'has a colon; the id of a feature has none')
    """
    return trouble(text) or ("has a colon; the id of a feature has none" if ":" in text else None)


def is_id(value: object) -> bool:
    """A value that can be the id of a task."""
    if not isinstance(value, str):
        return False
    return is_plain(value) or (normal(value) == value and trouble(value) is None)


def is_feature_id(value: object) -> bool:
    """A value that can be the id of a feature."""
    return is_id(value) and ":" not in str(value)


def is_gates(task_id: str) -> bool:
    """It is no task of the feature, but the feature's own gates (see schedule.lua)."""
    return task_id in GATES


def is_of_old(text: str) -> bool:
    """An id that schema 2 allows too."""
    return _OLD.fullmatch(text) is not None


def normal(text: str) -> str:
    """The same id however its accents were typed (Unicode's normal form C).

    Example:
        >>> normal("e\\u0301") == "é"
        True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def encode(text: str) -> str:
    """An id of letters, digits and _ . - alone, with ~XX for each other byte in UTF-8; different ids stay different.

    It is safe in file names, in URLs, and between colons.

    Example:
        >>> encode("libstdc++6"), encode("@babel/core"), encode("T1")
        ('libstdc~2B~2B6', '~40babel~2Fcore', 'T1')
    """
    return text if _OLD.fullmatch(text) else quote(text, safe="").replace("~", "%7E").replace("%", "~")


def decode(text: str) -> str:
    """The text that was encoded.

    Raises:
        ValueError: Nothing encodes to this text.

    Example:
        >>> decode("~40babel~2Fcore")
        '@babel/core'
    """
    decoded = unquote(text.replace("%", "").replace("~", "%"), errors="strict")
    if encode(decoded) != text:
        raise ValueError("no id is encoded so")
    return decoded


@functools.lru_cache(maxsize=1_024)
def file_name(text: str) -> str:
    """The name of a file or a folder that stands for an id.

    Example:
        >>> file_name("a/b"), len(file_name("日" * 200))
        ('a~2Fb', 94)
    """
    encoded = encode(text)
    if len(encoded) <= LONGEST_NAME:
        return encoded
    return f"{encoded[:60]}~~{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def of_attempt(feature_id: str, task_id: str, attempt: int) -> str:
    """The name of an attempt. Feature and task are encoded in it; gates stay as they are.

    Example:
        >>> of_attempt("auth", "T1", 2), of_attempt("auth", "a:b", 1), of_attempt("auth", "@testing", 1)
        ('auth:T1:2', 'auth:a~3Ab:1', 'auth:@testing:1')
    """
    return f"{encode(feature_id)}:{task_id if is_gates(task_id) else encode(task_id)}:{attempt}"


def is_of_message(text: str, feature_id: str, task_id: str, attempt: int) -> bool:
    """The id of a message that asks for this attempt: its name, and an end that nobody can guess.

    Example:
        >>> is_of_message("auth:a~3Ab:1:0f3a9c5e71d2", "auth", "a:b", 1)
        True
    """
    name, _, random = text.rpartition(":")
    return name == of_attempt(feature_id, task_id, attempt) and _RANDOM.fullmatch(random) is not None


def attempt_named(text: str) -> tuple[str, str, int] | None:
    """The (feature, task, attempt) of the id of a message, or of the name of an attempt; None for another text.

    Example:
        >>> attempt_named("auth:a~3Ab:2:0f3a9c5e71d2"), attempt_named("auth:a~3Ab:2"), attempt_named("7e0c3a9e")
        (('auth', 'a:b', 2), ('auth', 'a:b', 2), None)
    """
    found = _ATTEMPT.fullmatch(text)
    if not found:
        return None
    feature, task, attempt = found.groups()
    try:
        return decode(feature), task if is_gates(task) else decode(task), int(attempt)
    except ValueError:
        return None


def _may_have(sign: str) -> bool:
    return sign in _SIGNS or (unicodedata.category(sign)[0] in "LMN" and not _UNSEEN.match(sign))


def _named(sign: str) -> str:
    named = {" ": "a space", "\t": "a tab", "\n": "a line break"}
    if sign in named:
        return named[sign]
    is_seen = sign.isprintable() and not _UNSEEN.match(sign) and unicodedata.category(sign)[0] != "M"
    return f'"{sign}"' if is_seen else f"the character U+{ord(sign):04X}"
