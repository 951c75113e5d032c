"""Ends the commands of a worker process that was killed: by the kernel, out of memory, or by `kill -9`.

Such a process cannot end its commands itself, and they would go on beside the next attempt. So each process that runs
commands has a guard, a shell of some 1 MB, at the other end of a pipe: it is told which process groups there are, and
when the pipe closes, however that came about, it kills those that are left. (Linux's PR_SET_PDEATHSIG would kill the
command alone, not what that started, and could only be set in the forked child: subprocess documentation, preexec_fn.)
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass

logger = logging.getLogger("orchestrator")

_SCRIPT = """
trap '' INT TERM HUP
groups=' '
while read -r event group; do
  case $event in
    begun) groups="$groups$group " ;;
    ended) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"""


@dataclass
class _Guard:
    owner: int
    shell: subprocess.Popen[bytes] | None


_guard = _Guard(owner=0, shell=None)
_starting = threading.Lock()


@contextlib.contextmanager
def watched(group: int) -> Iterator[None]:
    """Have a process group killed if this process dies before the block ends.

    Args:
        group: Its number: that of a process which was started with a session of its own.

    Example:
        with watched(process.pid):
            process.wait()
    """
    _tell("begun", group)
    try:
        yield
    finally:
        _tell("ended", group)


def _tell(event: str, group: int) -> None:
    shell = _own_guard()
    if shell and shell.stdin:
        try:
            # One write of a short line: lines of several threads do not mix (pipe(7), PIPE_BUF).
            os.write(shell.stdin.fileno(), f"{event} {group}\n".encode())
        except OSError as error:
            logger.warning("Commands of process %s are not guarded any more: %s", os.getpid(), error)
            _guard.shell = None


def _own_guard() -> subprocess.Popen[bytes] | None:
    """The guard of this process, started when it is first needed; a forked child does not share its parent's."""
    with _starting:
        if _guard.owner != os.getpid():
            _guard.owner, _guard.shell = os.getpid(), _start()
        return _guard.shell


def _start() -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            # A session of its own: what kills the worker's group does not kill the guard.
            start_new_session=True,
        )
    except OSError as error:
        logger.warning("Commands of process %s are not guarded: no shell: %s", os.getpid(), error)
        return None
