"""A master, a replica and three sentinels on this machine, with passwords, as a small production has them."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from tests.redis_server import find_binaries
from tests.redis_tcp import free_port

SERVICE = "mymaster"
SERVER_PASSWORD, SENTINEL_PASSWORD = "sentinel-server-4Wy", "sentinel-sentinel-5Xz"
PATIENCE = 60.0


@dataclass
class Cluster:
    """The servers; `ports` of the two Redis and of the three sentinels, by name."""

    folder: Path
    binary: str
    down_after: float = 1.0
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def sentinels(self) -> list[str]:
        """Their names."""
        return [f"sentinel-{number}" for number in range(3)]

    def url(self, db: int = 0, **options: str) -> str:
        """As the settings take it."""
        hosts = ",".join(f"127.0.0.1:{self.ports[name]}" for name in self.sentinels)
        query = "&".join(f"{name}={value}" for name, value in options.items())
        asked = f"?sentinel_password={SENTINEL_PASSWORD}" + (f"&{query}" if query else "")
        return f"sentinel://:{SERVER_PASSWORD}@{hosts}/{SERVICE}/{db}{asked}"

    def start(self) -> None:
        """Start all of it, and wait until the sentinels know the replica and each other."""
        self.ports = {name: free_port() for name in ("one", "two", *self.sentinels)}
        self.start_server("one", None)
        self.start_server("two", "one")
        for name in self.sentinels:
            self._run(
                name,
                [
                    f"sentinel monitor {SERVICE} 127.0.0.1 {self.ports['one']} 2",
                    f"sentinel auth-pass {SERVICE} {SERVER_PASSWORD}",
                    f"sentinel down-after-milliseconds {SERVICE} {round(self.down_after * 1000)}",
                    f"sentinel failover-timeout {SERVICE} 5000",
                    f"requirepass {SENTINEL_PASSWORD}",
                    f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
                ],
                "--sentinel",
            )
        self.wait_until_settled()

    def start_server(self, name: str, master: str | None) -> None:
        """Start one Redis; if `master` is given, as its replica."""
        lines = [
            f"requirepass {SERVER_PASSWORD}",
            f"masterauth {SERVER_PASSWORD}",
            "appendonly yes",
            "maxmemory-policy noeviction",
            "repl-diskless-sync-delay 0",
            *([f"replicaof 127.0.0.1 {self.ports[master]}"] if master else []),
        ]
        self._run(name, lines)

    def _run(self, name: str, lines: list[str], *mode: str) -> None:
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        file = home / "server.conf"
        if not file.exists() or not mode:
            common = ["bind 127.0.0.1", f"port {self.ports[name]}", f"dir {home}"]
            file.write_text("\n".join([*common, *lines]) + "\n", "utf-8")
        with (home / "server.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([self.binary, str(file), *mode], stdout=log, stderr=log)

    def asked(self) -> Sentinel:
        """redis-py's own view of the sentinels."""
        return Sentinel(  # type: ignore[no-untyped-call]
            [("127.0.0.1", self.ports[name]) for name in self.sentinels],
            sentinel_kwargs={"password": SENTINEL_PASSWORD, "socket_timeout": 2.0},
        )

    def master(self) -> str | None:
        """The name of the master that a sentinel knows."""
        with contextlib.suppress(redis.RedisError, MasterNotFoundError):
            _, port = self.asked().discover_master(SERVICE)  # type: ignore[no-untyped-call]
            return next((name for name, known in self.ports.items() if known == port), None)
        return None

    def client(self, name: str) -> redis.Redis:
        """A client of one server, past the sentinels."""
        password = SENTINEL_PASSWORD if name in self.sentinels else SERVER_PASSWORD
        return redis.Redis(port=self.ports[name], password=password, decode_responses=True)

    def wait_until_settled(self) -> None:
        """Wait until `is_settled`."""
        self._wait(self.is_settled, "sentinels do not settle")

    def is_settled(self) -> bool:
        """Each sentinel knows the two others and the replica, and the replica is in step."""
        return all(self._knows_all(name) for name in self.sentinels)

    def _knows_all(self, name: str) -> bool:
        try:
            with self.client(name) as client:
                state = client.sentinel_master(SERVICE)
            with self.client(self.master() or "one") as client:
                replicas = client.info("replication")
        except redis.RedisError:
            return False
        in_step = "slave0" in replicas and replicas["slave0"]["state"] == "online"
        return int(state["num-slaves"]) == 1 and int(state["num-other-sentinels"]) == 2 and in_step

    def wait_for_master(self, name: str) -> None:
        """Wait until the sentinels have made it the master."""
        self._wait(lambda: self.master() == name and self._takes_writes(name), f"{name} does not take over")

    def _takes_writes(self, name: str) -> bool:
        with contextlib.suppress(redis.RedisError), self.client(name) as client:
            return bool(client.info("replication")["role"] == "master")
        return False

    def _wait(self, condition: object, text: str) -> None:
        assert callable(condition)
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    def in_step(self) -> bool:
        """The replica has all that the master wrote."""
        with self.client("one") as one, self.client("two") as two:
            ours, theirs = one.info("replication"), two.info("replication")
        return bool(ours["master_repl_offset"] == theirs["slave_repl_offset"])

    def cut_off(self, name: str) -> None:
        """Let a replica get nothing any more, though the sentinels still reach it."""
        with self.client(name) as client:
            client.config_set("masterauth", "another")
        with self.client("one") as master:
            master.execute_command("CLIENT", "KILL", "TYPE", "replica")
            self._wait(lambda: master.info("replication")["connected_slaves"] == 0, "the replica stays")

    def kill(self, name: str) -> None:
        """Kill one process."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        """End all of it."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


@contextlib.contextmanager
def watched(folder: Path, **options: float) -> Iterator[Cluster]:
    """Servers and sentinels inside the block."""
    cluster = Cluster(folder, find_binaries()[0], **options)  # type: ignore[arg-type]
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
