"""The processes of a run: a Redis, the workers, and the supervisor that restarts those that end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Self

import redis
import yaml

from chaos import load, work
from chaos.load import Errand
from chaos.strain import Strain
from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import ENV_PREFIX, FILE, FOLDER
from orchestrator.config.settings import Settings
from orchestrator.model.commands import Launch
from orchestrator.state import connections, redis_binary
from tests import sentinels

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
"""Seconds to wait for something that should happen soon."""
PAUSE = 0.05

MOST_AT_ONCE = 12
"""The most tasks in flight, in all features together."""
MASONS = 4
"""The most tasks of one specialist in flight."""

SHIFTED_CLOCK = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {seconds}
time.time_ns = lambda: _time_ns() + {seconds} * 10**9
"""
"""A sitecustomize module that sets the clock of a process wrong."""


@dataclass
class Worker:
    """A worker process. One that is restarted has another name, so that events tell the two apart."""

    place: int
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def node(self) -> str:
        """Its name in events."""
        return f"{self.name}@chaos"

    @property
    def is_alive(self) -> bool:
        """Whether its process exists, even if it is stopped."""
        return self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it takes messages."""
        return self.log.is_file() and b" ready." in self.log.read_bytes()

    def children(self) -> list[int]:
        """The processes of its pool."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except OSError:
            return []

    def signal_all(self, number: int) -> None:
        """Signal it and the processes of its pool."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


QUICK: Mapping[str, str] = {"lease": "2s", "sweep": "200ms", "patience": "2s", "grace": "2s"}
"""The section `recovery` of the configuration, with short times, so that much happens in a short run."""

AS_SHIPPED: Mapping[str, str] = {}


@dataclass
class Cluster:
    """A Redis and some workers below a folder. As a context manager it ends with the block.

    Args:
        folder: The folder for all files. Its path must be short, because it holds a socket.
        random: The source of chance.
        size: How many workers there are.
        recovery: The section of the configuration.
        sentinels: A master, a replica and three sentinels stand in the place of the one Redis; outcomes wait for the
            replica (`redis.replicas: 1`).
    """

    folder: Path
    random: Random
    size: int = 3
    recovery: Mapping[str, str] = field(default_factory=lambda: QUICK)
    sentinels: sentinels.Cluster | None = None
    workers: dict[int, Worker] = field(default_factory=dict, init=False)
    specialists: tuple[str, ...] = field(default=load.SPECIALISTS, init=False)
    names: int = field(default=0, init=False)
    is_supervised: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        self.effects = self.folder / "effects"
        self.logs = self.folder / "logs"
        self.socket = self.folder / "redis.sock"
        self.server: subprocess.Popen[bytes] | None = None
        self.errands: deque[Errand] = deque()
        self.strain = Strain()
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._returning = set[int]()
        for folder in (self.project / FOLDER, self.effects, self.logs, self.folder / "workers"):
            folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(self._configuration())
        (self.project / FOLDER / FILE).write_text(text, "utf-8")
        self.settings: Settings = configuration.load(self.project)
        self.redis = connections.open_client(connections.redis_url(self.settings))
        self.client = Client(self.settings)

    def _configuration(self) -> dict[str, Any]:
        gates = {"task_gates": "check", "feature_gates": "check_feature"}
        return {
            "redis": {"url": self.sentinels.url(), "replicas": 1}
            if self.sentinels
            else {"url": f"unix://{self.socket}"},
            "trust": {"inline_commands": True},
            "recovery": dict(self.recovery),
            "logs": str(self.logs),
            "parallelism": {"max_parallel_total": MOST_AT_ONCE},
            "specialists": {
                "builder": {"python": "chaos.work:work", "pass_env": [work.EFFECTS]},
                "mason": {
                    "python": "chaos.work:work",
                    "pass_env": [work.EFFECTS],
                    "concurrency": MASONS,
                },
                "implementation-specialist": {"python": "chaos.work:work", "pass_env": [work.EFFECTS]},
            },
            "quality_gates": {
                "enabled": True,
                **{
                    part: {"testing": [{"name": hook, "python": f"chaos.work:{hook}", "tags": ["gated"]}]}
                    for part, hook in gates.items()
                },
            },
        }

    def __enter__(self) -> Self:
        self.start_redis()
        for place in range(self.size):
            self.start_worker(place)
        return self

    def __exit__(self, *_: object) -> None:
        self.is_supervised = False
        for worker in self.workers.values():
            worker.signal_all(signal.SIGKILL)
            worker.process.wait()
        self.client.close()
        self.kill_redis()

    # --- Redis -------------------------------------------------------------------------------------------

    def start_redis(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if self.sentinels or (self.server and self.server.poll() is None):
            return
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        self.server = subprocess.Popen(
            [
                redis_binary.find(),
                *(word for name, value in options.items() for word in (f"--{name}", value)),
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self.redis_answers)

    def kill_redis(self) -> None:
        """Kill it."""
        if self.server:
            self.server.kill()
            self.server.wait()

    def lose_master(self) -> str:
        """Kill the master for good; the sentinels choose the replica, and the old one comes back as its replica.

        Returns:
            Its name; "" if there are no sentinels, or they have not settled since the last time.
        """
        servers = self.sentinels
        lost = servers.master() if servers and servers.is_settled() else None
        if not servers or not lost:
            return ""
        chosen = "two" if lost == "one" else "one"
        servers.kill(lost)

        def bring_back() -> None:
            servers.wait_for_master(chosen)
            servers.start_server(lost, chosen)

        self.later(3 * servers.down_after, bring_back)
        return lost

    def redis_answers(self) -> bool:
        """Whether it runs and has loaded its data."""
        try:
            return bool(self.redis.ping())
        except redis.ConnectionError:
            return False

    # --- workers -----------------------------------------------------------------------------------------

    def start_worker(self, place: int, *, clock: int = 0, log: Path | None = None) -> Worker:
        """Start a worker.

        Args:
            place: The index of the worker.
            clock: Seconds by which its clock is wrong.
            log: The file for its output; None: one of its own.
        """
        self.names += 1
        name = f"w{place}-{self.names}"
        log = log or self.folder / "workers" / f"{name}.log"
        command = [*self.command(f"{name}@chaos"), "--without-mingle", "--without-gossip"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *command],
                cwd=self.project,
                env=self.environment(clock),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.workers[place] = Worker(place, name, process, log)
        return self.workers[place]

    def command(self, node: str) -> list[str]:
        """The command that starts a worker with this name."""
        return ["-A", "orchestrator", "worker", "-n", node, "-c", "2", "--loglevel", "info"]

    def environment(self, clock: int = 0) -> dict[str, str]:
        """The environment variables of a worker."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        if clock:
            folder = self.folder / f"clock{clock:+}"
            folder.mkdir(exist_ok=True)
            (folder / "sitecustomize.py").write_text(SHIFTED_CLOCK.format(seconds=clock), "utf-8")
            paths.insert(0, str(folder))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        return {**inherited, "PYTHONPATH": os.pathsep.join(paths), work.EFFECTS: str(self.effects)}

    def running(self) -> list[Worker]:
        """The workers that run."""
        return [worker for worker in self.workers.values() if worker.is_alive]

    def busiest(self) -> Worker | None:
        """A worker that holds tasks, if one does; else one that runs."""
        held = [holder for holder, _ in self.held()]
        running = self.running()
        return max(running, key=lambda w: (held.count(w.node), self.random.random())) if running else None

    def held(self) -> list[tuple[str, tuple[str, Launch]]]:
        """The attempts that workers hold: (worker, (feature, launch)) of each."""
        found = []
        with contextlib.suppress(redis.ConnectionError):
            for feature in self.client.store.features.active():
                for state in self.client.store.tasks.states(feature):
                    if state.status == "in-progress":
                        launch = Launch(state.id, state.attempt, state.specialist)
                        found.append((state.worker, (feature, launch)))
        return found

    def moved(self) -> int:
        """A number that grows while tasks do something: the bytes that they have written."""
        return sum(file.stat().st_size for file in self.effects.iterdir())

    def agents(self) -> list[int]:
        """The processes of agents that are alive; here are none."""
        return []

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all workers inside the block, so that reads of their state are consistent."""
        for worker in self.running():
            worker.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            for worker in self.running():
                worker.signal_all(signal.SIGCONT)

    # --- the supervisor ----------------------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Schedule an action (see `supervise`)."""
        self._later.append((time.monotonic() + seconds, action))

    def supervise(self) -> None:
        """Run the actions that are due, and restart ended workers after a random while, as a deployment would."""
        now = time.monotonic()
        due = [entry for entry in self._later if entry[0] <= now]
        self._later = [entry for entry in self._later if entry[0] > now]
        for _, action in due:
            action()
        self.strain.look(time.time(), {worker.node: worker.process.pid for worker in self.running()})
        for place, worker in self.workers.items():
            if not worker.is_alive and place not in self._returning:
                worker.signal_all(signal.SIGKILL)  # what is left of its pool
                self._returning.add(place)
                self.later(self.random.uniform(0.2, 2.0), partial(self._bring_back, place))

    def _bring_back(self, place: int) -> None:
        self._returning.discard(place)
        self.start_worker(place)

    @property
    def is_whole(self) -> bool:
        """Whether everything runs, and no action is pending."""
        return not self._later and len(self.running()) == self.size


def wait_until(condition: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not hold within PATIENCE seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} did not come about in {PATIENCE:.0f} s")
        meanwhile()
        time.sleep(PAUSE)
