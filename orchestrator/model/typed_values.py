"""Values that JSON does not have, as Celery's own JSON writes them: a moment, an amount of money, a UUID.

So a value that one task returns is the same value where another one gets it.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

TYPE, VALUE = "__type__", "__value__"
"""The keys of the mapping by which kombu writes such a value (kombu/utils/json.py)."""

WRITERS: Mapping[str, tuple[type, Callable[[Any], Any]]] = {
    "datetime": (datetime.datetime, datetime.datetime.isoformat),
    "date": (datetime.date, datetime.date.isoformat),
    "time": (datetime.time, datetime.time.isoformat),
    "decimal": (decimal.Decimal, str),
    "uuid": (UUID, lambda value: {"hex": value.hex}),
}
"""How each type is written. A datetime is a date too, so it comes first."""

READERS: Mapping[str, Callable[[Any], Any]] = {
    "datetime": datetime.datetime.fromisoformat,
    "date": lambda text: datetime.datetime.fromisoformat(text).date(),
    "time": datetime.time.fromisoformat,
    "decimal": decimal.Decimal,
    "uuid": lambda value: UUID(**value),
    "bytes": lambda text: text.encode(),
    "base64": lambda text: base64.b64decode(text.encode()),
}


def encode(value: Any) -> Any:
    """Encode a value that JSON does not have, as Celery's JSON does.

    Raises:
        TypeError: It has no way to write it.
    """
    for name, (kind, write) in WRITERS.items():
        if isinstance(value, kind):
            return {TYPE: name, VALUE: write(value)}
    if isinstance(value, bytes):
        try:
            return {TYPE: "bytes", VALUE: value.decode()}
        except UnicodeDecodeError:
            return {TYPE: "base64", VALUE: base64.b64encode(value).decode()}
    if hasattr(value, "__json__"):  # kombu's own word for it
        return value.__json__()
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def plain(value: Any) -> Any:
    """A value as JSON has it; one that neither JSON nor Celery's JSON has stays as it is.

    Example:
        >>> plain((1, datetime.date(2026, 11, 27)))
        [1, {'__type__': 'date', '__value__': '2026-11-27'}]
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    try:
        return plain(encode(value))
    except TypeError:
        return value


def restored(value: Any) -> Any:
    """The value that `plain` was given, but for tuples.

    Example:
        >>> restored([1, {"__type__": "date", "__value__": "2026-11-27"}])
        [1, datetime.date(2026, 11, 27)]
    """
    if isinstance(value, Mapping):
        read = READERS.get(str(value[TYPE])) if value.keys() == {TYPE, VALUE} else None
        if read:
            with contextlib.suppress(ValueError, TypeError, AttributeError, decimal.InvalidOperation):
                return read(value[VALUE])
        return {name: restored(part) for name, part in value.items()}
    return [restored(part) for part in value] if isinstance(value, list | tuple) else value
