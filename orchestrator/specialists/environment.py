"""The environment of a command: a few variables that programs need, and those that its configuration adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PASSED_ON = ("PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR")
"""Variables of the worker that every command gets. A star matches the rest of a name."""


def filter_environment(environment: Mapping[str, str], declared: Iterable[str] = ()) -> dict[str, str]:
    """The variables of a worker that its commands get.

    Args:
        environment: All variables of the worker.
        declared: Names that the configuration adds (`pass_env`); a star at the end matches the rest of a name.

    Example:
        >>> filter_environment({"PATH": "/bin", "LC_ALL": "C", "PGPASSWORD": "secret", "PIP_INDEX_URL": "x"}, ["PIP_*"])
        {'PATH': '/bin', 'LC_ALL': 'C', 'PIP_INDEX_URL': 'x'}
    """
    names = (*PASSED_ON, *declared)
    exact = {name for name in names if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value for name, value in environment.items() if name in exact or name.startswith(beginnings)
    }
