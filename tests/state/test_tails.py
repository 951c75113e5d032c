"""The end of what an attempt puts out is kept where every machine can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.settings import Settings
from orchestrator.model.progress import Tail
from orchestrator.state import tails
from orchestrator.state.store import Store
from orchestrator.state.tails import KEPT, Tails, log_file
from tests.state.factories import Run, launched

SECRET = "s3cr3t-one"
RUNNING = [("auth", "T1", 1)]


class Rig:
    """A task that runs, its log, and who looks at it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.run: Run = launched(store)
        self.run.start("T1")
        given: Any = {"writer": {"env": {"KEY": f"{SECRET}\n"}}}
        self.settings = Settings(logs=folder, specialists=given)
        self.tails = Tails(self.settings, store)
        self.log = log_file(self.settings, *RUNNING[0])
        self.log.parent.mkdir(parents=True)

    def say(self, data: bytes) -> None:
        with self.log.open("ab") as log:
            log.write(data)

    def kept(self) -> Tail | None:
        return self.run.store.events.tail("auth", "T1")


@pytest.fixture
def rig(fake_store: Store, tmp_path: Path) -> Rig:
    return Rig(fake_store, tmp_path)


def test_what_is_new_is_kept(rig: Rig) -> None:
    # Given an attempt that has said nothing, then something, then more
    rig.tails.look(RUNNING)
    assert rig.kept() is None
    for said, whole in ((b"one\n", b"one\n"), (b"tw\xc3", b"one\ntw\xc3"), (b"\xb6\n", b"one\ntw\xc3\xb6\n")):
        rig.say(said)
        rig.tails.look(RUNNING)
        assert rig.kept() == Tail(1, len(whole), whole)
    # And of much only the end
    rig.say(b"x" * 100_000)
    rig.tails.look(RUNNING)
    assert rig.kept() == Tail(1, 100_009, b"x" * KEPT)


def test_who_says_nothing_new_costs_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.say(b"one\n")
    rig.tails.look(RUNNING)

    def fail(*_: object) -> None:
        raise AssertionError("Redis was asked")

    monkeypatch.setattr(rig.run.store.client, "pipeline", fail)
    rig.tails.look(RUNNING)
    rig.tails.look([*RUNNING, ("auth", "T2", 1)])


@pytest.mark.parametrize("before", [0, 1, 5, KEPT - 3, KEPT, 3 * KEPT])
def test_no_part_of_a_secret_is_kept(rig: Rig, before: int) -> None:
    # Given output with a secret, looked at after each of its characters
    rig.say(b"." * before)
    for character in f"{SECRET} and so on; {SECRET[:4]}".encode():
        rig.say(bytes([character]))
        rig.tails.look(RUNNING)
        kept = rig.kept()
        assert b"s3c" not in (kept.data if kept else b"")
    # Then what is no secret after all is shown when that is known
    rig.say(b"!")
    rig.tails.look(RUNNING)
    whole = b"." * before + b"*" * len(SECRET) + b" and so on; s3cr!"
    assert rig.kept() == Tail(1, len(whole), whole[-KEPT:])


@pytest.mark.parametrize("cut", range(12))
def test_a_secret_that_is_cut_at_the_beginning_is_not_kept(rig: Rig, cut: int) -> None:
    rig.say(SECRET.encode() + b"." * (KEPT - cut))
    rig.tails.look(RUNNING)
    kept = rig.kept()
    assert kept is not None
    assert kept.data.strip(b"*") == b"." * (KEPT - cut)


def test_what_runs_no_more_is_not_kept(rig: Rig) -> None:
    rig.say(b"one\n")
    rig.tails.look(RUNNING)
    # When another attempt has begun, then the end of the first one does not take its tail away
    rig.run.store.client.hset(rig.run.keys.tails, "T1", "2 3 b25l")
    rig.tails.look([])
    assert rig.kept() == Tail(2, 3, b"one")
    # And nothing is kept of an attempt that has ended, or was never begun
    rig.run.end("T1")
    for attempt in (1, 2):
        assert rig.run.store.attempts.save_log_tails({("auth", "T1", attempt): Tail(attempt, 3, b"two")}) == [
            "stale"
        ]
    assert rig.run.store.attempts.save_log_tails({("auth", "T1", 2): None}) == ["dropped"]
    assert rig.kept() is None


def test_what_has_ended_is_dropped(rig: Rig) -> None:
    rig.say(b"one\n")
    rig.tails.look(RUNNING)
    rig.tails.look([])
    assert rig.kept() is None
    assert rig.tails.sizes == {}


def test_a_log_that_is_gone_is_passed_over(rig: Rig) -> None:
    rig.say(b"one\n")
    rig.tails.look(RUNNING)
    rig.log.unlink()
    rig.tails.look(RUNNING)
    with pytest.raises(OSError, match="No such file"):
        tails.read(rig.log, 1, ())
