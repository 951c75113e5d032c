"""The user of this machine that a command runs as, where that is not the worker's own (`specialists.NAME.user`).

Only root can start a process as another user and keep nothing of its own rights in it. (A worker with CAP_SETUID alone
would hand that to the command: capabilities(7), ambient capabilities outlive setuid from one plain user to another.)
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

logger = logging.getLogger("orchestrator")


@dataclass(frozen=True)
class Account:
    """A user of this machine.

    Example:
        account = Account.find("reviewer")
        with account.folder_for(context.workdir) as folder:
            subprocess.run(command, cwd=folder, user=account.uid, group=account.gid, extra_groups=account.groups)
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @classmethod
    def find(cls, name: str) -> Self:
        """The user of that name.

        Raises:
            ValueError: There is none, or this process may not start others as that user.
        """
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise ValueError(
                f"there is no user {name} on this machine; add it (useradd --system {name})"
            ) from None
        if os.geteuid() != 0:
            raise ValueError(f"cannot run as {name}, for the worker is not root; see docs/how-to/secure.md")
        return cls(name, entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)), entry.pw_dir)

    @property
    def variables(self) -> dict[str, str]:
        """What its environment says of it."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    def give(self, *paths: Path) -> None:
        """Make it the owner of files and folders that are the worker's; those that hold others last."""
        for path in paths:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    @contextlib.contextmanager
    def folder_for(self, workdir: Path) -> Iterator[Path]:
        """A folder that the user can reach, which those of the worker do not let it. In the end it is the work folder.

        Raises:
            OSError: It cannot be made, or its parent belongs to somebody else.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"{workdir.name}.", dir=_passage()))
        try:
            yield folder
        finally:
            _move(folder, workdir)


def _move(folder: Path, workdir: Path) -> None:
    """Move what the command left. Nothing runs in it any more."""
    try:
        workdir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Where a message came twice, the first attempt's folder is there.
        shutil.move(folder, workdir.with_name(folder.name) if os.path.lexists(workdir) else workdir)
    except (OSError, RecursionError) as error:  # a full disk, or folders nested without end
        logger.warning("What is in %s stays there, for it cannot be moved: %s", folder, type(error).__name__)


def _passage() -> Path:
    """A folder that all can pass and only root can list, in the folder of temporary files."""
    place = Path(tempfile.gettempdir()) / "task-orchestrator-work"
    with contextlib.suppress(FileExistsError):
        place.mkdir()
        place.chmod(0o711)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(1, "somebody else has made it; remove it, or set TMPDIR", str(place / "x"))
    return place
