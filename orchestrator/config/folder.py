"""Finds the folder of a project's configuration, and checks who may write in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orchestrator.model import errors

FOLDER = ".taskorchestrator"


FILE = "config.yaml"


ENV_PREFIX = "TASKORCHESTRATOR_"


OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def find_folder(start: Path | None = None) -> Path:
    """The nearest `.taskorchestrator` folder of this user, from `start` (else the working folder) upwards."""
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise errors.NoWorkingFolder from None
    found = (place / FOLDER for place in [here, *here.parents] if _is_own_folder(place / FOLDER))
    return next(found, here / FOLDER)


def _is_own_folder(folder: Path) -> bool:
    """It is there, and ours: a folder that another user put above ours does not say what our workers run."""
    try:
        # Of a link: its owner too, for another user's could lead to any folder of ours.
        return folder.is_dir() and {folder.stat().st_uid, folder.lstat().st_uid} == {os.geteuid()}
    except OSError:
        return False


def check_private(folder: Path) -> None:
    """Refuse a folder, or a configuration file in it, that others can write: they would say what our workers run.

    Raises:
        OpenToOthers: They can.
    """
    for path in (folder, folder / FILE):
        try:
            mode = path.stat().st_mode
        except OSError:  # it is not there
            continue
        if mode & OTHERS_WRITE:
            raise errors.OpenToOthers(path=path, mode=stat.filemode(mode), folder=folder)


def find_file(start: Path | None = None) -> Path | None:
    """The configuration file in force, if there is one: $TASKORCHESTRATOR_CONFIG, else the folder's."""
    named = os.environ.get(f"{ENV_PREFIX}CONFIG")
    if named:
        return Path(named)
    file = find_folder(start) / FILE
    return file if file.is_file() else None
