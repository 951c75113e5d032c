"""The peers: what each is, what it stores, and the environment that it is installed into.

    python -m benchmarks.peers.peer            # install all of them, each in its current version
    python -m benchmarks.peers.peer saq ray    # these

Each has an environment of its own, so that none holds another to an old version: SAQ, for one, does not go with the
redis-py that Taskiq needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "task-orchestrator" / "peers"

UV = [sys.executable, "-m", "uv"]


@dataclass(frozen=True)
class Peer:
    """A tool that does similar work.

    Args:
        name: As its files in this package begin.
        title: As people write it.
        packages: What pip calls it; the first one's version is shown.
        stores: What is left of a task when it is done, and where.
        is_durable: Whether a task that was sent, and one that a lost worker had, is stored and outlives every
            process, as it is measured here.
        needs_postgres: Whether it needs a PostgreSQL.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    stores: str
    is_durable: bool
    needs_postgres: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.name / "bin" / "python"

    def version(self) -> str | None:
        """The version that is installed; None where it is not."""
        if not self.python.exists():
            return None
        package = self.packages[0].partition("[")[0]
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        asked = subprocess.run([self.python, "-c", code], capture_output=True, text=True)
        return asked.stdout.strip() or None

    def install(self) -> None:
        """Make a new environment for it, with the current version of all that it needs."""
        folder = str(self.python.parent.parent)
        subprocess.run([*UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        pip = [*UV, "pip", "install", "--quiet", "--python", str(self.python)]
        subprocess.run([*pip, *self.packages], check=True)


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "dramatiq",
            "Dramatiq",
            ("dramatiq[redis]",),
            "nothing of a task that is done; counters of joins, in Redis",
            is_durable=True,
        ),
        Peer("rq", "RQ", ("rq",), "the job and its result, in Redis, for 500 s", is_durable=True),
        Peer("huey", "Huey", ("huey", "redis"), "results until they are read, in Redis", is_durable=False),
        Peer(
            "taskiq",
            "Taskiq",
            ("taskiq", "taskiq-redis"),
            "results, and the messages, in Redis, until they are trimmed or expire",
            is_durable=True,
        ),
        Peer(
            "saq",
            "SAQ",
            ("saq[redis]", "typing-extensions"),
            "the job with its result, in Redis, for 600 s",
            is_durable=True,
        ),
        Peer(
            "procrastinate",
            "procrastinate",
            ("procrastinate",),
            "the job and its events, in PostgreSQL, until they are deleted",
            is_durable=True,
            needs_postgres=True,
        ),
        Peer(
            "dbos",
            "DBOS",
            ("dbos",),
            "every workflow and step with its result, in PostgreSQL, until it is deleted",
            is_durable=True,
            needs_postgres=True,
        ),
        Peer(
            "dask",
            "Dask",
            ("distributed",),
            "nothing; graph, state and results are in memory",
            is_durable=False,
        ),
        Peer("ray", "Ray", ("ray",), "nothing; state and results are in memory", is_durable=False),
        Peer(
            "prefect",
            "Prefect",
            ("prefect",),
            "every run and state of it, in SQLite",
            is_durable=False,
        ),
        Peer("luigi", "Luigi", ("luigi",), "a file for each task that is done", is_durable=False),
        Peer(
            "dagster",
            "Dagster",
            ("dagster",),
            "every event and output of a run, in SQLite and files",
            is_durable=False,
        ),
    )
}
"""Name → the peer, in the order in which they are measured."""


def main() -> None:
    """Install the peers that are named, or all."""
    for name in sys.argv[1:] or PEERS:
        peer = PEERS[name]
        peer.install()
        print(f"{peer.title} {peer.version()}", flush=True)


if __name__ == "__main__":
    main()
