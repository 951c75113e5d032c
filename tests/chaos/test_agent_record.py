"""What is read from the agents' log."""

from __future__ import annotations

from typing import Any

from chaos.agent_record import _away, _lives
from chaos.history import EVERYONE, Strike


def fact(kind: str, time: float, pid: int = 7, folder: str = "/w/T1") -> dict[str, Any]:
    return {"fact": kind, "feature": "f", "task": "T1", "time": time, "pid": pid, "folder": folder, "saw": []}


def test_an_end_belongs_to_the_latest_agent_with_that_process_id() -> None:
    killed, other = fact("begin", 1.0), [fact("begin", 5.0, folder="/w/T2"), fact("end", 6.0)]
    assert [life.ended for life in _lives([killed, *other])] == [None, 6.0]
    ended, late = [fact("begin", 1.0), fact("end", 2.0)], fact("begin", 5.0, folder="/w/T2")
    assert [life.ended for life in _lives([*ended, late])] == [2.0, None]


def test_an_outage_excuses_only_what_was_said_in_it() -> None:
    outage = Strike(fault="kill-redis", began=10, ended=13, workers=(EVERYONE,))
    assert [_away([outage], moment) for moment in (9, 12, 14, 16)] == [0, 2, 4, 0]
    kill = Strike(fault="kill-worker", began=10, ended=10, workers=("w1",))
    assert _away([kill], 10.5) == 0
