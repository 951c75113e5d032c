"""A private redis-server for one folder: its first user starts it, its last user shuts it down.

Its files lie in `<folder>/redis`, which only their owner can open. The processes that use the server coordinate with
four of them; the kernel releases a lock when its holder ends, even by SIGKILL:

    start.lock    held by the process that starts or stops the server: one at a time
    server.lock   held by the server itself, from before its first instruction: one writer of the data
    users.lock    shared by every process that uses the server: the process that gets it alone was the last
    redis.sock    the unix socket, or a link to it if its path would be too long
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import os
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.config import private
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.state import file_locks, redis_binary

PATIENCE = 30.0
"""Seconds for a server to answer, or to end. A server that loads its data may take longer."""

LONGEST_SOCKET = 100
"""Bytes. The path of a unix socket may have 108 on Linux and 104 on macOS (`sun_path`, unix(7))."""

PAUSE = 0.02
"""Seconds between two pings of a server that starts, or two tries to lock one that stops."""

WITHHELD = ("MODULE", "CONFIG", "REPLICAOF", "SLAVEOF", "MIGRATE")
"""Commands that a private server does not have: they load code, or reach other files and machines.

Its data may come from somebody else's repository, and an append-only file is a list of commands.
"""

_servers: dict[Path, Server] = {}


def connect(settings: Settings) -> str:
    """Use the server of the settings' folder; start it if it does not run.

    This process uses it until `release`, or until its own end. A second call is cheap, and restarts a server that was
    killed.

    Returns:
        The URL of a server that answers.

    Raises:
        NoRedisServer: There is no redis-server to run.
        RedisDidNotStart: It ended, or did not answer.

    Example:
        client = redis.Redis.from_url(embedded.connect(settings))
    """
    server = Server(settings.folder, settings.redis_server)
    return _servers.setdefault(server.folder, server).use()


def running(settings: Settings) -> str | None:
    """The URL of the server of the settings' folder, if one runs. It starts no server and makes no folder."""
    return Server(settings.folder).running()


def release(settings: Settings) -> None:
    """Stop using the server; its last user shuts it down. Harmless if this process does not use it."""
    server = _servers.pop(settings.folder.resolve(), None)
    if server:
        server.release()


@dataclass
class Server:
    """The redis-server of one folder. `with` uses it, and releases it at the end.

    Args:
        folder: Its data, its log and its socket go into the folder `redis` in it.
        binary: Path or name of the redis-server; None looks for one (see `redis_binary.find`).

    Example:
        with Server(Path(".taskorchestrator")) as server:
            redis.Redis.from_url(server.url).ping()
    """

    folder: Path
    binary: str | None = None
    _users: IO[bytes] | None = field(default=None, init=False)
    _user: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()

    def __enter__(self) -> Self:
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def home(self) -> Path:
        """The folder of the server's files."""
        return self.folder / "redis"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "redis.log"

    @property
    def socket(self) -> Path:
        """The socket on which the server listens."""
        path = self.home / "redis.sock"
        if _fits(path):
            return path
        with contextlib.suppress(OSError):
            target = path.readlink()
            # A link with another name was copied with the folder, and leads to the server of the original.
            if target.parent.name.startswith(self._short_name) and _is_own_folder(target.parent):
                return target
        return path

    @property
    def url(self) -> str:
        """The server's URL, whether it runs or not."""
        return f"unix://{quote(str(self.socket))}"

    def use(self) -> str:
        """Use the server; start it if it does not run. Returns its URL; raises as `connect`."""
        _make_private(self.home, self)
        with file_locks.locked(self.home / "start.lock"):
            self._become_user()
            try:
                self._start_if_needed()
            except BaseException:
                self._leave()
                raise
            return self.url

    def running(self) -> str | None:
        """The server's URL, if it runs."""
        return self.url if self._answer() else None

    def release(self) -> None:
        """Stop using the server; its last user shuts it down and waits until it has ended."""
        if self._users is None or self._user != os.getpid():  # a forked child leaves when it ends
            return
        self._leave()
        try:
            with file_locks.locked(self.home / "start.lock"):
                if self._nobody_uses_it():
                    self._shut_down()
        except FileNotFoundError:  # the folder was removed under the server, and its socket with it
            if self._process:
                self._process.terminate()
                self._process.wait(PATIENCE)

    def _become_user(self) -> None:
        if self._users and self._user == os.getpid():
            return
        # A forked child takes a lock of its own: it shares the inherited one with its parent.
        users = file_locks.open_file(self.home / "users.lock")
        fcntl.flock(users, fcntl.LOCK_SH)
        if self._users:
            self._users.close()
            self._process = None
        self._users, self._user = users, os.getpid()
        atexit.register(self.release)

    def _leave(self) -> None:
        # Closed, not unlocked: children that inherited the file still hold the lock.
        if self._users:
            self._users.close()
        self._users = None
        atexit.unregister(self.release)

    def _nobody_uses_it(self) -> bool:
        # With a second open file, because the lock of the first does not conflict with children that share it.
        with file_locks.open_file(self.home / "users.lock") as users:
            return file_locks.try_lock(users)

    def _start_if_needed(self) -> None:
        process: subprocess.Popen[bytes] | None = None
        log_start = 0
        deadline = time.monotonic() + PATIENCE
        while (answer := self._answer()) != "ready":
            if process and process.poll() is not None:
                raise self._did_not_start(self._last_words(log_start) or f"exit code {process.returncode}")
            if answer == "loading":
                deadline = time.monotonic() + PATIENCE
            elif time.monotonic() > deadline:
                if process:
                    process.kill()
                    process.wait()
                raise self._did_not_start(f"it gave no answer for {PATIENCE:.0f} s")
            if not process:
                log_start = self.log.stat().st_size if self.log.exists() else 0
                process = self._spawn()
            time.sleep(PAUSE)

    def _is_dead(self) -> bool:
        with file_locks.open_file(self.home / "server.lock") as lock:
            return file_locks.try_lock(lock)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with file_locks.open_file(self.home / "server.lock") as lock, file_locks.open_file(self.log) as log:
            if not file_locks.try_lock(lock):
                # Its holder is a server whose starter was killed before it answered, or the last child of a killed
                # server, which still writes a file. The first will answer, the second will end.
                return None
            self.binary = redis_binary.find(self.binary)
            self._refuse_to_follow_links()
            self._refuse_to_start_empty()
            if self._process:
                self._process.wait()  # it has ended, because its lock is free
            # A session of its own: Ctrl-C on its starter must not end it under its other users.
            self._process = subprocess.Popen(
                [self.binary, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                pass_fds=[lock.fileno()],
                umask=0o077,
                start_new_session=True,
            )
            return self._process

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._prepare_socket()),
            "unixsocketperm": "600",
            "dir": str(self.home),
            "pidfile": str(self.home / "redis.pid"),
            "logfile": str(self.log),
            "daemonize": "no",
            # Redis holds work to be done, and may evict none of it.
            "maxmemory-policy": "noeviction",
            # A log of every write, flushed to the disk once a second. A killed server or worker loses nothing; a
            # power cut loses a second, which `always` would save with a flush for each write
            # (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/).
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # Its clock, on which blocking reads end that found nothing: ten times a second costs as much as a worker.
            "hz": "5",
            # A larger one is a skip list: the slots of a feature change with each task, and a list is read from its
            # beginning each time. (The old name, which newer servers know too.)
            "zset-max-ziplist-entries": "32",
        }
        known = [word for name, value in options.items() for word in (f"--{name}", value)]
        return known + [word for name in WITHHELD for word in ("--rename-command", name, "")]

    @property
    def _short_name(self) -> str:
        return "taskorchestrator-" + hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]

    def _make_short_socket(self) -> Path:
        """A path for the socket that no other user can predict or take."""
        run = os.environ.get("XDG_RUNTIME_DIR")
        own = [run] if run and _is_own_folder(Path(run)) else []
        for place in (*own, tempfile.gettempdir(), "/tmp"):
            if _fits(Path(place) / f"{self._short_name}-12345678" / "redis.sock") and Path(place).is_dir():
                return Path(tempfile.mkdtemp(prefix=f"{self._short_name}-", dir=place)) / "redis.sock"
        raise self._did_not_start(f"no folder for temporary files is short enough for a socket ({place})")

    def _prepare_socket(self) -> Path:
        path, before = self.home / "redis.sock", self.socket
        if before != path:
            before.unlink(missing_ok=True)
        path.unlink(missing_ok=True)  # left by a server that was killed
        if _fits(path):
            return path
        target = before if before != path else self._make_short_socket()
        # The link shows the other processes where the socket is.
        path.symlink_to(target)
        return target

    def _refuse_to_follow_links(self) -> None:
        # Redis would follow a link and write to its target.
        found = [path for path in self.home.rglob("*") if path.is_symlink()]
        if strange := [path for path in found if path != self.home / "redis.sock"]:
            raise self._did_not_start(f"{strange[0]} is a link, which none of its files is; remove it")

    def _refuse_to_start_empty(self) -> None:
        # Redis 7 keeps its append-only files in a folder. An older one does not read it, and would start empty.
        if (self.home / "appendonlydir").is_dir() and redis_binary.version_of(self.binary or "") < (7,):
            raise self._did_not_start(
                "the data here were written by Redis 7 or newer, which it cannot read; "
                "set redis.redis_server to a newer one"
            )

    def _answer(self) -> Literal["ready", "loading"] | None:
        if self.socket.is_symlink():  # not ours: `socket` has followed a link of ours
            return None
        client = self._client(timeout=5.0)
        try:
            client.ping()
        except redis.BusyLoadingError:
            return "loading"
        except (redis.ConnectionError, redis.TimeoutError):
            return None
        except redis.ResponseError:  # such as BUSY
            return "ready"
        finally:
            client.close()
        return "ready"

    def _shut_down(self) -> None:
        with contextlib.suppress(redis.RedisError):
            self._client(PATIENCE).shutdown()
        deadline = time.monotonic() + PATIENCE
        while not self._is_dead():
            if time.monotonic() > deadline:  # it refuses, as with a full disk; the next user finds it running
                return
            time.sleep(PAUSE)
        if self._process:
            self._process.wait()
            self._process = None
        if self.socket.parent != self.home:
            with contextlib.suppress(OSError):  # it has files that are not ours
                self.socket.parent.rmdir()

    def _client(self, timeout: float) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )

    def _last_words(self, start: int) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode("utf-8", "replace").splitlines()
            return "\n  ".join(["", *[line.strip() for line in lines if line.strip()][-5:]]) if lines else ""
        return ""

    def _did_not_start(self, cause: str) -> errors.RedisDidNotStart:
        return errors.RedisDidNotStart(
            binary=self.binary or "redis-server", cause=cause, log=self.log, folder=self.home
        )


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET


def _make_private(folder: Path, server: Server) -> None:
    private.make_folder(folder)
    if not _is_own_folder(folder):
        raise server._did_not_start(f"{folder} is not a folder of the user who runs it")
    folder.chmod(private.FOLDER_MODE)


def _is_own_folder(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
