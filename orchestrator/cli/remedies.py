"""retry, unblock, launch, cancel: what a person does about a feature."""

from __future__ import annotations

from orchestrator.cli import connection, options, output
from orchestrator.models import FeatureStatus


def retry(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    note: options.Note = "",
    as_json: options.AsJson = False,
) -> None:
    """Run a failed task again. What was done before stays done."""
    with connection.client() as client:
        handle = client.feature(feature_id)
        handle.retry(task_id, note)
        _tell(handle.progress().status, feature_id, f"{task_id} runs again.", as_json=as_json)


def unblock(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    note: options.Note = "",
    as_json: options.AsJson = False,
) -> None:
    """Run a blocked task again, because its obstacle is gone."""
    with connection.client() as client:
        handle = client.feature(feature_id)
        handle.unblock(task_id, note)
        _tell(handle.progress().status, feature_id, f"{task_id} runs again.", as_json=as_json)


def launch(feature_id: options.FeatureId, as_json: options.AsJson = False) -> None:
    """Start the next batch of a feature that waits for it (auto_launch: false)."""
    with connection.client() as client:
        handle = client.feature(feature_id)
        handle.launch()
        progress = handle.progress()
        _tell(progress.status, feature_id, f"Batch {progress.batch} is launched.", as_json=as_json)


def cancel(feature_id: options.FeatureId, note: options.Note = "", as_json: options.AsJson = False) -> None:
    """Cancel a feature: nothing more starts, and what runs is ended within seconds."""
    with connection.client() as client:
        handle = client.feature(feature_id)
        handle.cancel(note)
        _tell(handle.progress().status, feature_id, f"{feature_id} is cancelled.", as_json=as_json)


def _tell(status: FeatureStatus, feature_id: str, text: str, *, as_json: bool) -> None:
    if as_json:
        output.write_json({"id": feature_id, "status": status, "message": text})
        return
    output.say(text)
    if not status.is_over:
        output.tell(f"Next: orchestrator watch {feature_id}")
