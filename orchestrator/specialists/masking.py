"""Hides secrets in the output and the outcome of an attempt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import SecretStr

from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Outcome
from orchestrator.specialists.text import as_text

SHORTEST = 8
"""Characters of the shortest secret. A shorter text, such as 1 or true, occurs in too many others to be hidden."""

MASK = "**"


def secret_texts(values: Iterable[SecretStr]) -> tuple[str, ...]:
    """The texts to hide: each value without surrounding space, and each of its lines.

    Programs drop a value's trailing line break, and show a key of several lines line by line.
    Longer texts come first, because one may contain another.

    Example:
        >>> secret_texts([SecretStr("first-line\\nsecond-line\\n"), SecretStr("true")])
        ('first-line\\nsecond-line', 'second-line', 'first-line')
    """
    found = set[str]()
    for value in values:
        whole = value.get_secret_value().strip()
        for text in (whole, *(line.strip() for line in whole.splitlines())):
            found |= {text, as_text(text)}
    return tuple(sorted((text for text in found if len(text) >= SHORTEST), key=_longest_first))


def all_secret_texts(settings: Settings) -> tuple[str, ...]:
    """The texts of all specialists' secrets: for output of unknown origin, or of code that can see all settings."""
    values = [value for given in settings.specialists.values() if given.env for value in given.env.values()]
    return secret_texts(values) if values else ()


def _longest_first(text: str) -> tuple[int, str]:
    return -len(text), text


def hide(text: str, secrets: Sequence[str]) -> str:
    """The text with `**` in place of each secret.

    Example:
        >>> hide("401 for s3cr3t-one!", ["s3cr3t-one"])
        '401 for **!'
    """
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def mask_outcome(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    """The outcome with `**` in place of each secret in its texts and its result.

    A changed secret (its base64, a part of it) is not found.
    """
    if not secrets:
        return outcome
    fields = ("summary", "reason", "result", "handoff", "tail")
    return outcome.model_copy(
        update={name: mask(getattr(outcome, name), secrets) for name in fields if hasattr(outcome, name)}
    )


def mask(value: Any, secrets: Sequence[str]) -> Any:
    """A value of JSON with `**` in place of each secret in its texts."""
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, list | tuple):
        return [mask(each, secrets) for each in value]
    if isinstance(value, dict):
        return {hide(name, secrets): mask(each, secrets) for name, each in value.items()}
    return value


def overwrite(output: bytes, secrets: Sequence[str]) -> bytes:
    """Output with an asterisk in place of each byte of a secret, except line breaks. Lengths stay the same.

    Example:
        >>> overwrite(b"token: s3cr3t-one;", ["s3cr3t-one"])
        b'token: **********;'
    """
    for secret in map(str.encode, secrets):
        if secret in output:
            output = output.replace(secret, re.sub(rb"[^\r\n]", b"*", secret))
    return output


def unfinished(output: bytes, secrets: Sequence[str]) -> int:
    """How many bytes at the end of unfinished output may be the beginning of a secret.

    Example:
        >>> unfinished(b"token: s3cr", ["s3cr3t-one"])
        4
    """
    return max((_beginning(output, secret.encode()) for secret in secrets), default=0)


def _beginning(output: bytes, secret: bytes) -> int:
    lengths = range(min(len(output), len(secret) - 1), 0, -1)
    return next((length for length in lengths if output.endswith(secret[:length])), 0)
