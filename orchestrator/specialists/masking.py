"""Secrets are shown nowhere: in which texts they stand, and how these are hidden in what an attempt puts out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import SecretStr

from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Outcome
from orchestrator.specialists.text import as_text

SHORTEST = 8
"""A shorter text, such as 1 or true, is no secret, and stands in too many others to be hidden."""

MASK = "**"


def texts_of(values: Iterable[SecretStr]) -> tuple[str, ...]:
    """The texts that may not be shown: each value without the space around it, and each of its lines.

    A line break at the end is left out by whoever uses a value, and a key of several lines is shown line by line.
    Of two texts of which one holds the other, the longer one comes first.

    Example:
        >>> texts_of([SecretStr("first-line\\nsecond-line\\n"), SecretStr("true")])
        ('first-line\\nsecond-line', 'second-line', 'first-line')
    """
    found = set[str]()
    for value in values:
        whole = value.get_secret_value().strip()
        for text in (whole, *(line.strip() for line in whole.splitlines())):
            found |= {text, as_text(text)}
    return tuple(sorted((text for text in found if len(text) >= SHORTEST), key=_longest_first))


def texts_of_all(settings: Settings) -> tuple[str, ...]:
    """The texts that no specialist may show, where it is not known whose output it is, or that can see all settings."""
    return texts_of(value for given in settings.specialists.values() for value in given.env.values())


def _longest_first(text: str) -> tuple[int, str]:
    return -len(text), text


def hide(text: str, secrets: Sequence[str]) -> str:
    """The text with `**` for each secret.

    Example:
        >>> hide("401 for s3cr3t-one!", ["s3cr3t-one"])
        '401 for **!'
    """
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def masked(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    """The outcome with `**` for each secret in its texts and in the texts of its result.

    What is changed before it is shown (base64, a part of it) is not found.
    """
    fields = ("summary", "reason", "result", "tail")
    return outcome.model_copy(
        update={name: _without(getattr(outcome, name), secrets) for name in fields if hasattr(outcome, name)}
    )


def _without(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, list):
        return [_without(each, secrets) for each in value]
    if isinstance(value, dict):
        return {hide(name, secrets): _without(each, secrets) for name, each in value.items()}
    return value


def overwrite(output: bytes, secrets: Sequence[str]) -> bytes:
    """Output with an asterisk for each byte of a secret but its line breaks, so that nothing moves.

    Example:
        >>> overwrite(b"token: s3cr3t-one;", ["s3cr3t-one"])
        b'token: **********;'
    """
    for secret in map(str.encode, secrets):
        if secret in output:
            output = output.replace(secret, re.sub(rb"[^\r\n]", b"*", secret))
    return output


def unfinished(output: bytes, secrets: Sequence[str]) -> int:
    """How many bytes at the end of output that still grows may be the beginning of a secret.

    Example:
        >>> unfinished(b"token: s3cr", ["s3cr3t-one"])
        4
    """
    return max((_beginning(output, secret.encode()) for secret in secrets), default=0)


def _beginning(output: bytes, secret: bytes) -> int:
    lengths = range(min(len(output), len(secret) - 1), 0, -1)
    return next((length for length in lengths if output.endswith(secret[:length])), 0)
