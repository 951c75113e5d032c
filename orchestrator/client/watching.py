"""Wait for a feature, or for its events, and outlast an outage of Redis meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator.model import errors
from orchestrator.state import outage

if TYPE_CHECKING:
    from orchestrator.model.event import Event
    from orchestrator.model.progress import Progress
    from orchestrator.state.store import Store

WATCH_SECONDS = 1.0
"""How long one wait for events lasts. An event ends it at once."""

LOOK_SECONDS = 0.0002
"""Between two looks at the progress `wait` lets pass at most so long for each task that is left."""

SHARE = 0.75
"""It lets pass no more than this share of the time that is left, as far as the pace of the tasks tells it."""

LONGEST_LOOK_SECONDS = 0.1
"""It lets pass no more, because a feature may stop before its end."""

FEW_LEFT = 4
"""With this few tasks left, `wait` reads the progress after each event, because it may be the last one."""

R = TypeVar("R")


def follow(store: Store, feature_id: str, after: str, longest_outage: float) -> Iterator[Event]:
    """The events after an id ("-": from the oldest), and those to come, until the feature is settled.

    Raises:
        RedisUnreachable: Redis was away for longer than `longest_outage`.
    """
    ask = _patience(feature_id, longest_outage, None)
    while True:
        is_settled = ask(
            partial(store.features.summary, feature_id)
        ).is_settled  # read first, so that no event is missed
        block = None if is_settled else WATCH_SECONDS
        events = ask(partial(store.events.read, feature_id, after, block=block))
        yield from events
        if events:
            after = events[-1].id
        elif is_settled:
            return


def wait(
    store: Store,
    feature_id: str,
    timeout: float | None,
    longest_outage: float,
    pause: Callable[[float], None] = time.sleep,
    is_over: Callable[[Progress], bool] = lambda progress: False,
) -> Progress:
    """Wait until a feature is settled.

    Args:
        store: Where it is stored.
        feature_id: The feature.
        timeout: Seconds to wait at most.
        longest_outage: Seconds for which Redis may be away.
        pause: Sleeps for some seconds.
        is_over: Asked after events: whether the wait is over although more happens to the feature.

    Raises:
        WaitTimeout: It is not settled after `timeout` seconds.
        RedisUnreachable: Redis is away then, or was away for longer than `longest_outage`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    ask = _patience(feature_id, longest_outage, deadline)
    after = ask(partial(store.events.last, feature_id))  # read first, so that no event is missed
    pace = _Pace()
    while not (progress := ask(partial(store.features.summary, feature_id))).is_settled:
        if ask(partial(is_over, progress)):
            break
        left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
        if left <= 0:
            raise errors.WaitTimeout(
                feature=feature_id,
                seconds=timeout,
                status=progress.status,
                progress=f"{progress.completed} of {progress.total} tasks complete",
            )
        if news := ask(partial(store.events.read, feature_id, after, block=left, most=1)):
            after = news[0].id
            pace.see(progress.resolved)
            if progress.total - progress.resolved > FEW_LEFT:
                pause(min(pace.rest(progress.total - progress.resolved), left))
                after = ask(partial(store.events.last, feature_id))
    return progress


class _Pace:
    """How fast tasks resolve, as it was between the last two looks."""

    def __init__(self) -> None:
        self._resolved, self._moment = 0, time.monotonic()
        self._seconds = LOOK_SECONDS  # for a task

    def see(self, resolved: int) -> None:
        """Note that so many tasks are resolved now."""
        now = time.monotonic()
        if resolved > self._resolved:
            self._seconds = (now - self._moment) / (resolved - self._resolved)
            self._resolved, self._moment = resolved, now

    def rest(self, left: int) -> float:
        """The seconds until the next look, with so many tasks left."""
        likely = SHARE * self._seconds * (left - FEW_LEFT)
        return min(LONGEST_LOOK_SECONDS, LOOK_SECONDS * left, likely)


def _patience(
    feature_id: str, longest_outage: float, deadline: float | None
) -> Callable[[Callable[[], R]], R]:
    """Asks Redis, and outlasts an outage: until `deadline` at the latest, a moment of `time.monotonic`."""

    def ask(read: Callable[[], R]) -> R:
        longest = longest_outage
        if deadline is not None:
            longest = max(0.0, min(longest, deadline - time.monotonic()))
        return outage.outlast(read, f"the wait for {feature_id}", longest=longest, retry=outage.WATCHING)

    return ask
