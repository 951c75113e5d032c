"""Records what the real programs print: `make agent-streams`, or with names `… record [PROGRAM [CASE…]]`.

For each case: `tests/agents/streams/PROGRAM-CASE.jsonl`, its standard output, and `PROGRAM-CASE.yaml`, how it was
launched and how it ended. Ids, times and paths are made neutral, so that a second recording differs only where the
program does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from tests.agents.real.cases import CASES, SCHEMA, Case
from tests.agents.real.namespace import is_inside
from tests.agents.real.programs import CLAUDE, CODEX, GEMINI, PROGRAMS, ROOT, Program
from tests.agents.real.stub import Stub

STREAMS = Path(__file__).resolve().parents[1] / "streams"
PROMPT = "Write greet.py. End with your outcome as JSON."
PATIENCE = 90.0
QUIET = 1.5
NO_SESSION = "11111111-2222-4333-8444-555555555555"


class Recorder:
    """Runs the cases of one program, each in a home and a folder of its own, or in those of what it resumes."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.sessions: dict[str, str] = {}

    def record(self, case: Case) -> None:
        """Run a case and write down what was seen."""
        place = self.folder / (case.resumes or case.name)
        home, work = place / "home", place / ("elsewhere" if case.elsewhere else "work")
        for made in (home, work):
            made.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q"], cwd=work, check=True)
        with Stub(case.script) as stub:
            api = "http://127.0.0.1:9" if case.refused else stub.url
            command = self._command(case, work)
            environment = self.program.settle(home, api)
            code, printed, error = _run(case, command, work, environment, stub)
            sent = [stub.script[min(at, len(stub.script) - 1)] for at in range(len(stub.asked))]
        self.sessions[case.name] = _session(printed)
        used = [asdict(answer.usage) for answer in sent if not (answer.is_trouble or answer.hang)]
        names = {str(work): "/work/project", str(place): "/home/agent", str(ROOT): "/opt"}
        neutral = Neutral({**names, api.removeprefix("http://"): "127.0.0.1:1"})
        name = f"{self.program.name}-{case.name}"
        (STREAMS / f"{name}.jsonl").write_text(neutral(printed))
        told: dict[str, Any] = {
            "says": case.says,
            "runtime": self.program.name,
            "version": self.program.version,
            "command": [neutral(word) for word in command],
            "exit": code,
            "asked": len(sent),
            "sent": {key: sum(each[key] for each in used) for key in used[0]} if used else {},
            "stderr": neutral(error)[-3_000:],
        }
        (STREAMS / f"{name}.yaml").write_text(
            yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120)
        )
        print(f"{name}: exit {code}, {len(stub.asked)} requests, {len(printed.splitlines())} lines")

    def _command(self, case: Case, work: Path) -> list[str]:
        session = self.sessions.get(case.resumes, NO_SESSION) if case.resumes else ""
        launched = self.program.launch(session, is_resumed=bool(case.resumes))
        return launched + options(self.program, case, work)


def options(program: Program, case: Case, work: Path) -> list[str]:
    """What a case adds to the command of a program."""
    if program is CLAUDE:
        added = ["--allowedTools", "Edit,Bash(echo *)"]
        added += ["--json-schema", json.dumps(SCHEMA)] if case.wants_schema else []
        added += ["--include-partial-messages"] if case.partial else []
        added += ["--max-budget-usd", str(case.budget)] if case.budget else []
        return added + (["--max-turns", str(case.turns)] if case.turns else [])
    if program is CODEX:
        schema = work.parent / "schema.json"
        schema.write_text(json.dumps(SCHEMA))
        return [*(["--output-schema", str(schema)] if case.wants_schema else []), "-"]
    return ["--allowed-tools", "run_shell_command(echo)"] if program is GEMINI else []


def _session(printed: str) -> str:
    """The id of the conversation, wherever the program says it."""
    found = re.search(r'"(?:session_id|thread_id|sessionID)":"([^"]+)"', printed)
    return found[1] if found else NO_SESSION


def _run(
    case: Case, command: list[str], work: Path, environment: dict[str, str], stub: Stub
) -> tuple[int, str, str]:
    out, err = work.parent / f"{case.name}.out", work.parent / f"{case.name}.err"
    with out.open("w") as printed, err.open("w") as error:
        # A group of its own: codex and gemini are a launcher of node and the program itself.
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=error,
            text=True,
            start_new_session=True,
        )
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(PROMPT)
            process.stdin.close()
        if case.ends:
            _wait_for_quiet(stub, case.at, out, process)
            _signal(process, case.ends)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            print(f"{command[0]} still ran after {PATIENCE:.0f} s in case {case.name}", file=sys.stderr)
        finally:
            _signal(process, signal.SIGKILL)
            process.wait()
    return process.returncode, out.read_text(), err.read_text()


def _signal(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait_for_quiet(stub: Stub, asked: int, printed: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the model was asked so often, and what the program printed no longer grows."""
    until, size, since = time.monotonic() + PATIENCE, -1, time.monotonic()
    while time.monotonic() < until and process.poll() is None:
        if len(stub.asked) < asked or printed.stat().st_size != size:
            size, since = printed.stat().st_size, time.monotonic()
        elif time.monotonic() - since > QUIET:
            return
        time.sleep(0.05)


class Neutral:
    """Replaces what differs from run to run: paths, ids, moments, durations. The same id gets the same name again."""

    def __init__(self, replaced: dict[str, str]) -> None:
        self.replaced = replaced
        self.names: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        text = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", self._uuid, text)
        text = re.sub(r"\b(ses|msg|prt)_[0-9a-f]{12}\w{14}\b", self._id, text)
        text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-01T00:00:00.000Z", text)
        text = re.sub(r"(?<![.\d])1[789]\d{11}(?!\d)", "1767225600000", text)
        text = re.sub(r"20\d\d-\d\d-\d\dT\d\d-\d\d-\d\d-\d+Z", "2026-01-01T00-00-00-000Z", text)
        text = re.sub(r'("(?!retry_delay_ms)\w+_ms": ?)\d+', r"\g<1>100", text)
        text = re.sub(r'("retry_delay_ms": ?)\d+\.\d+', r"\g<1>500", text)
        return re.sub(r"\b\d+(\.\d+)?(?= ?ms\b)", "100", text)

    def _uuid(self, found: re.Match[str]) -> str:
        return self.names.setdefault(found[0], f"00000000-0000-4000-8000-{len(self.names) + 1:012}")

    def _id(self, found: re.Match[str]) -> str:
        return self.names.setdefault(found[0], f"{found[1]}_{len(self.names) + 1:04}")


def chosen(program: Program, names: Iterable[str]) -> Iterator[Case]:
    """The cases of a program that are asked for, with those that they resume; else all."""
    wanted = set(names)
    wanted |= {case.resumes for case in CASES if case.name in wanted}
    for case in CASES:
        if (not wanted or case.name in wanted) and (not case.only or program.name in case.only):
            yield case


def main(arguments: list[str]) -> None:
    """Record the cases of a program, or of all."""
    if not is_inside():
        sys.exit("Run it where only loopback is: python -m tests.agents.real.namespace COMMAND…")
    for name in arguments[:1] or list(PROGRAMS):
        with tempfile.TemporaryDirectory(prefix="agent-") as folder:
            recorder = Recorder(PROGRAMS[name], Path(folder))
            for case in chosen(PROGRAMS[name], arguments[1:]):
                recorder.record(case)


if __name__ == "__main__":
    main(sys.argv[1:])
