"""The folders of features on this machine (logs and work folders): which state they belong to, and their removal.

A folder may hold the logs of several projects, or of one project on several Redises, beside other files. So each folder
that an attempt makes has a mark with the identity of its state, and only folders with the mark are removed. An id from
Redis or from a message is checked before it becomes part of a path. Removal works from inside an open folder
(openat(2)), follows no link, and touches nothing outside the two roots.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import re
import secrets
import stat
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from orchestrator.config import private
from orchestrator.config.private import MARK
from orchestrator.model import errors, identifiers
from orchestrator.state import forks

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.state.store import Store

logger = logging.getLogger("orchestrator.state.folders")
logger.setLevel(logging.INFO)  # a worker logs each removal, also without --loglevel

LONGEST_MARK = 10_000
"""Characters of a mark that are read."""

NAME_PATTERN = r"[A-Za-z0-9_~][A-Za-z0-9_.~\-]*"
"""The names of feature folders (see `identifiers.file_name`)."""

IDENTITY_PATTERN = r"[0-9a-f]{32}"


def of(settings: Settings, feature_id: str) -> tuple[Path, Path]:
    """The folders of a feature on this machine: for logs, and for work.

    Raises:
        InvalidId: It is not an id, and must not become part of a path.
    """
    # As texts, because the hash of a Path takes longer than that of its text.
    return _of(str(settings.log_folder), str(settings.folder), feature_id)


# Cached, because every attempt needs it, and joining the paths takes a sixth of the Python time of an attempt.
@functools.lru_cache(maxsize=256)
def _of(logs: str, folder: str, feature_id: str) -> tuple[Path, Path]:
    check_id(feature_id)
    name = identifiers.file_name(feature_id)
    return Path(logs, name), Path(folder, "work", name)


def check_id(text: str) -> None:
    """Check that a text is an id before it becomes part of a path (where it is encoded).

    Raises:
        InvalidId: It is not an id.
    """
    if not identifiers.is_id(text):
        raise errors.InvalidId(id=text[:100], rule=identifiers.RULE)


def mark(settings: Settings, store: Store, feature_id: str) -> None:
    """Write the identity of this state into the mark of each folder that an attempt of the feature made.

    If a feature of the same id in another state used the folder too, the mark has both identities, and neither state
    removes it.
    """
    for folder in of(settings, feature_id):
        # Most attempts make none. `is_dir` would raise and catch an error for each.
        if os.access(folder, os.F_OK) and _may_mark(settings, folder):
            # If this fails, the next attempt marks it; a folder without the identity stays.
            with contextlib.suppress(OSError, redis.RedisError):
                _write_mark(settings, folder, store)


def _may_mark(settings: Settings, folder: Path) -> bool:
    # A root of our own holds only our folders. In a shared one, an attempt that makes a folder leaves a mark.
    return not _is_shared(settings, folder.parent) or os.path.lexists(folder / MARK)


def _write_mark(settings: Settings, folder: Path, store: Store) -> None:
    identity = owner(store)
    with _opened(settings, folder) as within:
        if identity and identity not in _marks(within):
            number = private.open_file(MARK, os.O_WRONLY | os.O_CREAT | os.O_APPEND, within)
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(f"{identity}\n")


_known: weakref.WeakKeyDictionary[Store, str] = weakref.WeakKeyDictionary()


def owner(store: Store) -> str:
    """The identity that marks the folders of a state; "" if it is not known, because Redis is away.

    A folder gets its mark when it is made, so that it is known also if its attempt is killed.
    """
    if store not in _known:  # read once, because each attempt needs it
        try:
            _known[store] = _identity(store)
        except redis.RedisError:
            return ""
    return _known[store]


def _identity(store: Store) -> str:
    """The name of the state; "" if somebody has overwritten it."""
    found = store.identity
    return found if re.fullmatch(IDENTITY_PATTERN, found) else ""


def removable(settings: Settings, store: Store, feature_id: str) -> list[Path]:
    """The folders of a feature on this machine that have the mark of this state."""
    try:
        named = of(settings, feature_id)
    except errors.InvalidId:  # it comes from Redis
        return []
    identity = _identity(store)
    return [folder for folder in named if _is_ours(settings, folder, identity)]


def orphans(settings: Settings, store: Store, older_than: float, most: int | None = None) -> list[Path]:
    """Folders with the mark of this state whose features are no longer stored, and that are old.

    Args:
        settings: The settings, with the place of the folders.
        store: The store of the features.
        older_than: Seconds since the last attempt in the folder began.
        most: The most folders to return; None: all.
    """
    before, identity = time.time() - older_than, _identity(store)
    found: list[Path] = []
    for folder in _feature_folders(settings):
        if len(found) == most:
            break
        forks.let_one_through()
        is_old = _touched(folder) <= before
        if is_old and _is_ours(settings, folder, identity) and not _is_stored(store, folder.name):
            found.append(folder)
    return found


def _is_stored(store: Store, name: str) -> bool:
    """Whether a feature is stored whose folder has this name."""
    try:
        return store.features.exists(identifiers.decode(name))
    except ValueError:  # the name of a long id is cut; 0 means all
        return any(
            identifiers.file_name(feature_id) == name for feature_id in store.features.newest(newest=0)
        )


def remove(settings: Settings, store: Store, folders: Sequence[Path]) -> None:
    """Remove folders of this state with all their files, and log each.

    A folder that cannot be removed keeps its mark, and the next round tries again.
    """
    with forks.held_off():
        identity = _identity(store)
    for folder in folders:
        try:
            if _remove(settings, folder, identity):
                logger.info("%s is removed: its feature is forgotten", folder)
        except FileNotFoundError:  # another worker of this machine was first
            continue
        except OSError as error:
            logger.warning("%s could not be removed completely: %s", folder, error.strerror or error)


def _remove(settings: Settings, folder: Path, identity: str) -> bool:
    with _root(settings, folder.parent) as root:
        with private.opened(folder.name, root) as within:
            if not _has_mark(within, identity):
                return False
            _refuse_what_is_mounted(folder.name, within, root)
            is_same = os.path.samestat(os.fstat(within), os.lstat(folder.name, dir_fd=root))
            _empty(within)
            os.unlink(MARK, dir_fd=within)
        if is_same:
            os.rmdir(folder.name, dir_fd=root)
    return True


def _feature_folders(settings: Settings) -> Iterator[Path]:
    for parent in _roots(settings):
        with contextlib.suppress(OSError), _root(settings, parent) as root:
            for name in sorted(_names(root)):
                if re.fullmatch(NAME_PATTERN, name):
                    yield parent / name


def _roots(settings: Settings) -> tuple[Path, Path]:
    return settings.log_folder, settings.folder / "work"


@contextlib.contextmanager
def _root(settings: Settings, root: Path) -> Iterator[int]:
    """Open the parent of the feature folders. Only that of `logs` may be a link, or belong to another user."""
    is_shared = _is_shared(settings, root)
    with private.opened(root, follow=is_shared, any_owner=is_shared) as number:
        yield number


@contextlib.contextmanager
def _opened(settings: Settings, folder: Path) -> Iterator[int]:
    with _root(settings, folder.parent) as root, private.opened(folder.name, root) as number:
        yield number


def _is_shared(settings: Settings, root: Path) -> bool:
    return settings.logs is not None and root == settings.logs


def _is_ours(settings: Settings, folder: Path, identity: str) -> bool:
    try:
        with _opened(settings, folder) as within:
            return _has_mark(within, identity)
    except OSError:
        return False


def _has_mark(within: int, identity: str) -> bool:
    return bool(identity) and _marks(within) == [identity]


def _marks(within: int) -> list[str]:
    """The identities in the mark of an open folder."""
    try:
        with os.fdopen(private.open_to_read(MARK, within), encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_MARK).split()
    except FileNotFoundError:
        return []


def _touched(folder: Path) -> float:
    try:
        return folder.lstat().st_mtime  # each attempt makes an entry in it
    except OSError:  # another worker of this machine was first
        return float("inf")


def _empty(top: int) -> None:
    """Remove everything in an open folder except its mark.

    The content of a folder inside is moved up first, so that no tree is too deep. Mounted file systems stay.

    Raises:
        OSError: Something could not be removed.
    """
    stuck: dict[str, OSError] = {}
    while names := [name for name in _names(top) if name != MARK and name not in stuck]:
        for name in names:
            try:
                _take_out(name, top)
            except FileNotFoundError:  # another worker of this machine was first
                continue
            except OSError as error:
                stuck[name] = error
    if stuck:
        raise next(iter(stuck.values()))


def _take_out(name: str, top: int) -> None:
    if not _is_folder(name, top):
        os.unlink(name, dir_fd=top)
        return
    with _opened_to_change(name, top) as inside:
        for inner in _names(inside):
            if _is_folder(inner, inside):
                with _opened_to_change(inner, inside):  # its own mode may not allow to move it
                    pass
                os.rename(inner, f".old-{secrets.token_hex(8)}", src_dir_fd=inside, dst_dir_fd=top)
            else:
                os.unlink(inner, dir_fd=inside)
    os.rmdir(name, dir_fd=top)


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _is_folder(name: str, within: int) -> bool:
    return stat.S_ISDIR(os.lstat(name, dir_fd=within).st_mode)


@contextlib.contextmanager
def _opened_to_change(name: str, within: int) -> Iterator[int]:
    """Open a folder to empty it, even if a tool made it read-only, such as a module cache."""
    with private.opened(name, within, any_owner=True) as number:
        _refuse_what_is_mounted(name, number, within)
        with contextlib.suppress(PermissionError):
            os.fchmod(number, private.FOLDER_MODE)
        yield number


def _refuse_what_is_mounted(name: str, folder: int, within: int) -> None:
    if _mount_of(folder) != _mount_of(within):
        raise OSError(errno.EXDEV, f"another file system is mounted at {name}")


def _mount_of(folder: int) -> str:
    """The mount of an open folder. The device is not enough: a bind mount has that of its origin."""
    with contextlib.suppress(OSError):  # there is no /proc, as on macOS
        found = re.search(r"^mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{folder}").read_text("ascii"), re.M)
        if found:
            return found[1]
    return f"device {os.fstat(folder).st_dev}"
