"""A command runs with what it needs, its ending is an outcome, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.config.schema.limits import Limits
from orchestrator.model import errors
from orchestrator.model.task import Task
from orchestrator.specialists import (
    Blocked,
    Cancelled,
    Completed,
    Context,
    Failed,
    FailureCause,
    RetryLater,
    attempt_log,
    processes,
)
from orchestrator.specialists.command import CommandRunner, by_exit_code
from tests.full_disk import fill, small_disk
from tests.specialists.contexts import a_context

PATIENCE = 60.0
"""Seconds after which a condition that should have come true is given up."""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


def a_runner(run: tuple[str, ...] | str, project: Path, **given: Any) -> CommandRunner:
    """A runner of a command, or of Python code."""
    given = {"limits": Limits(), "poll": 0.02, "grace": PATIENCE, **given}
    return CommandRunner(python(run) if isinstance(run, str) else run, project=project, **given)


def run(code: tuple[str, ...] | str, folder: Path, **given: Any) -> Any:
    """The outcome of a command in the first attempt at a task."""
    return a_runner(code, folder, **given).perform(a_context(folder))


def writing(outcome: str, code: int = 0) -> str:
    """A command that writes its outcome file, prints a line, and exits."""
    return (
        "import os, sys; print('last words'); "
        f"open(os.environ['ORCHESTRATOR_OUTCOME_FILE'], 'w').write({outcome!r}); sys.exit({code})"
    )


def is_running(pid: int) -> bool:
    """Whether a process is there, and more than a zombie that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat_file = Path(f"/proc/{pid}/stat")
    try:
        return (
            not stat_file.parent.parent.exists()
            or stat_file.read_text().rpartition(")")[2].split()[0] not in "ZX"
        )
    except OSError:
        return False


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Family:
    """A command and a child of it in the background. Both say when they are ready, by files with their pids."""

    def __init__(self, folder: Path, parent: str, child: str) -> None:
        self.files = [folder / "parent.pid", folder / "child.pid"]
        ready = "open({0!r} + '.new', 'w').write(str(os.getpid())); os.rename({0!r} + '.new', {0!r})"
        prelude = "import os, signal, subprocess, sys, time\n"
        child_code = f"{prelude}{child}".replace("READY", ready.format(str(self.files[1])))
        spawn = f"subprocess.Popen([sys.executable, '-S', '-c', {child_code!r}])"
        wait = f"while not os.path.exists({str(self.files[1])!r}): time.sleep(0.01)"
        self.code = f"{prelude}{spawn}\n{wait}\n{parent}".replace("READY", ready.format(str(self.files[0])))

    def is_ready(self) -> bool:
        return all(file.exists() for file in self.files)

    @property
    def pids(self) -> list[int]:
        return [int(file.read_text()) for file in self.files]

    def is_gone(self) -> bool:
        return comes_true(lambda: not any(is_running(pid) for pid in self.pids))

    def clean_up(self) -> None:
        for file in self.files:
            if file.exists() and is_running(pid := int(file.read_text())):
                os.kill(pid, signal.SIGKILL)


WAITS = "READY\nsignal.pause()"
IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nREADY\nwhile True: signal.pause()"
TIDIES = (
    "def tidy(*_):\n print('tidied', flush=True)\n os._exit(0)\n"
    "signal.signal(signal.SIGTERM, tidy)\nREADY\nwhile True: signal.pause()"
)
LEAVES = "READY\nprint('done')"


@pytest.fixture
def a_family(tmp_path: Path) -> Iterator[Callable[[str, str], Family]]:
    families: list[Family] = []

    def make(parent: str, child: str) -> Family:
        families.append(Family(tmp_path, parent, child))
        return families[-1]

    yield make
    for family in families:
        family.clean_up()


# The input of a command

TELL = "import json, os; print(json.dumps({'env': dict(os.environ), 'cwd': os.getcwd(), 'in': os.read(0, 9).decode()}))"


def told(folder: Path, **given: Any) -> dict[str, Any]:
    outcome = run(TELL, folder, limits=Limits(tail=200_000), **given)
    assert isinstance(outcome, Completed)
    found: dict[str, Any] = json.loads(outcome.tail)
    return found


def test_a_command_is_told_about_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a worker with an environment, and a specialist with one of its own
    monkeypatch.setenv("COLOUR", "green")
    monkeypatch.setenv("SHAPE", "round")
    # When a command is run
    seen = told(tmp_path, env={"SHAPE": SecretStr("square")}, pass_env=("COLOUR", "SHAPE"))
    # Then it has both, the specialist's first, and knows its task
    assert (seen["env"]["COLOUR"], seen["env"]["SHAPE"]) == ("green", "square")
    assert seen["env"]["ORCHESTRATOR_FEATURE_ID"] == "auth"
    assert seen["env"]["ORCHESTRATOR_TASK_ID"] == "T1"
    assert seen["env"]["ORCHESTRATOR_ATTEMPT"] == "1"
    assert seen["env"]["ORCHESTRATOR_PROJECT"] == str(tmp_path)


def test_what_a_command_shows_of_its_secrets_is_masked(tmp_path: Path) -> None:
    # Given a command that shows its secrets in every output
    outcome = {"status": "failed", "reason": "401 for s3cr3t-one", "tail": "used s3cr3t-one"}
    code = writing(json.dumps(outcome)) + "; print(os.environ['A'], os.environ['B'], os.environ['C'])"
    code = code.replace("sys.exit(0)", "0")
    secrets = {"A": SecretStr("s3cr3t-one"), "B": SecretStr("s3cr3t-one-more"), "C": SecretStr("true")}

    # When it has run
    failed = run(code, tmp_path, env=secrets)

    # Then its outcome and its log show none of them; what is too short to be a secret stays
    assert (failed.reason, failed.tail) == ("401 for **", "used **")
    log = a_context(tmp_path).log_file.read_text("utf-8")
    assert log == f"last words\n{'*' * 10} {'*' * 15} true\n"
    result = run(writing('{"rows": [1, {"s3cr3t-one": "a s3cr3t-one"}]}'), tmp_path, env=secrets).result
    assert result == {"rows": [1, {"**": "a **"}]}


KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEAsecret1\nMIIEpAIBAAKCAQEAsecret2\nend\n"
SEVERAL_LINES = {"TOKEN": SecretStr("abcdefgh-token-1234567\n"), "PEM": SecretStr(KEY)}
SHOWN = {
    "without its last line break": """print("Bearer " + os.environ["TOKEN"].strip() + ";")""",
    "as it is": """print(os.environ["TOKEN"], os.environ["PEM"])""",
    "line by line": """print("\\n".join("  " + line for line in os.environ["PEM"].splitlines()))""",
    "one line of it": """print(os.environ["PEM"].splitlines()[1])""",
    "in its reason": """print(); sys.exit("401 for " + os.environ["PEM"].splitlines()[2])""",
    "in the last line, and long": """print("." * 190 + os.environ["TOKEN"].strip())""",
    "in what is no outcome, where it is cut": """open(os.environ["ORCHESTRATOR_OUTCOME_FILE"], "w").write(
        json.dumps({"status": "." * 940 + os.environ["TOKEN"].strip()}))""",
    "in a colour": """open(os.environ["ORCHESTRATOR_OUTCOME_FILE"], "w").write(
        json.dumps({"status": "failed", "reason": "abcdefgh-\\x1b[31mtoken-1234567"}))""",
}


@pytest.mark.parametrize("shows", SHOWN.values(), ids=SHOWN)
def test_a_secret_of_several_lines_is_masked_however_it_is_shown(tmp_path: Path, shows: str) -> None:
    # Given secrets that end with a line break or have several lines, when a command shows them
    outcome = run("import json, os, sys\n" + shows, tmp_path, env=SEVERAL_LINES)
    # Then neither the log nor the outcome has a line of them
    shown = a_context(tmp_path).log_file.read_text("utf-8") + outcome.model_dump_json()
    assert [text for text in ("abcdefgh", "token-12", "BEGIN", "secret1", "secret2") if text in shown] == []
    # And something was hidden
    assert "*" in shown


def test_what_is_masked_in_a_log_keeps_its_lines(tmp_path: Path) -> None:
    run("import os; print('key:', os.environ['PEM'], 'done')", tmp_path, env=SEVERAL_LINES)
    log = a_context(tmp_path).log_file.read_text("utf-8")
    assert log.splitlines() == ["key: " + "*" * 19, "*" * 23, "*" * 23, "***", " done"]


def test_a_secret_is_found_wherever_it_stands_in_a_large_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a log that is looked through in small parts, and a secret at every place of them
    monkeypatch.setattr(attempt_log, "CHUNK", 64)
    code = "print(''.join('.' * n + 's3cr3t-one' for n in range(90)))"

    ended = run(code, tmp_path, env={"A": SecretStr("s3cr3t-one")})

    text = a_context(tmp_path).log_file.read_text("utf-8")
    assert "s3cr3t" not in text + ended.tail
    assert text == "".join("." * n + "*" * 10 for n in range(90)) + "\n"


def test_the_task_file_holds_the_task_and_what_it_builds_on(tmp_path: Path) -> None:
    # Given a task with params and a dependency that has a result
    task = Task(id="T2", title="Über", params={"colour": "green"})
    context = a_context(tmp_path, task, attempt=3, dependencies={"T1": Completed(result={"lines": 3})})
    copies = (
        "import os, shutil; of = os.environ.get; "
        "shutil.copy(of('ORCHESTRATOR_TASK_FILE'), of('ORCHESTRATOR_OUTCOME_FILE'))"
    )
    # When a command reads its task file
    outcome = a_runner(copies, tmp_path).perform(context)
    # Then all of it is there
    assert isinstance(outcome, Completed)
    assert isinstance(outcome.result, dict)
    assert outcome.result["feature"] == {"id": "auth", "title": "Login", "description": "", "tags": []}
    assert outcome.result["attempt"] == 3
    assert outcome.result["specialist"] == "reviewer"
    told_task = outcome.result["task"]
    assert isinstance(told_task, dict)
    assert (told_task["title"], told_task["params"]) == ("Über", {"colour": "green"})
    assert outcome.result["dependencies"] == {
        "T1": {
            "status": "completed",
            "summary": "",
            "result": {"lines": 3},
            "handoff": "",
            "tail": "",
            "gates": [],
        }
    }


def test_arguments_reach_the_command_as_they_are(tmp_path: Path) -> None:
    # Given arguments that a shell would do something with
    arguments = ("$HOME", "a b", "; exit 3", "`id`", "*")
    show = (sys.executable, "-S", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *arguments)
    # When the command is run, then they are what they were
    assert json.loads(run(show, tmp_path).tail) == list(arguments)


@pytest.fixture
def _something_to_read() -> Iterator[None]:
    """The test's own standard input has something in it."""
    kept = os.dup(0)
    reading, writing_to = os.pipe()
    os.write(writing_to, b"typed")
    os.dup2(reading, 0)
    yield
    os.dup2(kept, 0)
    for number in (kept, reading, writing_to):
        os.close(number)


@pytest.mark.usefixtures("_something_to_read")
def test_a_command_has_nothing_to_read(tmp_path: Path) -> None:
    # Given a worker whose standard input has something in it, then a command gets none of it
    assert told(tmp_path)["in"] == ""


def test_what_is_there_already_is_closed_to_others(tmp_path: Path) -> None:
    # Given a folder and a log that everybody may read
    (tmp_path / "work" / "T1").mkdir(parents=True, mode=0o755)
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "T1.log"
    log.touch(mode=0o644)
    # When a command is run, then only the worker's user may
    run("", tmp_path)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "work" / "T1").stat().st_mode) == 0o700


def test_a_command_runs_in_a_private_folder_of_its_own(tmp_path: Path) -> None:
    # When a command is run
    seen = told(tmp_path)
    # Then it is in its own folder, which is closed to others, and so are the files in it and the log
    workdir = tmp_path / "work" / "T1"
    assert seen["cwd"] == str(workdir.resolve())
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (workdir, workdir / "task.json", tmp_path / "logs" / "T1.log")
    }
    assert modes == {"T1": 0o700, "task.json": 0o600, "T1.log": 0o600}


def test_a_command_may_run_in_the_project(tmp_path: Path) -> None:
    # Given an operator who wants the command in the project's folder
    project = tmp_path / "project"
    project.mkdir()
    # When it is run there
    seen = told_in_project(project, tmp_path)
    # Then its files are in the task's own folder nevertheless
    assert seen["cwd"] == str(project.resolve())
    assert seen["env"]["ORCHESTRATOR_TASK_FILE"] == str(tmp_path / "work" / "T1" / "task.json")
    assert list(project.iterdir()) == []


def told_in_project(project: Path, folder: Path) -> dict[str, Any]:
    runner = a_runner(TELL, project, in_project=True, limits=Limits(tail=200_000))
    outcome = runner.perform(a_context(folder))
    assert isinstance(outcome, Completed)
    found: dict[str, Any] = json.loads(outcome.tail)
    return found


# The end of a command


def test_a_command_that_ends_well_has_its_last_line_as_summary(tmp_path: Path) -> None:
    # When a command prints to both streams and exits with 0
    outcome = run(
        "import sys; print('one'); sys.stdout.flush(); print(' two \\n\\n', file=sys.stderr)", tmp_path
    )
    # Then it is completed, and the output of both is in the tail and in the log
    assert outcome == Completed(summary="two", tail="one\n two \n\n\n")
    assert (tmp_path / "logs" / "T1.log").read_text() == "one\n two \n\n\n"


def test_a_silent_command_is_completed_without_a_word(tmp_path: Path) -> None:
    assert run("", tmp_path) == Completed()


def test_the_log_holds_everything_and_the_tail_its_end(tmp_path: Path) -> None:
    # Given more output than a tail holds, with colours, and bytes that are no UTF-8
    code = (
        "import sys; w = sys.stdout.buffer.write; w('é'.encode() * 5000); "
        "w(b'\\x1b[1mbold\\x1b[0m\\ttab\\x07\\r\\n\\xff bad\\rend')"
    )
    # When the command is run
    outcome = run(code, tmp_path, limits=Limits(tail=100))
    # Then the tail is the plain end of it, at the limit
    assert outcome.tail == "é" * 82 + "bold\ttab\n\ufffd bad\nend"
    assert len(outcome.tail) == 100
    assert outcome.summary == "end"
    # And the log has every byte
    assert (tmp_path / "logs" / "T1.log").stat().st_size == 10_000 + len(
        b"\x1b[1mbold\x1b[0m\ttab\x07\r\n\xff bad\rend"
    )


def test_a_log_that_is_there_is_added_to(tmp_path: Path) -> None:
    # Given the log of a delivery before
    log = tmp_path / "logs" / "T1.log"
    log.parent.mkdir()
    log.write_text("before\n")
    # When the command is run again, then the tail is its own, and the log has both
    assert run("print('after')", tmp_path).tail == "after\n"
    assert log.read_text() == "before\nafter\n"


PYTEST = "FAILED test_a.py::test_b - assert 1 == 2\n=== 3 failed, 1 passed in 0.12s ===\n"


@pytest.mark.parametrize(
    ("code", "tail", "outcome"),
    [
        (0, "a\nb\n", Completed(summary="b")),
        (0, "x" * 300, Completed(summary="x" * 199 + "…")),
        (75, "the server is busy\n", RetryLater(after=60, reason="the server is busy")),
        (75, "", RetryLater(after=60, reason="exit code 75")),
        (2, "no such file\n\n", Failed(cause=FailureCause.CODE, reason="exit code 2: no such file")),
        (1, "", Failed(cause=FailureCause.CODE, reason="exit code 1")),
        (
            1,
            PYTEST,
            Failed(cause=FailureCause.TESTS, reason="exit code 1: === 3 failed, 1 passed in 0.12s ==="),
        ),
        (1, "1 failed in 0.01s\n", Failed(cause=FailureCause.TESTS, reason="exit code 1: 1 failed in 0.01s")),
        (
            1,
            "Ran 2 tests in 0.1s\n\nFAILED (failures=1)\n",
            Failed(cause=FailureCause.TESTS, reason="exit code 1: FAILED (failures=1)"),
        ),
        (1, "3 failed logins\n", Failed(cause=FailureCause.CODE, reason="exit code 1: 3 failed logins")),
        (
            137,
            "",
            Failed(
                cause=FailureCause.OUT_OF_MEMORY,
                reason="exit code 137 (killed by signal 9; often this is the kernel, which is out of memory)",
            ),
        ),
        (
            -9,
            "",
            Failed(
                cause=FailureCause.OUT_OF_MEMORY,
                reason="killed by signal 9 (SIGKILL; often this is the kernel, which is out of memory)",
            ),
        ),
        (-11, "", Failed(cause=FailureCause.CODE, reason="killed by signal 11 (SIGSEGV)")),
        (-40, "", Failed(cause=FailureCause.CODE, reason="killed by signal 40")),
        (
            -11,
            PYTEST,
            Failed(
                cause=FailureCause.CODE, reason=f"killed by signal 11 (SIGSEGV): {PYTEST.split(chr(10))[1]}"
            ),
        ),
    ],
)
def test_an_exit_code_is_an_outcome(code: int, tail: str, outcome: object) -> None:
    assert by_exit_code(code, tail) == outcome


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("import sys; print('why'); sys.exit(3)", Failed, "exit code 3: why"),
        ("import sys; sys.exit(75)", RetryLater, "exit code 75"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Failed, "killed by signal 9 (SIGKILL; "),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", Failed, "killed by signal 15 (SIGTERM)"),
    ],
)
def test_a_real_ending_is_an_outcome(
    tmp_path: Path, code: str, kind: type[Failed | RetryLater], said: str
) -> None:
    outcome = run(code, tmp_path)
    assert isinstance(outcome, kind)
    assert outcome.reason.startswith(said)


# The report of a command


@pytest.mark.parametrize(
    ("written", "code", "outcome"),
    [
        ('{"lines": 3}', 0, Completed(result={"lines": 3})),
        ("[1, 2]", 0, Completed(result=[1, 2])),
        ('"a text"', 0, Completed(result="a text")),
        ('{"status": "completed", "summary": "done", "result": 5}', 0, Completed(summary="done", result=5)),
        ('{"status": "completed", "tail": "mine"}', 0, Completed(tail="mine")),
        ('{"status": "blocked", "reason": "no key"}', 0, Blocked(reason="no key")),
        (
            '{"status": "blocked", "kind": "missing-information", "reason": "which?"}',
            1,
            Blocked.model_validate({"kind": "missing-information", "reason": "which?"}),
        ),
        ('{"status": "failed", "reason": "2 links broken"}', 0, Failed(reason="2 links broken")),
        (
            '{"status": "failed", "cause": "failing-tests", "reason": "2"}',
            1,
            Failed(cause=FailureCause.TESTS, reason="2"),
        ),
        ('{"status": "failed", "reason": "no", "retry": false}', 1, Failed(reason="no", retry=False)),
        ('{"status": "retry-later", "after": "5m"}', 0, RetryLater(after=300)),
    ],
)
def test_an_outcome_file_is_the_outcome(tmp_path: Path, written: str, code: int, outcome: Any) -> None:
    # When a command writes an outcome file
    found = run(writing(written, code), tmp_path)
    # Then that is the outcome, with the output where it has no tail of its own
    expected_tail = outcome.tail or "last words\n"
    assert found == outcome.model_copy(update={"tail": expected_tail})


@pytest.mark.parametrize("written", ['{"status": "completed"}', '{"lines": 3}'])
def test_a_completed_outcome_does_not_outweigh_a_failing_command(tmp_path: Path, written: str) -> None:
    # When a command says completed, and exits with 4
    outcome = run(writing(written, 4), tmp_path)
    # Then it failed, and the reason says both
    assert outcome == Failed(
        cause=FailureCause.CODE,
        reason="exit code 4: last words; yet its outcome file says completed",
        tail="last words\n",
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "EOF while parsing a value"),
        ("{broken", "key must be a string"),
        ("NaN", "expected value"),
        (
            '{"status": "great"}',
            "the status is 'great'; write one of completed, blocked, failed, retry-later",
        ),
        ('{"status": "cancelled"}', "the status is 'cancelled'"),
        ('{"status": ["completed"]}', "the status is ['completed']"),
        ('{"status": "blocked"}', "reason: Field required"),
        ('{"status": "failed", "reason": "x", "why": 1}', "why: Extra inputs are not permitted"),
        ("[" * 500 + "]" * 500, "recursion limit exceeded"),
        ('"' + "x" * 30_000 + '"', "it is over limits.result (1,000 characters)"),
    ],
)
def test_a_malformed_outcome_file_is_a_failure_that_says_what_is_wrong(
    tmp_path: Path, written: str, said: str
) -> None:
    outcome = run(writing(written), tmp_path, limits=Limits(result=1_000))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("the outcome file cannot be used: ")
    assert said in outcome.reason
    assert outcome.tail == "last words\n"


def test_a_malformed_outcome_file_does_not_hide_the_exit_code(tmp_path: Path) -> None:
    outcome = run(writing("{", 6), tmp_path)
    assert outcome.reason.startswith("the outcome file cannot be used: ")
    assert outcome.reason.endswith("; the command ended with exit code 6")


def test_an_outcome_file_that_is_no_file_is_a_failure(tmp_path: Path) -> None:
    # When a command puts a pipe in the place of its outcome, then nobody waits for somebody to write into it
    outcome = run("import os; os.mkfifo(os.environ['ORCHESTRATOR_OUTCOME_FILE'])", tmp_path)
    assert outcome.reason == "the outcome file cannot be used: it is a link, or no ordinary file"


def test_a_result_over_the_limit_is_a_failure(tmp_path: Path) -> None:
    outcome = run(writing(json.dumps("x" * 1_500)), tmp_path, limits=Limits(result=1_000))
    assert isinstance(outcome, Failed)
    assert "over limits.result (1,000)" in outcome.reason


def test_an_outcome_file_of_an_earlier_delivery_counts_for_nothing(tmp_path: Path) -> None:
    # Given an attempt that was blocked
    assert isinstance(run(writing('{"status": "blocked", "reason": "x"}'), tmp_path), Blocked)
    # When it is delivered again, and the command says nothing, then it is completed
    assert run("print('fine')", tmp_path) == Completed(summary="fine", tail="fine\n")


# Commands that cannot start


def test_a_program_that_is_not_there_is_a_missing_dependency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = run(("no-such-program", "--help"), tmp_path)
    assert outcome == Failed(
        cause=FailureCause.DEPENDENCY,
        reason="cannot start no-such-program: No such file or directory; install it where the worker runs, "
        "or add its folder to the worker's PATH",
    )


def test_a_path_that_is_not_there_is_named_with_its_folder(tmp_path: Path) -> None:
    outcome = run(("./build.sh",), tmp_path)
    assert outcome.cause is FailureCause.DEPENDENCY
    assert outcome.reason.startswith(
        "cannot start ./build.sh: No such file or directory; a relative path is looked"
    )
    assert outcome.reason.endswith(str(tmp_path / "work" / "T1"))


def test_a_project_that_is_gone_is_named(tmp_path: Path) -> None:
    runner = a_runner(("true",), tmp_path / "gone", in_project=True)
    outcome = runner.perform(a_context(tmp_path))
    assert isinstance(outcome, Failed)
    assert f"the folder to run it in, {tmp_path / 'gone'}, is not there" in outcome.reason


def test_a_file_that_is_no_program_is_a_missing_dependency(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a program")
    outcome = run((str(tmp_path / "notes.txt"),), tmp_path)
    assert outcome.cause is FailureCause.DEPENDENCY
    assert outcome.reason == f"cannot start {tmp_path / 'notes.txt'}: Permission denied"


def test_an_environment_that_no_process_can_have_is_a_missing_dependency(tmp_path: Path) -> None:
    outcome = run("", tmp_path, env={"KEY": SecretStr("a\0b")})
    assert outcome == Failed(
        cause=FailureCause.DEPENDENCY, reason=f"cannot start {sys.executable}: embedded null byte"
    )


@pytest.mark.parametrize("place", ["workdir", "log_file"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    # Given a file where a folder should be
    (tmp_path / "disk").write_text("")
    misplaced: dict[str, Any] = {place: tmp_path / "disk" / "T1" / "x"}
    context = a_context(tmp_path, **misplaced)
    # When the command is to run, then the attempt failed before it did anything
    outcome = a_runner(f"open({str(tmp_path / 'trace')!r}, 'w')", tmp_path).perform(context)
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.DEPENDENCY
    assert outcome.reason.startswith(f"cannot write into the folder {tmp_path / 'disk'}")
    assert not (tmp_path / "trace").exists()


def test_a_disk_that_is_full_before_the_command_runs_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        # Given a folder for the attempt where nothing can be written
        context = a_context(tmp_path, workdir=disk / "work")
        context.workdir.mkdir()
        fill(disk / "full")
        # When the command is to run, then the attempt failed before it did anything
        outcome = a_runner(f"open({str(tmp_path / 'trace')!r}, 'w')", tmp_path).perform(context)
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.DEPENDENCY
    assert outcome.reason == f"cannot write into the folder {context.workdir}: No space left on device"
    assert not (tmp_path / "trace").exists()


LIMITED = """
import resource, sys
from pathlib import Path
from tests.specialists.test_command_runner import run
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
print(run(sys.argv[1], Path(sys.argv[2])).model_dump_json())
"""


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (
            "print('x' * 1_000_000)",
            "failed",
            r"exit code \d+.*; nothing more can be written into its log .*: File too",
        ),
        ("import sys; sys.exit('broken')", "failed", r"exit code 1: broken$"),
        ("try: print('x' * 1_000_000, flush=True)\nexcept OSError: import os; os._exit(0)", "completed", ""),
    ],
)
def test_a_failure_tells_of_a_log_that_takes_no_more(
    tmp_path: Path, code: str, status: str, reason: str
) -> None:
    # Given a process whose files may not grow beyond a size, as on a disk that is full
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    outcome = json.loads(done.stdout)
    assert outcome["status"] == status
    assert re.search(reason, outcome.get("reason", ""), re.DOTALL)
    # And nothing is in the log but what the command has written
    assert b"\0" not in (tmp_path / "logs" / "T1.log").read_bytes()


# How it is ended


def test_a_command_over_its_time_is_ended(tmp_path: Path) -> None:
    # Given a command that never ends, and says by what it is ended
    code = """import os, signal
def tell(number, _):
    print(signal.Signals(number).name, flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, tell)
open("is-there", "w")
while True: signal.pause()"""
    # When its time is over, then it is ended, and the outcome says so
    outcome = run(code, tmp_path, timeout=1)
    reached = "SIGTERM\n" if list(tmp_path.rglob("is-there")) else ""
    assert outcome == Failed(cause=FailureCause.TIMEOUT, reason="timed out after 1 s", tail=reached)


def test_a_time_limit_that_the_shell_keeps_is_the_same_timeout(
    tmp_path: Path, a_family: Callable[[str, str], Family]
) -> None:
    # Given a command with a time limit, and a shell whose own clock is a moment ahead
    family = a_family("print('working', flush=True)\n" + WAITS, WAITS)

    def ring() -> bool:
        if family.is_ready():
            raise TimeoutError
        return False

    # When the shell's clock rings, then the outcome is that of the runner's own, with the command's output
    outcome = a_runner(family.code, tmp_path, timeout=PATIENCE).perform(
        a_context(tmp_path, is_cancelled=ring)
    )
    assert outcome == Failed(cause=FailureCause.TIMEOUT, reason="timed out after 60 s", tail="working\n")
    assert family.is_gone()


def test_a_command_within_its_time_is_left_alone(tmp_path: Path) -> None:
    assert run("print('quick')", tmp_path, timeout=PATIENCE).summary == "quick"


def test_a_cancelled_command_is_ended_with_its_children(
    tmp_path: Path, a_family: Callable[[str, str], Family]
) -> None:
    # Given a command with a child
    family = a_family(WAITS, WAITS)
    # When it is cancelled
    outcome = a_runner(family.code, tmp_path).perform(a_context(tmp_path, is_cancelled=family.is_ready))
    # Then both are gone
    assert outcome == Cancelled()
    assert family.is_gone()


def test_a_child_has_time_to_tidy_up(tmp_path: Path, a_family: Callable[[str, str], Family]) -> None:
    # Given a child that tidies up when asked to end, though its parent ends at once
    family = a_family(WAITS, TIDIES)
    # When the command is cancelled
    outcome = a_runner(family.code, tmp_path).perform(a_context(tmp_path, is_cancelled=family.is_ready))
    # Then the child has had its say
    assert outcome == Cancelled(tail="tidied\n")
    assert family.is_gone()


@pytest.mark.parametrize(("parent", "child"), [(IGNORES, WAITS), (WAITS, IGNORES), (IGNORES, IGNORES)])
def test_what_does_not_end_when_asked_is_killed(
    tmp_path: Path, a_family: Callable[[str, str], Family], parent: str, child: str
) -> None:
    # Given a family of which somebody does not listen
    family = a_family(parent, child)
    # When it is cancelled with little grace
    runner = a_runner(family.code, tmp_path, grace=0.1)
    outcome = runner.perform(a_context(tmp_path, is_cancelled=family.is_ready))
    # Then it is gone
    assert outcome == Cancelled()
    assert family.is_gone()


def test_what_a_command_leaves_behind_is_ended(
    tmp_path: Path, a_family: Callable[[str, str], Family]
) -> None:
    # Given a command that ends, and leaves a child in the background
    family = a_family(LEAVES, WAITS)
    # When it is run
    outcome = run(family.code, tmp_path)
    # Then it is completed, and the child is gone
    assert outcome == Completed(summary="done", tail="done\n")
    assert family.is_gone()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_command_does_not_outlive_its_worker(
    tmp_path: Path, a_family: Callable[[str, str], Family], interruption: type[BaseException]
) -> None:
    # Given a command that is running when its worker is told to stop
    family = a_family(WAITS, WAITS)

    def stop() -> bool:
        if family.is_ready():
            raise interruption
        return False

    # When the interruption comes, then it passes on, and the command is gone
    with pytest.raises(interruption):
        a_runner(family.code, tmp_path).perform(a_context(tmp_path, is_cancelled=stop))
    assert family.is_gone()


def test_a_second_interruption_kills_at_once(
    tmp_path: Path, a_family: Callable[[str, str], Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a family that does not listen, and a worker that is interrupted while it waits for it
    family = a_family(IGNORES, IGNORES)
    listen = processes.Tree._listen_to_end

    def interrupted(tree: processes.Tree, patience: float) -> None:
        if patience > PATIENCE:
            raise KeyboardInterrupt
        listen(tree, patience)

    monkeypatch.setattr(processes.Tree, "_listen_to_end", interrupted)
    # When it is cancelled, then the interruption passes on, and the family is gone nevertheless
    with pytest.raises(KeyboardInterrupt):
        a_runner(family.code, tmp_path).perform(a_context(tmp_path, is_cancelled=family.is_ready))
    assert not any(is_running(pid) for pid in family.pids)


def test_a_store_that_does_not_answer_does_not_end_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a store that is away, and a command that goes on until it was asked three times whether it is cancelled
    go = tmp_path / "go"
    asked: list[None] = []

    def away() -> bool:
        asked.append(None)
        if len(asked) == 3:
            go.touch()
        raise errors.RedisUnreachable(url="redis://localhost", cause="no route")

    code = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nprint('done')"
    # When it is run
    outcome = a_runner(code, tmp_path).perform(a_context(tmp_path, is_cancelled=away))
    # Then it is completed, and the log says once that nobody could be asked
    assert isinstance(outcome, Completed)
    assert caplog.text.count("cannot ask whether the attempt is cancelled") == 1


def test_a_context_is_asked_about_once_a_poll(tmp_path: Path) -> None:
    # Given a command that ends at once, and questions that are a minute apart
    asked: list[Context] = []

    def ask() -> bool:
        asked.append(context)
        return True

    context = a_context(tmp_path, is_cancelled=ask)
    # When it is run, then nobody had to be asked
    assert a_runner("print('done')", tmp_path, poll=PATIENCE).perform(context) == Completed(
        summary="done", tail="done\n"
    )
    assert asked == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"#!/bin/sh\r\necho hi\r\n", "Windows"),
        (b"#!/opt/none/python\n", "its first line names /opt/none/python, which is not there"),
        (b"echo hi\n", "its first line names no program to run it with: add one, such as #!/bin/sh"),
    ],
)
def test_a_script_whose_first_line_is_wrong_is_explained(tmp_path: Path, written: bytes, said: str) -> None:
    script = tmp_path / "build.sh"
    script.write_bytes(written)
    script.chmod(0o755)

    outcome = run((str(script),), tmp_path)

    assert isinstance(outcome, Failed)
    assert said in outcome.reason


def test_a_path_that_only_a_shell_expands_is_explained(tmp_path: Path) -> None:
    assert "write the path of the folder" in run(("~/build.sh",), tmp_path).reason
