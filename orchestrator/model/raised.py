"""The exception with which a called Celery task failed, as it is stored: its class, and its arguments."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Self

from pydantic import JsonValue

from orchestrator.model.fields import Model
from orchestrator.model.typed_values import plain, restored

MOST = 2_000
"""Characters of the arguments that are stored. Of longer ones, the text of the exception is, cut."""


class Raised(Model):
    """An exception, as far as JSON holds it.

    Example:
        >>> import sys
        >>> Raised.of(KeyError("T1", 3)).exception(sys.modules)
        KeyError('T1', 3)
    """

    module: str
    name: str
    args: tuple[JsonValue, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """An exception as it is stored. An argument that JSON does not hold is stored as its `repr`."""
        args = tuple(map(_storable, error.args))
        if len(json.dumps(args)) > MOST:
            args = (_text(error),)
        return cls(module=type(error).__module__, name=type(error).__qualname__, args=args)

    def exception(self, modules: Mapping[str, ModuleType]) -> Exception | None:
        """The exception; None if its class is in none of the modules, or cannot be made of these arguments.

        Args:
            modules: Those that the program has imported (`sys.modules`).

        Nothing is imported for it: what is stored must not decide which code runs (CVE-2021-23727, in Celery).
        """
        try:
            kind = operator.attrgetter(self.name)(modules[self.module])
            if not issubclass(kind, Exception):
                return None
            made = kind(*map(restored, self.args))
        except Exception:
            return None
        return made if isinstance(made, Exception) else None


def _storable(value: Any) -> JsonValue:
    try:
        text = json.dumps(plain(value), allow_nan=False, ensure_ascii=False)
        found: JsonValue = json.loads(text.encode("utf-8", "replace"))
    except (TypeError, ValueError, RecursionError):
        return _text(value, repr)
    return found


def _text(value: Any, show: Callable[[Any], str] = str) -> str:
    try:
        return show(value)[: MOST // 4].encode("utf-8", "replace").decode()
    except Exception:
        return f"<{type(value).__name__}>"
