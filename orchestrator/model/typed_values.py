"""Values that JSON does not have, as Celery's own JSON writes them: a moment, an amount of money, a UUID.

So a value that one task returns is the same value where another one gets it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

MARKS = {"__type__", "__value__"}
"""The keys of the mapping by which kombu writes such a value (kombu/utils/json.py)."""


def plain(value: Any) -> Any:
    """A value as JSON has it; one that neither JSON nor Celery's JSON has stays as it is.

    Example:
        >>> import datetime
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
        return plain(value.__json__() if hasattr(value, "__json__") else encode(value))
    except TypeError:
        return value


def encode(value: Any) -> Any:
    """What Celery's JSON writes for a value that JSON does not have.

    Raises:
        TypeError: It has no way to write it.
    """
    from kombu.utils.json import JSONEncoder  # late: most values do not need it

    return JSONEncoder().default(value)


def restored(value: Any) -> Any:
    """The value that `plain` was given, but for tuples.

    Example:
        >>> restored([1, {"__type__": "date", "__value__": "2026-11-27"}])
        [1, datetime.date(2026, 11, 27)]
    """
    if isinstance(value, Mapping):
        if value.keys() == MARKS:
            from kombu.utils.json import object_hook  # late, as above

            with contextlib.suppress(ValueError, TypeError):  # nobody has to know the type
                return object_hook(dict(value))
        return {name: restored(part) for name, part in value.items()}
    return [restored(part) for part in value] if isinstance(value, list | tuple) else value
