"""The board, the reports and the runs of processes that take their next task by themselves."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo

from orchestrator.config.schema.limits import Take
from orchestrator.engine import reports, visibility
from orchestrator.engine.board import SIZE, Board
from orchestrator.engine.reports import LONGEST_ID, Began, Ended, Report, ReportPipe
from orchestrator.engine.run import PAUSES, Run, shown_answer
from orchestrator.state.start_result import Claim, Taken

PERMISSION = {"writer": ["writer", "editor"], "other": ["other"]}


def in_child(work: Callable[[], bool]) -> bool:
    """Whether a forked process finds it so."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_forked_process_reads_what_is_written_later() -> None:
    board = Board()
    (hears, writes), (hears_child, tells) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        before = board.read()
        os.write(tells, b"x")
        os.read(hears, 1)
        os._exit(0 if not before and board.read() == PERMISSION else 1)
    os.read(hears_child, 1)
    board.write(PERMISSION)
    os.write(writes, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_closed_board_allows_nothing() -> None:
    board = Board()
    board.write(PERMISSION)
    board.close()
    assert not board.read()
    assert in_child(lambda: not board.read())


def test_a_permission_that_does_not_fit_allows_nothing() -> None:
    board = Board()
    board.write({"writer": ["x" * SIZE]})
    assert not board.read()


def test_a_board_that_is_written_all_the_time_never_shows_half_a_permission() -> None:
    board, stop = Board(), threading.Event()
    permissions: list[dict[str, list[str]]] = [{"q": ["a" * size] * 3} for size in range(1, 400, 7)]

    def write() -> None:
        while not stop.is_set():
            for permission in permissions:
                board.write(permission)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert in_child(lambda: all(not (got := board.read()) or got in permissions for _ in range(2_000)))
    finally:
        stop.set()
        writer.join()


def report(text: str = "T1: completed", message: str = "m" * 500) -> Report:
    return Report(
        7, Ended("one:T1:1", (0, text, 0.1), 1.0), Began("one:T2:1", "writer", message, "writer", 1.0)
    )


def test_reports_of_several_processes_arrive_whole_and_in_order() -> None:
    pipe = ReportPipe()
    pids = []
    for process in range(4):
        pid = os.fork()
        if pid == 0:
            for number in range(200):
                pipe.send(report(f"{process} {number}"))
            os._exit(0)
        pids.append(pid)
    found: list[Report] = []
    while len(found) < 800:
        select.select([pipe.reader], [], [], 30)
        found += pipe.read()
    for pid in pids:
        os.waitpid(pid, 0)
    texts = [one.ended.answer[1] for one in found if one.ended]
    for process in range(4):
        of_process = [text for text in texts if text.startswith(f"{process} ")]
        assert of_process == [f"{process} {number}" for number in range(200)]


def test_a_full_pipe_is_waited_for_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pipe that is full
    pipe, waits = ReportPipe(), threading.Event()
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe.writer, reports.record_of(report()))
            sent += 1
    wait = select.select

    def tell_and_wait(*given: Any) -> Any:
        waits.set()
        return wait(*given)

    monkeypatch.setattr(select, "select", tell_and_wait)

    # When a process sends one more, and the main process reads after that
    answers: list[bool] = []
    sender = threading.Thread(target=lambda: answers.append(pipe.send(report("one more"))))
    sender.start()
    assert waits.wait(30)
    found = list(pipe.read())
    sender.join()
    found += pipe.read()

    # Then it has waited, and is told to take no more
    assert answers == [False]
    assert len(found) == sent + 1
    assert found[-1].ended
    assert found[-1].ended.answer[1] == "one more"


def test_the_longest_report_fits() -> None:
    pipe = ReportPipe()
    try:
        raise visibility.TaskStopped("ö" * 100_000, "blocked")
    except visibility.TaskStopped:
        info = ExceptionInfo()
    ended = Ended("i" * LONGEST_ID, shown_answer((info, "IGNORED", 1.0, None)), 1.0)
    assert pipe.send(Report(7, ended, Began("i" * 600, "writer" * 10, "m" * 1_500, "writer" * 10, 1.0)))
    (found,) = pipe.read()
    assert found.ended
    assert found.ended.answer[1].exception.status == "blocked"


# --- a run -------------------------------------------------------------------------------------------------


@pytest.fixture
def board() -> Board:
    board = Board()
    board.write(PERMISSION)
    return board


def claim(run: Run) -> Any:
    return run.claim("w1@host", 10.0)


def test_a_run_claims_what_the_board_allows_the_last_queue_last(board: Board) -> None:
    run = Run("one:T1:1", "writer", Take(), board, last_queue="writer")
    found = claim(run)
    assert list(found.queues) == ["other", "writer"]
    assert (found.worker, found.lease) == ("w1@host", 10.0)
    assert claim(run).delivery != found.delivery


@pytest.mark.parametrize(
    ("specialist", "limits", "count", "is_full"),
    [
        ("writer", Take(count=3), 3, False),
        ("writer", Take(seconds=0.000_001), 1, False),
        ("writer", Take(), 1, True),
        ("limited", Take(), 1, False),
    ],
)
def test_a_run_that_is_over_claims_nothing(
    board: Board, specialist: str, limits: Take, count: int, is_full: bool
) -> None:
    assert claim(Run("one:T1:1", specialist, limits, board, count=count, is_full=is_full)) is None


def test_a_run_claims_nothing_from_a_closed_board(board: Board) -> None:
    run = Run("one:T1:1", "writer", Take(), board)
    board.close()
    assert claim(run) is None


@pytest.mark.parametrize(
    ("lasted", "finds", "looks"), [(0.0, False, len(PAUSES)), (0.0, True, 1), (60.0, True, 0)]
)
def test_a_run_looks_again_after_a_short_attempt_alone(
    board: Board, lasted: float, finds: bool, looks: int
) -> None:
    taken = Taken("writer", "{}", ("one", "T2", 1), ()) if finds else None
    asked: list[Claim] = []

    def look(claim: Claim) -> Taken | None:
        asked.append(claim)
        return taken

    run = Run("one:T1:1", "writer", Take(), board, since=time.monotonic() - lasted)
    assert run.look_again("w1@host", 10.0, look, pause=lambda _: None) == (taken if looks else None)
    assert len({claim.delivery for claim in asked}) == looks


def test_a_run_that_may_take_nothing_does_not_look_again(board: Board) -> None:
    run = Run("one:T1:1", "writer", Take(), board)
    board.close()

    def look(_: object) -> None:
        pytest.fail("it looked, or waited")

    assert run.look_again("w1@host", 10.0, look, pause=look) is None


def test_what_was_taken_is_begun_once(board: Board) -> None:
    run = Run("one:T1:1", "writer", Take(), board)
    run.taken = taken = Taken("writer", "{}", ("one", "T2", 1), ())
    assert run.accept(("one", "T2", 1)) is taken
    assert run.accept(("one", "T2", 1)) is None
