"""The names of our branches, and of the refs that keep commits: ids of features and tasks, safe as parts of a ref."""

from __future__ import annotations

from urllib.parse import unquote

from orchestrator.model import errors, identifiers

BRANCHES = "refs/heads/to"
"""Where our branches lie. `to/FEATURE` itself is none: git has no branch below another."""

KEPT = "refs/task-orchestrator"
"""Where the refs lie that keep commits, whatever becomes of the branch. `git branch` does not list them."""


def encode(text: str) -> str:
    """An id as one part of a ref: letters, digits and _ . - with %XX for all else; different ids stay different.

    git allows neither `~`, nor two dots in a row, nor a dot or `.lock` at the end.

    Raises:
        InvalidId: It is no id.

    Example:
        >>> encode("T1"), encode("@babel/core"), encode("a..b"), encode("yarn.lock")
        ('T1', '%40babel%2Fcore', 'a%2E%2Eb', 'yarn%2Elock')
    """
    if not identifiers.is_id(text):
        raise errors.InvalidId(id=text, rule=identifiers.trouble(text) or identifiers.RULE)
    name = identifiers.file_name(text).replace("~", "%")
    has_bad_dots = ".." in name or name.endswith((".", ".lock"))
    return name.replace(".", "%2E") if has_bad_dots else name


def decode(name: str) -> str:
    """The id that was encoded; of an id too long for a name, the name that stands for it.

    Example:
        >>> decode(encode("@babel/core"))
        '@babel/core'
    """
    return name if "%%" in name else unquote(name)


def integration(feature: str) -> str:
    """The ref of a feature's integration branch.

    Example:
        >>> integration("auth")
        'refs/heads/to/auth/integration'
    """
    return f"{BRANCHES}/{encode(feature)}/integration"


def task(feature: str, task: str) -> str:
    """The ref of a task's branch.

    Example:
        >>> task("auth", "T1")
        'refs/heads/to/auth/t/T1'
    """
    return f"{BRANCHES}/{encode(feature)}/t/{encode(task)}"


def kept(branch: str) -> str:
    """Where the refs lie that keep the commits of a branch of ours, one for each commit, called by its hash.

    Example:
        >>> kept("refs/heads/to/auth/t/T1")
        'refs/task-orchestrator/auth/t/T1'
    """
    return KEPT + branch.removeprefix(BRANCHES)


def short(ref: str) -> str:
    """A branch as people write it.

    Example:
        >>> short("refs/heads/to/auth/t/T1")
        'to/auth/t/T1'
    """
    return ref.removeprefix("refs/heads/")


def parts(ref: str) -> tuple[str, str] | None:
    """The feature and the task of a branch of ours; the task is "" for an integration branch. None: it is none of ours.

    Example:
        >>> parts("refs/heads/to/auth/t/T1"), parts("refs/heads/to/auth/integration"), parts("refs/heads/main")
        (('auth', 'T1'), ('auth', ''), None)
    """
    match ref.removeprefix(f"{BRANCHES}/").split("/"):
        case [feature, "integration"]:
            return decode(feature), ""
        case [feature, "t", task]:
            return decode(feature), decode(task)
    return None
