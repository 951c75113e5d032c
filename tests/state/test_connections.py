"""Connections to Redis: what goes over them is written without harm, whatever comes in between."""

from __future__ import annotations

import subprocess
import sys

INTERRUPTED = """
import signal
from orchestrator.state.connections import Packer

class Told(Exception): pass

def tell(*_):
    global times
    times += 1
    raise Told

times = 0
packer = Packer()
command = ("EVALSHA", 28, *map(str, range(28)), 5, 7, 9, *["x" * 30] * 12)
signal.signal(signal.SIGALRM, tell)
while times < 30_000:
    try:
        signal.setitimer(signal.ITIMER_REAL, (50 + times % 50) / 1e6)
        while True:
            packer.pack(*command)
    except Told:
        pass
print(times)
"""


def test_a_signal_while_a_command_is_written_ends_no_process() -> None:
    # Given a handler that raises, as those of Ctrl-C and of a worker's end do, and a signal after each few commands
    # When commands with numbers are written all the while
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    # Then the process goes on
    assert (done.returncode, done.stdout) == (0, "30000\n"), done.stderr
