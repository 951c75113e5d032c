"""Runs a command as another user of this machine (`specialists.NAME.user`).

The worker has to be root. A worker that has only CAP_SETUID would pass that right on to the command: ambient
capabilities survive setuid from one ordinary user to another (capabilities(7)).
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
        """Look up a user by name.

        Raises:
            ValueError: There is no such user, or this process may not start others as that user.
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
        """The environment variables that name the user."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    def take_ownership(self, *paths: Path) -> None:
        """Make the user the owner of the worker's files and folders. List a folder after what it contains."""
        for path in paths:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    @contextlib.contextmanager
    def folder_for(self, workdir: Path) -> Iterator[Path]:
        """Make a folder that the user can reach (unlike the worker's own), and move it to `workdir` afterwards.

        Raises:
            OSError: The folder cannot be made, or its parent belongs to another user.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"{workdir.name}.", dir=_base_folder()))
        try:
            yield folder
        finally:
            _move(folder, workdir)


def _move(folder: Path, workdir: Path) -> None:
    """Move the folder that the command left. No process runs in it any more."""
    try:
        workdir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # If a message was delivered twice, the folder of its first delivery is there.
        shutil.move(folder, workdir.with_name(folder.name) if os.path.lexists(workdir) else workdir)
    except (OSError, RecursionError) as error:  # a full disk, or folders nested without end
        logger.warning(
            "The files in %s stay there, because they cannot be moved: %s", folder, type(error).__name__
        )


def _base_folder() -> Path:
    """The parent of these folders, in the folder for temporary files: all users can enter it, only root can list it."""
    base = Path(tempfile.gettempdir()) / "task-orchestrator-work"
    with contextlib.suppress(FileExistsError):
        base.mkdir()
        base.chmod(0o711)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(1, "somebody else has made it; remove it, or set TMPDIR", str(base / "x"))
    return base
