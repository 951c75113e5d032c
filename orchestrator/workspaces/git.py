"""Runs git: as the same words on every machine, asking nobody, and without the repository's hooks."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model import errors, words
from orchestrator.workspaces import stale_locks

NEEDED = (2, 38)
"""The first git that has `merge-tree --write-tree`."""

TRIES = 3
"""How often a command is run that meets the lock of a git that was killed."""

SETTINGS = {
    "core.hooksPath": "/dev/null",  # hooks are for people; an agent could write one that we would run
    "core.useReplaceRefs": "false",  # a commit is what it says, whatever an agent put in its place (`git replace`)
    "core.fsmonitor": "false",  # a command that `git status` would run
    "core.safecrlf": "false",
    "core.quotePath": "false",
    "core.filesRefLockTimeout": "5000",  # ms; `git gc` of somebody else holds each ref for a moment
    "core.packedRefsTimeout": "10000",
    "commit.gpgSign": "false",
    "merge.verifySignatures": "false",
    "merge.conflictStyle": "merge",
    "rerere.enabled": "false",  # it would resolve conflicts by itself
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "i18n.commitEncoding": "UTF-8",
    "advice.detachedHead": "false",
}

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_CONFIG_HOME")
"""The variables of the worker that git gets, beside those that begin with GIT_. An agent can write the configuration of
the repository, and so name a filter that git runs for us: it must not find the keys of the worker there."""

# Of a hook or an alias that a worker was started by: they would lead git into another repository (git help rev-parse,
# --local-env-vars). GIT_CONFIG_COUNT stays, which people use to name folders that are safe.
LOCAL = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_OBJECT_DIRECTORY", "GIT_DIR",
    "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_EXTERNAL_DIFF",
    "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
    "GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE",
)  # fmt: skip

_LOCK = re.compile(
    r"(?:Unable to create|could not lock config file|cannot lock ref .*?) '?(/[^':\n]+?\.lock)'?: File exists"
)
_CONFIG_LOCK = re.compile(r"could not lock config file (.+?): File exists")


@dataclass(frozen=True)
class Answer:
    """How a git command ended: its exit code, and what it wrote."""

    code: int
    output: str
    words: str
    """Its standard error: what git says to people."""

    @property
    def line(self) -> str:
        """The output without the line break at its end."""
        return self.output.rstrip("\n")

    @property
    def names(self) -> tuple[str, ...]:
        """An output of file names, each followed by a null (`-z`)."""
        return tuple(name for name in self.output.split("\0") if name)


def run(
    folder: Path,
    *arguments: str,
    ok: tuple[int, ...] = (0,),
    given: str = "",
    environment: Mapping[str, str] | None = None,
    inherited: tuple[int, ...] = (),
) -> Answer:
    """Run a git command in a folder, and wait for it.

    A lock that a killed git left behind is moved aside, and the command is run again (see `stale_locks`).

    Args:
        folder: Where it runs.
        arguments: The command and its arguments, after `git`.
        ok: The exit codes that are no error.
        given: Its standard input.
        environment: More variables, such as the author's name.
        inherited: Open files that it gets too, such as a lock that it holds with us.

    Raises:
        NoGit: There is no git.
        OldGit: It is too old.
        GitFailed: It ended with another exit code; the error has git's own words.
        RepositoryBusy: Another program holds a lock of git's.
    """
    executable = _executable()
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = [executable, *settings, *arguments]
    for left in reversed(range(TRIES)):
        answer = _run_once(command, folder, given, environment or {}, inherited)
        if answer.code in ok:
            return answer
        lock = _held_lock(answer.words, folder)
        if lock and left:
            stale_locks.settle(lock)
            continue
        break
    raise errors.GitFailed(
        command=words.one_line(" ".join(arguments)),
        folder=folder,
        cause=_last_words(answer),
        code=answer.code,
    )


def _run_once(
    command: list[str], folder: Path, given: str, environment: Mapping[str, str], inherited: tuple[int, ...]
) -> Answer:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=given.encode("utf-8", "surrogateescape"),
            capture_output=True,
            env={**_environment(), **environment},
            pass_fds=inherited,
            check=False,
        )
    except OSError as error:
        raise errors.GitFailed(command=command[-1], folder=folder, cause=str(error), code=-1) from error
    # Names of files are bytes: so each can be given back to git as it was.
    output = done.stdout.decode("utf-8", "surrogateescape")
    return Answer(done.returncode, output, done.stderr.decode("utf-8", "replace"))


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in PASSED_ON or name.startswith("GIT_")) and name not in LOCAL
    }
    return {
        **kept,
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": ":",
        "GIT_SEQUENCE_EDITOR": ":",
        "GIT_MERGE_AUTOEDIT": "no",
        "GIT_OPTIONAL_LOCKS": "0",  # to look takes no lock
    }


def _executable() -> str:
    found = shutil.which("git")
    if not found:
        raise errors.NoGit()
    _check_version(found)
    return found


@functools.lru_cache(maxsize=8)
def _check_version(executable: str) -> None:
    said = subprocess.run([executable, "version"], capture_output=True, text=True, check=False).stdout
    check_version(said.strip())


def check_version(said: str) -> None:
    """Refuse a git that is too old.

    Args:
        said: What `git version` printed.

    Raises:
        OldGit: It is.

    Example:
        >>> check_version("git version 2.39.5 (Apple Git-154)")
    """
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if not numbers or (int(numbers[1]), int(numbers[2])) < NEEDED:
        raise errors.OldGit(
            found=said.removeprefix("git version ") or "unknown", needed=".".join(map(str, NEEDED))
        )


def _held_lock(said: str, folder: Path) -> Path | None:
    """The lock that git could not take, if that is what it says."""
    if found := _LOCK.search(said):
        return Path(found[1])
    if found := _CONFIG_LOCK.search(said):
        return folder / f"{found[1]}.lock"
    return None


def _last_words(answer: Answer) -> str:
    said = answer.words.strip() or answer.output.strip() or f"it said nothing, and ended with {answer.code}"
    return words.one_line(said, 600)


def shown(name: str) -> str:
    """The name of a file as text: bytes that are no UTF-8 are written as \\\\xNN.

    Example:
        >>> shown("caf\\udce9.txt")
        'caf\\\\xe9.txt'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
