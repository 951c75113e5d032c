"""What a scripted model answers: one value for each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tokens:
    """What an answer says that it used. `input` is without what came from a cache."""

    input: int = 1_000
    cache_read: int = 0
    cache_write: int = 0
    output: int = 50
    reasoning: int = 0


@dataclass(frozen=True)
class Answer:
    """One answer of the model: text, a call of a tool, or trouble.

    `write` and `run` become calls of whatever tool the program has for them; `call` names a tool as the program
    does. `result` is a structured output. Trouble is a `status` with `headers`, a `message` and more of the
    `error`, silence (`hang`), or an answer that breaks off (`cut`).

    >>> Answer(write={"path": "greet.py", "content": "print('hello')"}).is_trouble
    False
    """

    text: str = ""
    call: tuple[str, Mapping[str, Any]] | None = None
    write: Mapping[str, str] | None = None
    run: str = ""
    result: Mapping[str, Any] | None = None
    usage: Tokens = field(default_factory=Tokens)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    error: Mapping[str, Any] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False

    @property
    def is_trouble(self) -> bool:
        """True when the answer is an error of the API."""
        return self.status != 200
