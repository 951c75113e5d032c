"""What a command has in its environment: what programs need to run, and what is declared for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PASSED_ON = ("PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR")
"""Variables of the worker that each command gets. A star stands for any end of a name."""


def passed_on(environment: Mapping[str, str], declared: Iterable[str] = ()) -> dict[str, str]:
    """The variables of a worker that its commands get.

    Args:
        environment: All that the worker has.
        declared: Names that the configuration adds (`pass_env`), each with a star at its end or without.

    Example:
        >>> passed_on({"PATH": "/bin", "LC_ALL": "C", "PGPASSWORD": "secret", "PIP_INDEX_URL": "x"}, ["PIP_*"])
        {'PATH': '/bin', 'LC_ALL': 'C', 'PIP_INDEX_URL': 'x'}
    """
    names = (*PASSED_ON, *declared)
    exact = {name for name in names if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value for name, value in environment.items() if name in exact or name.startswith(beginnings)
    }
