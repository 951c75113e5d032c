"""The files of one attempt on this machine."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config.settings import Settings
from orchestrator.model import identifiers
from orchestrator.state import folders, tails


class AttemptFiles:
    """The paths of an attempt's log and of its work folder. Nothing is created.

    Args:
        settings: The settings, which say where logs and work folders lie.
        feature_id: The feature.
        task_id: The task.
        attempt: The number of the attempt; in a canvas, the id of its message.
    """

    def __init__(self, settings: Settings, feature_id: str, task_id: str, attempt: int | str) -> None:
        self._id = feature_id, task_id, attempt
        self._settings = settings

    @property
    def log(self) -> Path:
        """The log.

        Raises:
            InvalidId: As of `tails.log_file`.
        """
        return tails.log_file(self._settings, *self._id)

    @property
    def workdir(self) -> Path:
        """The work folder.

        Raises:
            InvalidId: As of `folders.of`.
        """
        feature_id, task_id, attempt = self._id
        _, work = folders.of(self._settings, feature_id)
        return work / f"{identifiers.file_name(task_id)}.{attempt}"
