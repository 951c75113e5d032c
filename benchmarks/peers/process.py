"""A peer in a process of its own, in its own environment, measured in turn with ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks.measurement import seconds
from benchmarks.peers.peer import PEERS, Peer
from benchmarks.postgres import NoPostgres, server
from benchmarks.rig import REPOSITORY, Rig

PATIENCE = 240.0
"""Seconds for one peer, its start included."""

GRACE = 30.0
"""Seconds for a peer to end itself and its workers."""

DATABASES = {name: number for number, name in enumerate(PEERS, start=2)}


SETTINGS = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables that some read when they are imported: none tells anybody of its use, or gives up while it starts."""

HOMES = ("DAGSTER_HOME", "PREFECT_HOME")
"""Variables that say where some keep what they store; here it goes with the folder."""


class NotMeasured(Exception):
    """A peer is not installed, ended before it was measured, or took too long."""


def in_turn(
    rig: Rig, peer: Peer, case: str, shape: tuple[int, ...], ours: Callable[[], object], runs: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The seconds of ours and of the peer, after one run of each that is not counted.

    A slow peer is measured as often as its time allows, and at least once.

    Args:
        rig: The rig.
        peer: Who it is.
        case: The end of the name of its file: `layers` or `fibo`.
        shape: What its `run` is given.
        ours: Runs our side.
        runs: How often each is measured.

    Raises:
        NotMeasured: It could not be measured; the message says why.
    """
    if peer.version() is None:
        raise NotMeasured(f"not installed: python -m benchmarks.peers.peer {peer.name}")
    with contextlib.ExitStack() as stack:
        try:
            postgres = stack.enter_context(server()) if peer.needs_postgres else ""
        except NoPostgres as reason:
            raise NotMeasured(f"it needs PostgreSQL: {reason}") from None
        began = time.monotonic()
        run = stack.enter_context(_started(rig, peer, case, shape, postgres))
        run()
        ours()
        rounds: list[tuple[float, float]] = []
        while len(rounds) < runs and (not rounds or _fits(rounds, began)):
            rounds.append((seconds(ours), run()))
    mine, theirs = zip(*rounds, strict=True)
    return mine, theirs


def _fits(rounds: list[tuple[float, float]], began: float) -> bool:
    """Whether one more round ends in time, if it is as slow as the slowest."""
    return time.monotonic() + max(map(sum, rounds)) < began + PATIENCE


@contextlib.contextmanager
def _started(
    rig: Rig, peer: Peer, case: str, shape: tuple[int, ...], postgres: str
) -> Iterator[Callable[[], float]]:
    """The process. What is yielded runs the case once and gives the seconds."""
    folder = rig.folder / f"{peer.name}-{case}-{'-'.join(map(str, shape))}"
    folder.mkdir()
    log = folder / "log"
    module = f"{peer.name}_{case}"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [peer.python, "-m", "benchmarks.peers.runs", module, *map(str, shape)],
            env={
                **os.environ,
                **SETTINGS,
                **dict.fromkeys(HOMES, str(folder)),
                "PATH": f"{peer.python.parent}{os.pathsep}{os.environ['PATH']}",
                "PEER_REDIS_URL": f"{rig.url}?db={DATABASES[peer.name]}",
                "PEER_POSTGRES_URL": postgres,
                "PEER_FOLDER": str(folder),
                "PYTHONPATH": str(REPOSITORY),
            },
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,  # so that what it forked can be ended too
        )
    asked, answers = process.stdin, process.stdout
    assert asked
    assert answers

    def run() -> float:
        try:
            asked.write("run\n")
            asked.flush()
            return float(answers.readline())
        except (OSError, ValueError):
            said = log.read_text("utf-8", "replace")
            if is_overdue.is_set():
                raise NotMeasured(f"did not end in {PATIENCE:g} s{_last_words(said)}") from None
            raise NotMeasured(f"did not run{_last_words(said)}") from None

    is_overdue = threading.Event()

    def give_up() -> None:
        is_overdue.set()
        _end(process)

    overdue = threading.Timer(PATIENCE, give_up)
    overdue.start()
    try:
        yield run
    finally:
        overdue.cancel()
        _end(process)
        for pipe in (asked, answers):
            with contextlib.suppress(OSError):
                pipe.close()


def _end(process: subprocess.Popen[str]) -> None:
    """End it, and with it its own workers; what does not obey is killed, with all that it forked."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(said: str) -> str:
    """The last line of what it said, if it said anything."""
    lines = said.strip().splitlines()
    return f": {lines[-1]}" if lines else ", and said nothing"
