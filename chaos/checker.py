"""Judges a run: which laws it broke. Pure: it reads a history, and knows neither Redis nor a clock.

A law is a function that yields its violations, which have its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain

from chaos.history import EVERYONE, Effect, History, Story
from orchestrator.model import lifecycle
from orchestrator.model.event import Event
from orchestrator.model.feature import OVER, FeatureStatus, Strategy
from orchestrator.model.fields import Model
from orchestrator.model.flows import WORKING, FeatureEvent, FeatureFlow, Flow, TaskEvent
from orchestrator.model.task import TaskStatus

STARTS = (TaskEvent.WORK_STARTED, TaskEvent.GATES_STARTED)

TAKEN_BACK = ("worker-lost", "worker-ends")
"""The causes of an end that the attempt itself did not choose: its worker was silent for too long, or shut down."""

KILLS = ("kill-child", "kill-worker", "kill-main-process", "kill-all-workers")
"""Faults after which no process of the worker can run on."""

MOMENT = 0.05
"""Seconds between the moment that a process reads from a clock and its writing of that moment."""

ENDED = "attempt_ended"
"""The event of the end of an attempt that a person has revoked."""

TICK = 0.005
"""Seconds by which two equal moments may differ."""

NOTICED = 1.0
"""Seconds from the end of a lease until the next sweep, as a rule."""

SLACK = 30.0
"""Seconds by which a sweep may be late on a machine under load."""


class Violation(Model):
    """A law that was broken, and where."""

    law: str
    feature: str
    task: str = ""
    what: str

    def __str__(self) -> str:
        return f"{self.law}: {self.feature} {self.task}: {self.what}"


StoryLaw = Callable[[Story], Iterator[tuple[str, str]]]
HistoryLaw = Callable[[History], Iterator[tuple[str, str, str]]]


def check(history: History) -> list[Violation]:
    """Every violation in a history. A good run has none."""
    found = [
        Violation(law=law.__name__, feature=story.id, task=task, what=what)
        for story in history.stories
        for law in STORY_LAWS
        for task, what in law(story)
    ]
    return found + [
        Violation(law=law.__name__, feature=feature, task=task, what=what)
        for law in HISTORY_LAWS
        for feature, task, what in law(history)
    ]


# --- laws of one feature: they yield a task and its mistake --------------------------------------------------


def dependencies_come_first(story: Story) -> Iterator[tuple[str, str]]:
    """A task is launched only after all its dependencies are resolved."""
    depends_on = {task.id: task.depends_on for task in story.feature.tasks}
    for event, resolved in _with_resolved(story):
        if event.event == "task_launched":
            for dependency in depends_on.get(event.task, ()):
                if dependency not in resolved:
                    yield event.task, f"was launched at {event.id}, before {dependency} was resolved"


def batches_wait(story: Story) -> Iterator[tuple[str, str]]:
    """A batch starts only after the one before it is resolved; dataflow has no such barrier."""
    if story.strategy is Strategy.DATAFLOW:
        return
    batch_of = {task: number for number, batch in enumerate(story.batches) for task in batch}
    for event, resolved in _with_resolved(story):
        if event.event == "task_launched" and event.task in batch_of:
            before = chain.from_iterable(story.batches[: batch_of[event.task]])
            unresolved = [task for task in before if task not in resolved]
            if unresolved:
                yield event.task, f"was launched at {event.id}, with {unresolved[0]} of a batch before open"


def cap_holds(story: Story) -> Iterator[tuple[str, str]]:
    """No more tasks are in flight than the cap allows."""
    cap, slots = story.cap, Slots()
    for event in story.events:
        if event.event == "cap_changed":
            cap = int(event.note)
        slots.follow(story, event)
        if event.event == "task_launched" and len(slots) > cap:
            yield event.task, f"was launched at {event.id} as number {len(slots)} under a cap of {cap}"


def attempts_follow_each_other(story: Story) -> Iterator[tuple[str, str]]:
    """A task is launched again only after its previous attempt has ended."""
    slots = Slots()
    for event in story.events:
        if event.event == "task_launched" and slots.holds(story, event):
            yield event.task, f"was launched at {event.id}, and the attempt before had not ended"
        slots.follow(story, event)


def completed_once(story: Story) -> Iterator[tuple[str, str]]:
    """A completion is committed once."""
    completions = Counter(e.task for e in story.events if e.task and e.target == TaskStatus.COMPLETED)
    for task, times in completions.items():
        if times > 1:
            yield task, f"was completed {times} times"


def attempts_are_fenced(story: Story) -> Iterator[tuple[str, str]]:
    """An attempt starts once, and ends once, by the worker that started it."""
    started, holders = set[tuple[str, int | None]](), dict[tuple[str, int | None], str]()
    for event in story.events:
        attempt = (event.task, event.attempt)
        if event.event in STARTS and not event.worker:
            continue  # a person moves a task on whose attempt was lost: no attempt starts
        if event.event in STARTS:
            if attempt in started:
                yield event.task, f"attempt {event.attempt} started twice"
            started.add(attempt)
            holders[attempt] = event.worker
        elif event.task and event.source in WORKING and event.target:
            # An event without a worker is a person's: one may revoke an attempt, or approve a task that does not run.
            if event.worker and event.worker != holders.get(attempt):
                yield (
                    event.task,
                    f"attempt {event.attempt} was moved at {event.id} by {event.worker}, not its holder",
                )
            if event.target not in WORKING:
                holders.pop(attempt, None)


def transitions_are_legal(story: Story) -> Iterator[tuple[str, str]]:
    """Every transition is in the table of its flow, and begins at the status where the previous one ended."""
    feature_table = FeatureFlow("of the story", story.feature_flow).table(story.gated)
    now = dict[str, str]()
    for event in story.events:
        if not event.target:
            continue
        source = now.get(event.task, TaskStatus.PENDING if event.task else "")
        now[event.task] = event.target
        step = f"{event.event} at {event.id} led from {event.source or 'nothing'} to {event.target}"
        if event.source != source:
            yield event.task, f"{step}, but it stood in {source or 'nothing'}"
        elif event.task:
            if event.target not in _targets(_flow_of(story, event.task), event.event, source):
                yield event.task, f"{step}, which its flow does not have"
        elif event.event in list(FeatureEvent):
            if feature_table.get(FeatureEvent(event.event), {}).get(source) != event.target:
                yield "", f"{step}, which its flow does not have"
        elif event.source and event.source != event.target:
            yield "", f"{step}, and is no transition"


def ends_or_waits(story: Story) -> Iterator[tuple[str, str]]:
    """A feature ends, or waits for a person and says why."""
    progress, is_waited_for = story.progress, _is_waited_for(story)
    if not progress.is_settled:
        doing = f"{progress.in_flight} in flight, {progress.queued} queued, {progress.delayed} delayed"
        yield "", f"it stands in {story.status}, not settled ({doing})"
    elif not story.status.is_over and not is_waited_for:
        yield "", f"it stands in {story.status}, and waits for no person"
    if story.status.is_success:
        for state in story.states:
            if not state.resolved:
                yield state.id, f"is {state.status} in a feature that is {story.status}"


def people_are_asked_first(story: Story) -> Iterator[tuple[str, str]]:
    """A task that must not run twice runs again only after a person has decided so."""
    once = {task.id for task in story.feature.tasks if not task.idempotent}
    in_doubt = set[str]()
    for event in story.events:
        if event.task not in once:
            continue
        # A person who revokes an attempt has decided so already, even before the attempt has ended.
        if _is_taken_back(event) and event.event != ENDED:
            in_doubt.add(event.task)
        elif event.event == "task_launched" and event.task in in_doubt:
            yield (
                event.task,
                f"was launched again at {event.id}, and nobody was asked whether it had been done",
            )
        elif event.target and not event.worker:
            in_doubt.discard(event.task)


def no_slot_leaks(story: Story) -> Iterator[tuple[str, str]]:
    """No task holds a slot at the end."""
    for task in story.slots:
        yield task, "holds a slot for ever"


def states_follow_events(story: Story) -> Iterator[tuple[str, str]]:
    """The status of a task, and of the feature, is the target of its last transition."""
    last = {event.task: event.target for event in story.events if event.target}
    if last.get("") != story.status:
        yield "", f"it stands in {story.status}, but its last transition led to {last.get('')}"
    for state in story.states:
        expected = last.get(state.id, TaskStatus.PENDING)
        given_up = story.status in (FeatureStatus.CANCELLED, FeatureStatus.FAILED)
        if given_up and expected == TaskStatus.PENDING:
            expected = TaskStatus.CANCELLED  # a task that never ran counts as cancelled with its feature
        if state.status != expected:
            yield state.id, f"stands in {state.status}, but its last transition led to {expected}"


def counters_equal_states(story: Story) -> Iterator[tuple[str, str]]:
    """The counters of the feature and of each batch agree with the states of the tasks."""
    last = {event.task: event.target for event in story.events if event.target}
    expected = Counter[str]()
    for state in story.states:
        # As it is stored: a pending task of a feature that was given up reads as cancelled, and counts as pending.
        status = last.get(state.id, str(TaskStatus.PENDING))
        names = [] if status == TaskStatus.PENDING else [status]
        for name in [*names, *(["resolved"] if state.resolved else [])]:
            expected.update([name, f"{state.batch}:{name}"])
    found = {name: count for name, count in story.counts.items() if not name.endswith(":total")}
    for name in sorted({*expected, *found}):
        if expected[name] != found.get(name, 0):
            yield "", f"the counter {name} is {found.get(name, 0)}, and {expected[name]} tasks are so"


STORY_LAWS: tuple[StoryLaw, ...] = (
    dependencies_come_first,
    batches_wait,
    cap_holds,
    attempts_follow_each_other,
    completed_once,
    attempts_are_fenced,
    transitions_are_legal,
    ends_or_waits,
    people_are_asked_first,
    no_slot_leaks,
    states_follow_events,
    counters_equal_states,
)


# --- laws of the whole run: they yield a feature, a task and its mistake --------------------------------------


def nothing_is_lost(history: History) -> Iterator[tuple[str, str, str]]:
    """A feature that was accepted exists."""
    there = {story.id for story in history.stories}
    for feature in history.enqueued:
        if feature not in there:
            yield feature, "", "was accepted, and is not there any more"


def work_was_done(history: History) -> Iterator[tuple[str, str, str]]:
    """The work of a completed task was really done, by the attempt that was committed."""
    done = {
        (effect.feature, effect.task, effect.attempt) for effect in history.effects if effect.moment == "done"
    }
    for story in history.stories:
        for event in story.events:
            is_done = event.event == TaskEvent.IMPLEMENTATION_COMPLETE and not event.task.startswith("@")
            if is_done and (story.id, event.task, event.attempt) not in done:
                yield story.id, event.task, f"attempt {event.attempt} is committed, and left no trace"


def attempts_run_once(history: History) -> Iterator[tuple[str, str, str]]:
    """An attempt does its work at most once, and only after it was started."""
    begun = Counter((e.feature, e.task, e.attempt) for e in history.effects if e.moment == "began")
    started = {
        (story.id, event.task, event.attempt)
        for story in history.stories
        for event in story.events
        if event.event in STARTS
    }
    for (feature, task, attempt), times in begun.items():
        if times > 1:
            yield feature, task, f"attempt {attempt} was carried out {times} times"
        if (feature, task, attempt) not in started:
            yield feature, task, f"attempt {attempt} was carried out, and never started"


def nothing_outlives_its_attempt(history: History) -> Iterator[tuple[str, str, str]]:
    """No process of an attempt lives when the slot and the units of the attempt are given away."""
    last = dict[tuple[str, str, int], float]()
    for effect in history.effects:
        attempt = (effect.feature, effect.task, effect.attempt)
        last[attempt] = max(effect.time, last.get(attempt, 0.0))
    for story in history.stories:
        for (task, number), event in _given_away(story).items():
            late = last.get((story.id, task, number), 0.0) - event.time
            if late > MOMENT and not _runs_on(history, event):
                yield story.id, task, f"a process of attempt {number} lived {late:.2f} s after {event.id}"


def losses_are_explained(history: History) -> Iterator[tuple[str, str, str]]:
    """A worker loses an attempt only if a fault hit it, or if it got no processor time to renew its leases."""
    for story, event in losses(history):
        if not _is_harmed(history, story, event) and not is_strained(history, event):
            yield (
                story.id,
                event.task,
                f"attempt {event.attempt} was lost at {event.id}, and no fault explains it",
            )


def limits_hold(history: History) -> Iterator[tuple[str, str, str]]:
    """No more tasks are in flight, in all features together, than a limit allows."""
    for limit, most in history.limits.items():
        slots = Slots()
        for story, event in _timeline(history):
            if event.task and limit not in (EVERYONE, story.specialists.get(event.task)):
                continue
            slots.follow(story, event)
            if event.event == "task_launched" and len(slots) > most:
                yield story.id, event.task, f"was launched at {event.id} as number {len(slots)} of {limit}"


def processes_end_first(history: History) -> Iterator[tuple[str, str, str]]:
    """An attempt gives nothing away while its process lives, unless it was taken from a silent worker."""
    ended = {(e.feature, e.task, e.attempt): e.time for e in history.effects if e.moment == "ended"}
    for story in history.stories:
        slots = Slots()
        for event in story.events:
            attempt = (story.id, event.task, event.attempt or 0)
            is_given_away = slots.follow(story, event) and not _is_taken_back(event)
            late = ended.get(attempt, event.time) - event.time
            if is_given_away and late > TICK:
                yield story.id, event.task, f"attempt {event.attempt} lived {late:.2f} s after {event.id}"
    began = {(e.feature, e.task, e.attempt): e.time for e in begun(history)}
    taken_back = {(story.id, event.task, event.attempt) for story, event in losses(history)}
    for (feature, task, number), moment in ended.items():
        following = began.get((feature, task, number + 1))
        if following and following < moment - TICK and (feature, task, number) not in taken_back:
            early = moment - following
            yield feature, task, f"attempt {number + 1} began {early:.1f} s before {number} ended"


def nothing_is_left_behind(history: History) -> Iterator[tuple[str, str, str]]:
    """No key outlives the feature that it belongs to."""
    for key in history.leftover or ():
        yield key, "", "is left when everything is forgotten"


HISTORY_LAWS: tuple[HistoryLaw, ...] = (
    nothing_is_lost,
    work_was_done,
    attempts_run_once,
    nothing_outlives_its_attempt,
    losses_are_explained,
    limits_hold,
    processes_end_first,
    nothing_is_left_behind,
)


# --- functions for the laws and the report -------------------------------------------------------------------


def losses(history: History) -> Iterator[tuple[Story, Event]]:
    """Every attempt that was taken from its worker, even while it was ending."""
    for story in history.stories:
        for event in story.events:
            if _is_taken_back(event):
                yield story, event


def by_strain(history: History) -> list[Event]:
    """The losses that no fault explains, but the load of the machine does."""
    return [
        event
        for story, event in losses(history)
        if not _is_harmed(history, story, event) and is_strained(history, event)
    ]


def is_strained(history: History, loss: Event) -> bool:
    """Whether the worker that lost an attempt had spent half of the lease before that waiting for a processor."""
    since = loss.time - history.lease - NOTICED
    waited = (
        wait.seconds
        for wait in history.waits
        if wait.worker == loss.worker and wait.ended >= since and wait.began <= loss.time
    )
    return sum(waited) >= history.lease / 2


def _is_harmed(history: History, story: Story, loss: Event) -> bool:
    patience = history.lease + SLACK
    return any(strike.explains(story.id, loss, patience) for strike in history.strikes)


def begun(history: History) -> list[Effect]:
    """Every execution."""
    return [effect for effect in history.effects if effect.moment == "began"]


def _given_away(story: Story) -> dict[tuple[str, int], Event]:
    """The event by which each attempt gave away what it held: its end, or a person's decision."""
    found = dict[tuple[str, int], Event]()
    for event in story.events:
        is_end = event.event == ENDED or (event.source in WORKING and event.target not in ("", *WORKING))
        if is_end and event.attempt is not None:
            found[event.task, event.attempt] = event
    return found


def _runs_on(history: History, event: Event) -> bool:
    """Whether the attempt may run on: a lease can end while its worker is frozen or cut off."""
    return event.cause == "worker-lost" and any(
        strike.fault not in KILLS and strike.touches(event.worker) and strike.began <= event.time
        for strike in history.strikes
    )


def _is_taken_back(event: Event) -> bool:
    return (event.source in WORKING or event.event == ENDED) and event.cause in TAKEN_BACK


class Slots:
    """Who holds a slot: a task, from its launch until the attempt has ended.

    A worker ends its attempt with the transition that leads out of work. A person moves the task as well, and the
    attempt that runs then ends later, with an event of its own.
    """

    def __init__(self) -> None:
        self.launched: set[tuple[str, str]] = set()
        self.begun: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self.launched | self.begun)

    def holds(self, story: Story, event: Event) -> bool:
        """Whether the task of the event holds one."""
        return (story.id, event.task) in self.launched | self.begun

    def follow(self, story: Story, event: Event) -> bool:
        """Apply an event. Returns whether a started attempt gives its slot away by it."""
        one = (story.id, event.task)
        if event.event == "task_launched":
            self.launched.add(one)
        elif event.event in STARTS:
            if one in self.launched:
                self.launched.discard(one)
                self.begun.add(one)
        elif not event.task and event.target in OVER:
            # A launched attempt that no worker has started ends without an event.
            self.launched = {(feature, task) for feature, task in self.launched if feature != story.id}
        elif event.event == ENDED or (event.task and event.target and event.target not in WORKING):
            self.launched.discard(one)
            if one in self.begun and (event.worker or event.event == ENDED):
                self.begun.discard(one)
                return True
        return False


def _timeline(history: History) -> list[tuple[Story, Event]]:
    """The events of all features. Streams have no order within a millisecond; launches are last there."""
    together = [
        (story, event)
        for story in history.stories
        for event in story.events
        if not event.task.startswith("@")
    ]
    return sorted(together, key=lambda entry: (entry[1].time, entry[1].event == "task_launched"))


def _with_resolved(story: Story) -> Iterator[tuple[Event, set[str]]]:
    """Each event, with the tasks that were resolved before it."""
    resolved, skipped, slots = set[str](), set[str](), Slots()
    for event in story.events:
        yield event, resolved
        slots.follow(story, event)
        if event.event == TaskEvent.TASK_SKIPPED:
            skipped.add(event.task)
        elif event.event in (TaskEvent.TASK_RESUMED, "task_launched"):
            skipped.discard(event.task)
        is_skipped = event.task in skipped and not slots.holds(story, event)
        if event.target == TaskStatus.COMPLETED or is_skipped:
            resolved.add(event.task)


def _flow_of(story: Story, task: str) -> Flow:
    return lifecycle.GATES_FLOW if task.startswith("@") else Flow("of the story", story.flows[task])


def _targets(flow: Flow, event: str, source: str) -> set[str]:
    """The statuses to which an event may lead: those of the table, and without gates those after testing too."""
    target = flow.target(event, source)
    if target is None:
        return set()
    passes = target == TaskStatus.TESTING and event in (
        TaskEvent.IMPLEMENTATION_COMPLETE,
        TaskEvent.REVIEW_APPROVED,
    )
    return {target, flow.after(target)} if passes else {target}


def _is_waited_for(story: Story) -> bool:
    progress = story.progress
    is_at_rest = any(
        state.status not in (TaskStatus.PENDING, TaskStatus.COMPLETED) and not state.resolved
        for state in story.states
    )
    return bool(
        is_at_rest
        or progress.gates_failed
        or progress.awaits_launch
        or progress.is_paused
        or progress.unassigned
        or story.status is FeatureStatus.PENDING_REVIEW
    )
