"""The output of a Python specialist is the log of its attempt."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.config.schema.limits import Limits
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Completed, Failed, FailureCause, Outcome
from orchestrator.specialists import Context, output, registry
from tests.full_disk import fill, small_disk
from tests.specialists.contexts import a_context

PATIENCE = 60.0


def perform(
    function: Callable[[Context], Any], folder: Path, log: Path | None = None, **given: Any
) -> Outcome:
    """The outcome of a function as the specialist of a task."""
    registry._registered["reviewer"] = function
    settings = Settings(specialists={"reviewer": SpecialistSettings(**given)}, limits=Limits(tail=2_000))
    try:
        return registry.perform(a_context(folder, log_file=log or folder / "T1.log"), settings)
    finally:
        del registry._registered["reviewer"]


def says_all(context: Context) -> str:
    print("printed")
    print("printed as an error", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\n")
    logging.getLogger("app").warning("%s is slow", "the disk")
    context.logger.info("a step")
    warnings.warn("outdated", stacklevel=1)
    subprocess.run([sys.executable, "-S", "-c", "print('a child')"], stdout=sys.stdout, check=True)
    helper = threading.Thread(target=print, args=("a thread",))
    helper.start()
    helper.join()
    return "done"


def test_all_that_a_specialist_puts_out_is_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # Given a worker whose log takes warnings, when a specialist puts something out in every way
    logging.captureWarnings(True)  # as Celery does
    try:
        with caplog.at_level(logging.WARNING):
            outcome = perform(says_all, tmp_path)
    finally:
        logging.captureWarnings(False)
    # Then all of it is in the log of the attempt, and its end in the outcome
    log = (tmp_path / "T1.log").read_text("utf-8")
    plain = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", log)
    for line in (
        "printed",
        "printed as an error",
        "bytes",
        "WARNING app: the disk is slow",
        "a child",
        "a thread",
    ):
        assert f"{line}\n" in plain, line
    assert "INFO orchestrator.specialists.reviewer: a step\n" in plain
    assert "UserWarning: outdated" in plain
    assert outcome == Completed(summary="done", tail=log)
    assert (tmp_path / "T1.log").stat().st_mode & 0o777 == 0o600
    # And what was logged is in the log of the worker too, as its level says
    assert "the disk is slow" in caplog.text
    assert "a step" not in caplog.text
    assert "printed" not in capsys.readouterr().out


def test_after_it_all_goes_where_it_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr, list(logging.getLogger().handlers)
    perform(lambda context: print("within"), tmp_path)
    print("after")
    assert (sys.stdout, sys.stderr, list(logging.getLogger().handlers)) == before
    assert capsys.readouterr().out == "after\n"


def test_who_says_nothing_has_no_log(tmp_path: Path) -> None:
    assert perform(lambda context: "done", tmp_path) == Completed(summary="done")
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_told_at_the_end_of_the_log(tmp_path: Path) -> None:
    # Given a specialist that says something and breaks
    def breaks(context: Context) -> None:
        print("so far so good")
        raise ValueError("kaputt")

    outcome = perform(breaks, tmp_path)
    # Then log and outcome have both
    log = (tmp_path / "T1.log").read_text("utf-8")
    assert log.startswith("so far so good\nTraceback")
    assert log.endswith("ValueError: kaputt\n")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.tail) == ("ValueError: kaputt", log)


def test_attempts_of_several_threads_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given two attempts in two threads, which run at the same time, and a thread of the worker's
    both = threading.Barrier(3, timeout=PATIENCE)

    def says(name: str) -> None:
        with output.capture(lambda: tmp_path / f"{name}.log"):
            for _ in range(50):
                both.wait()
                print(name)
                logging.getLogger("app").error("logged by %s", name)

    threads = [threading.Thread(target=says, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for _ in range(50):
        both.wait()
        print("the worker")
    for thread in threads:
        thread.join()
    # Then each log has what its own attempt has said
    for name in ("one", "two"):
        lines = (tmp_path / f"{name}.log").read_text("utf-8").splitlines()
        assert lines[::2] == [name] * 50
        assert all(line.endswith(f"logged by {name}") for line in lines[1::2])
    assert capsys.readouterr().out == "the worker\n" * 50


def test_a_thread_that_was_there_before_is_not_the_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a thread of the worker's that says something while an attempt runs in the main thread
    go, said = threading.Event(), threading.Event()

    def keep() -> None:
        go.wait(PATIENCE)
        print("kept")
        said.set()

    thread = threading.Thread(target=keep)
    thread.start()

    def work(context: Context) -> None:
        go.set()
        said.wait(PATIENCE)
        print("worked")

    perform(work, tmp_path)
    thread.join()
    assert (tmp_path / "T1.log").read_text("utf-8") == "worked\n"
    assert "kept\n" in capsys.readouterr().out


def test_a_run_keeps_the_routing_and_hears_an_attempt_that_replaces_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, replaced = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", usual)

    def says(name: str) -> None:
        with output.capture(lambda: tmp_path / f"{name}.log"):
            print(name)

    with output.kept():
        says("one")
        routed: Any = sys.stdout
        assert routed is not usual
        print("between")
        says("two")
        assert sys.stdout is routed
        sys.stdout = replaced
        says("three")
        print("after it")
    assert [(tmp_path / f"{name}.log").read_text() for name in ("one", "two", "three")] == [
        "one\n",
        "two\n",
        "three\n",
    ]
    assert (usual.getvalue(), replaced.getvalue()) == ("between\n", "after it\n")
    assert sys.stdout is replaced


def test_secrets_are_hidden(tmp_path: Path) -> None:
    # Given a specialist that shows a secret where its output is cut, and where it returns
    def shows(context: Context) -> str:
        print("first-line." * 300)
        return "it is first-line"

    outcome = perform(shows, tmp_path, python=None, env={"KEY": SecretStr("first-line\nsecond-line\n")})
    assert isinstance(outcome, Completed)
    assert outcome.summary == "it is **"
    assert "line" not in outcome.tail + (tmp_path / "T1.log").read_text("utf-8")


def test_a_full_disk_does_not_fail_the_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path) as disk:
        fill(disk / "full")
        outcome = perform(lambda context: print("x" * 100_000), tmp_path, log=disk / "T1.log")
    assert outcome == Completed()
    assert "cannot write into its log" in caplog.text


def test_a_time_limit_is_kept_by_who_prints_all_the_time(tmp_path: Path) -> None:
    # Given a specialist whose time limit is over while it writes
    def prints(context: Context) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            print("on and on")

    outcome = perform(prints, tmp_path, timeout=0.2)
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.TIMEOUT
