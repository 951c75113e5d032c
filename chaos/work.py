"""The work of the tasks of the load. It runs inside workers, so it imports little.

A task has a script: a word for each attempt, and "ok" for all further ones. It writes a line into its own file when it
begins and when it is done, so that the checker knows which work was really done.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from orchestrator import Context
from orchestrator.model import errors
from orchestrator.model.outcome import Blocked, Cancelled, Completed, Failed, Outcome, RetryLater

EFFECTS = "CHAOS_EFFECTS"
"""The environment variable that names the folder of the effects."""

LAST_SECONDS = 0.4
"""How long an attempt goes on after it was told to end."""

MEGABYTES = 64
"""How much more memory a task that exhausts its own may take."""


def write(folder: Path, feature: str, task: str, moment: str, attempt: int, pid: int) -> None:
    """Write a line into the file of a task, with one write, so that two writers cannot mix their lines."""
    # Not time.time(), which a fault shifts.
    line = f"{moment} {time.clock_gettime(time.CLOCK_REALTIME):.3f} {attempt} {pid}\n"
    with (folder / f"{feature}+{task}").open("ab", buffering=0) as file:
        file.write(line.encode())


def word(script: list[str], attempt: int) -> str:
    """The word of the script for an attempt."""
    return script[attempt - 1] if attempt <= len(script) else "ok"


def work(context: Context) -> Outcome:
    """Do the work of this attempt, by the script."""
    params: dict[str, Any] = dict(context.task.params)
    folder = Path(os.environ[EFFECTS])
    write(folder, context.feature.id, context.task.id, "began", context.attempt, os.getpid())
    try:
        return _carry_out(context, params, folder)
    finally:
        write(folder, context.feature.id, context.task.id, "ended", context.attempt, os.getpid())


def _carry_out(context: Context, params: dict[str, Any], folder: Path) -> Outcome:
    if not _take_time(context, params["seconds"]):
        time.sleep(LAST_SECONDS)
        return Cancelled()
    match word(params["script"], context.attempt):
        case "block":
            return Blocked(reason="somebody has to decide")
        case "fail":
            return Failed(reason="the script says so")
        case "later":
            return RetryLater(after=0.3)
        case "raise":
            raise RuntimeError("the script says so")
        case "exhaust":
            exhaust_memory()
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    write(folder, context.feature.id, context.task.id, "done", context.attempt, os.getpid())
    return Completed(result={"attempt": context.attempt})


def _take_time(context: Context, seconds: float) -> bool:
    """Sleep; False if the attempt is cancelled meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))
        with contextlib.suppress(errors.OrchestratorError):
            if left > 0.5 and context.is_cancelled():
                return False
    return True


def exhaust_memory() -> NoReturn:
    """Allocate memory up to a temporary limit.

    Raises:
        MemoryError: Always.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        held = []
        while True:
            held.append(bytearray(2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def check(context: Context) -> bool:
    """A gate of a task: fails at the attempts whose word is "gate"."""
    params: dict[str, Any] = dict(context.task.params)
    return word(params["gates"], context.attempt) != "gate"


def check_feature(context: Context) -> bool:
    """A gate of a feature: fails at the first attempt if the feature's description asks for that."""
    return context.attempt > 1 or "gate" not in context.feature.description


DAEMONS = ("none", "none", "setsid", "job-control", "timeout")
"""How a command starts a process that goes its own way (see SHELL)."""

SHELL = r"""
write() { printf '%s %s %s %s\n' "$1" "$(date +%s.%3N)" "$ORCHESTRATOR_ATTEMPT" "$$" \
  >> "$CHAOS_EFFECTS/$ORCHESTRATOR_FEATURE_ID+$ORCHESTRATOR_TASK_ID"; }
lives='while sleep 0.2; do printf "lives %s %s %s\n" "$(date +%s.%3N)" "$ORCHESTRATOR_ATTEMPT" "$$" \
  >> "$CHAOS_EFFECTS/$ORCHESTRATOR_FEATURE_ID+$ORCHESTRATOR_TASK_ID"; done'
trap 'write ended' EXIT
trap 'sleep 0.4; exit 143' TERM
write began
case "$0" in
  setsid) (setsid /bin/sh -c "$lives" &) ;;
  job-control) set -m; (/bin/sh -c "$lives" &); set +m ;;
  timeout) (timeout 60 /bin/sh -c "trap '' TERM; $lives" &) ;;
esac
sleep "$1"
if [ "$ORCHESTRATOR_ATTEMPT" -lt $# ]; then shift "$ORCHESTRATOR_ATTEMPT"; else shift $#; fi
case "${1:-ok}" in
  block) echo '{"status": "blocked", "reason": "somebody has to decide"}' > "$ORCHESTRATOR_OUTCOME_FILE"; exit 0 ;;
  fail|raise) exit 1 ;;
  later) echo '{"status": "retry-later", "after": 0.3}' > "$ORCHESTRATOR_OUTCOME_FILE"; exit 0 ;;
  die|exhaust) kill -9 $$ ;;
esac
write done
"""
"""The same as a command, for `sh -c SHELL DAEMON SECONDS WORD…`."""
