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
        _, work = folders.of(settings, feature_id)
        self.log: Path = tails.log_file(settings, feature_id, task_id, attempt)
        self.workdir: Path = work / f"{identifiers.file_name(task_id)}.{attempt}"
