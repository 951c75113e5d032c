"""Every event, with what it means and the groups that notifications know it by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.model.event import Event
from orchestrator.model.event_names import RECORDED, groups
from orchestrator.model.flows import FeatureEvent, TaskEvent
from reference.markdown import code, head, table

ABOUT = """\
A feature keeps a stream of events: `orchestrator events ID` prints it, `Handle.events()` and
`Handle.follow()` read it, and [notifications](../how-to/notify.md) can tell somebody. About `limits.events`
of them are kept for each feature.

A name in **group** stands for several events in `notifications.events`; `*` stands for all. An event that
leads to `in-review` or `pending-review` is in `needs-person` too; an event that ends a feature is in
`milestones` too."""

MEANING: Mapping[str, str] = {
    "work_started": "A worker begins an attempt.",
    "implementation_complete": "The work is done; gates or a review may follow.",
    "gates_started": "A worker begins the gates of a task.",
    "tests_passed": "The gates in testing passed.",
    "tests_failed": "A gate did not pass.",
    "review_approved": "A person approved a task.",
    "changes_requested": "A person sent a task back.",
    "work_failed": "An attempt failed, and no retry is left.",
    "retry_scheduled": "An attempt failed; another one follows after a wait.",
    "retry_requested": "A person has a failed task run again.",
    "worker_lost": "The lease of an attempt ended without a word from its worker; the task starts elsewhere.",
    "work_handed_back": "A worker that ends gave an attempt back; the task starts elsewhere.",
    "blocker_detected": "A task cannot go on.",
    "blocker_resolved": "A person unblocked a task.",
    "task_escalated": "The next tier of its agent gets a task (the note names it), or a blocked one goes to the "
    "specialist of `error_handling.escalate_technical_to`.",
    "task_held": "A person put a task on hold.",
    "task_resumed": "A person took a held or deferred task up again.",
    "task_deferred": "A person put a task off.",
    "task_skipped": "A person does without a task; its dependents may run.",
    "task_cancelled": "A person cancelled a task.",
    "first_task_started": "The first task of a feature started.",
    "task_stopped": "A task failed or is blocked, so its feature is blocked.",
    "person_awaited": "Nothing can run until a person acts.",
    "all_resolved": "Nothing that stopped is left; the feature goes on.",
    "all_tasks_complete": "All tasks are completed or skipped.",
    "feature_tests_passed": "The feature's gates in testing passed.",
    "feature_validated": "The feature's gates before completion passed.",
    "feature_grew": "Tasks were added when all others were done; the feature is back in development.",
    "feature_approved": "A person approved a feature.",
    "feature_paused": "A person paused a feature.",
    "feature_resumed": "A person had a paused feature go on.",
    "feature_cancelled": "A person cancelled a feature.",
    "feature_failed": "A person gave a feature up.",
    "feature_enqueued": "A feature was stored.",
    "batch_opened": "The tasks of a batch may start.",
    "task_launched": "A task has a slot, and its message is sent.",
    "at_capacity": "Tasks are ready, and all slots of the feature are taken.",
    "specialist_awaited": "No specialist matches a task, and a person is asked for one.",
    "specialist_assigned": "A person gave a task to a specialist.",
    "batch_overdue": "A batch takes longer than its estimates allow.",
    "progress": "A specialist reports how far it is.",
    "message_lost": "A task that was launched did not start, and its message is sent again.",
    "attempt_ended": "An attempt that was taken from its worker has ended, and gives back what it held.",
    "launch_requested": "A person launched the next batch.",
    "cap_changed": "A person changed `max_parallel_tasks`.",
    "budget_changed": "A person changed the budget of the feature, or of a task.",
    "budget_warned": "80 % of the budget of a task or of the feature is used.",
    "budget_reached": "The budget of a task or of the feature is used up.",
    "dependencies_changed": "A person had a task wait for others.",
    "tasks_added": "A person added tasks.",
}


def page() -> str:
    """docs/reference/events.md."""
    lines = head("Events", ABOUT)
    kinds = (("Of tasks", TaskEvent), ("Of features", FeatureEvent), ("That move no status", RECORDED))
    for title, names in kinds:
        lines += ["", f"## {title}"]
        rows = [[code(name), MEANING[name], ", ".join(_groups(name))] for name in names]
        lines += table(["event", "meaning", "group"], rows)
    return "\n".join(lines) + "\n"


def _groups(name: str) -> Iterator[str]:
    return (code(group) for group in groups(Event(id="0-1", time=0, event=name)))
