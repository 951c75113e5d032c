"""An exception is raised in what runs, from another thread, once, and never after the block."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from orchestrator.specialists.interruption import SIGNAL, Interrupt, interruptible


class Ends(BaseException):
    """It is to end."""


def soon(interrupt: Interrupt, seconds: float = 0.01) -> None:
    threading.Timer(seconds, interrupt, [Ends]).start()


def test_the_main_thread_is_interrupted_in_a_wait() -> None:
    before = signal.getsignal(SIGNAL)
    with interruptible() as interrupt:
        soon(interrupt)
        with pytest.raises(Ends):
            threading.Event().wait(120)
    assert signal.getsignal(SIGNAL) == before


def test_a_thread_is_interrupted_between_two_steps() -> None:
    ended: list[str] = []

    def work() -> None:
        try:
            with interruptible() as interrupt:
                soon(interrupt)
                while True:
                    time.sleep(0.001)
        except Ends:
            ended.append("interrupted")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(120)
    assert ended == ["interrupted"]


def test_nothing_is_raised_after_the_block_and_nothing_twice() -> None:
    done: list[int] = []

    def work() -> None:
        for number in range(200):
            try:
                with interruptible() as interrupt:
                    soon(interrupt, 0)
                    interrupt(Ends)
                    for _ in range(number % 7):
                        pass
            except Ends:
                pass
            for _ in range(100):  # where nobody catches it
                pass
            interrupt(Ends)
            done.append(number)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(120)
    assert len(done) == 200


TRACED = """
import sys, threading
from orchestrator.specialists.interruption import interruptible

class Ends(BaseException): ...

def work():
    for _ in range(3):
        try:
            with interruptible() as interrupt:
                interrupt(Ends)
                while True:
                    pass
        except Ends:
            pass

def traced():
    return "went on"

thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.settrace(lambda frame, event, given: None)
print(traced())
"""


def test_a_traced_program_goes_on_after_an_interruption() -> None:
    """CPython 3.11 stood still in it for ever where an exception was taken back, raised or not."""
    found = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=120)
    assert found.stdout == "went on\n", found.stderr


GREEN = """
import sys
import time

{patch}
import threading

from orchestrator.specialists.interruption import interruptible
from orchestrator.specialists.python import alarm

def work():
    try:
        with interruptible() as interrupt:
            threading.Timer(0.01, interrupt, [SystemError]).start()
            time.sleep(120)
    except SystemError:
        print("interrupted", end=" ")
    interrupt(SystemError)
    try:
        with alarm(0.01):
            while True:
                time.sleep(0)
    except TimeoutError:
        print("timed out", end=" ")

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    "patch",
    [
        "from gevent import monkey; monkey.patch_all()",
        "import eventlet; eventlet.monkey_patch()",
        "",
    ],
    ids=["gevent", "eventlet", "threads"],
)
def test_greenlets_are_interrupted_where_they_wait(patch: str) -> None:
    code = (
        GREEN.format(patch=patch)
        if patch
        else GREEN.format(patch="").replace("time.sleep(120)", "[time.sleep(0.001) for _ in range(100_000)]")
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.returncode) == ("interrupted timed out ", 0), run.stderr
