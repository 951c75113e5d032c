"""Files and folders of this user alone: made with their mode whatever the umask, and no link of others is followed.

A folder of logs may be shared with other users. So what is in it is opened by its name inside of a folder that is open
already (openat(2)): what another user lays there, before or meanwhile, is refused and leads nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600

MARK = ".task-orchestrator"
"""The file in a feature's folder that says which state it belongs to (see folders.py)."""

IS_LINK = "it is a link, or no folder"
IS_STRANGE = "it is a link, or no ordinary file"
IS_OTHERS = "it belongs to another user"


class NotOurs(PermissionError):
    """Somebody has laid something in the place of a file or folder of ours. `filename` is its path."""

    def __init__(self, cause: str, path: Path | str) -> None:
        super().__init__(errno.EPERM, cause, str(path))


def make_folder(folder: Path) -> bool:
    """Make a folder, and those above it that are missing, open to their user alone. False if it is there.

    Raises:
        OSError: It cannot be made.

    Example:
        make_folder(settings.folder / "work")
    """
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileNotFoundError:
        make_folder(folder.parent)
        return make_folder(folder)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return False
    return True


def make_marked_folder(folder: Path, owner: str = "") -> None:
    """Make a folder with a mark: one that is there already was made by somebody else, and gets none.

    Args:
        folder: The folder of a feature.
        owner: The identity of the state that it belongs to; "": it is not known yet.

    Raises:
        OSError: It cannot be made.
    """
    if make_folder(folder):
        mark = open_file(folder / MARK, os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError), os.fdopen(mark, "w", encoding="ascii") as file:  # a full disk
            file.write(f"{owner}\n" if owner else "")


@contextlib.contextmanager
def opened(
    folder: Path | str, within: int | None = None, *, follow: bool = False, any_owner: bool = False
) -> Iterator[int]:
    """Open a folder, for what is to be done in it.

    Args:
        folder: Its path, or its name in the folder that is open as `within`.
        within: That one's number.
        follow: It may be a link.
        any_owner: It may belong to another user.

    Raises:
        NotOurs: It is a link, no folder, or belongs to another user.
        OSError: It cannot be opened.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | (0 if follow else os.O_NOFOLLOW)
    try:
        number = os.open(folder, flags, dir_fd=within)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotOurs(IS_LINK, folder) from None
        raise
    try:
        if not any_owner and os.fstat(number).st_uid != os.geteuid():
            raise NotOurs(IS_OTHERS, folder)
        yield number
    finally:
        os.close(number)


def open_file(file: Path | str, flags: int, within: int | None = None) -> int:
    """Open a file that is to be written, and see to it that only its user may read it; its number.

    Args:
        file: Its path. Of that only the name counts where its folder is open as `within`.
        flags: Those of os.open; with O_CREAT it is made if it is not there.
        within: The number of an open folder.

    Raises:
        NotOurs: It is a link, no ordinary file, or belongs to another user.
        OSError: It cannot be opened.
    """
    number = _open_ordinary(file, flags, within)
    try:
        if os.fstat(number).st_uid != os.geteuid():
            raise NotOurs(IS_OTHERS, file)
        os.fchmod(number, FILE_MODE)  # it may be there already, open to others
    except BaseException:
        os.close(number)
        raise
    return number


def open_to_read(file: Path | str, within: int | None = None) -> int:
    """Open a file to be read, of any owner; its number.

    Raises:
        NotOurs: It is a link, or no ordinary file.
        OSError: It cannot be opened.
    """
    return _open_ordinary(file, os.O_RDONLY, within)


def _open_ordinary(file: Path | str, flags: int, within: int | None) -> int:
    try:
        # O_NONBLOCK: a pipe would wait for somebody at its other end. To ordinary files it says nothing.
        name = file if within is None else os.path.basename(file)  # noqa: PTH119 (a text or a path)
        number = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, FILE_MODE, dir_fd=within)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotOurs(IS_STRANGE, file) from None
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise NotOurs(IS_STRANGE, file)
    return number
