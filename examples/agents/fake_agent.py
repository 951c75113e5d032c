#!/usr/bin/env python3
"""An agent without a model: it does what a script says, and speaks as agents' programs do. For examples and tests.

    FAKE_AGENT_SCRIPT=script.json fake_agent.py --model weak --session 6f1c… < brief

The script (JSON, or YAML where PyYAML is installed) has the moves of each run, by task, attempt and model:

    {
      "T1":         [{"write": {"app.py": "print(1)\\n"}}, {"complete": "app.py prints 1"}],
      "T2#1":       [{"fail": "two tests fail"}],
      "T2/strong":  [{"write": {"b.py": ""}}, {"commit": "b"}, {"complete": "done"}],
      "T2#1+":      [{"complete": "asked for its outcome, it gave one"}],
      "*":          [{"complete": "done"}]
    }

`T2#1` is the first attempt at T2, `T2/strong` T2 by the model strong, and a `+` at the end a run that goes on with a
conversation. The most exact entry counts. A run without an outcome at the end of its moves just ends.

Variables: FAKE_AGENT_SCRIPT, the script; FAKE_AGENT_HOME, the folder in which it keeps its conversations.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, NoReturn

PAUSE = 0.02


class Agent:
    """One run.

    Args:
        model: The name of its model.
        session: The id of its conversation.
        brief: What it was told.
        is_resumed: It goes on with a conversation.
    """

    def __init__(self, model: str, session: str, brief: str, is_resumed: bool) -> None:
        self.model, self.session, self.brief, self.is_resumed = model, session, brief, is_resumed
        self.used = {"input": 0, "cached": 0, "output": 0}
        self.cost = 0.0
        self.requests = 0
        self.last = ""
        self.denied: list[dict[str, str]] = []
        self.lingers = False

    def run(self, moves: list[Any]) -> None:
        """Make the moves, and end without an outcome if none of them gave one."""
        self.tell(event="session", id=self.session, model=self.model)
        for move in moves:
            name, given = (move, None) if isinstance(move, str) else next(iter(move.items()))
            getattr(self, f"do_{name}")(given)
        self.end(None)

    def tell(self, **event: Any) -> None:
        """Write an event."""
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    def end(self, outcome: dict[str, Any] | None, failed: bool = False, **more: Any) -> NoReturn:
        """Write the last event, and exit."""
        said = {"text": self.last, "outcome": outcome, "failed": failed, "denied": self.denied, **more}
        self.tell(event="end", usage=self.used, cost=round(self.cost, 6), requests=self.requests, **said)
        if self.lingers:
            self.do_hang(None)
        sys.exit(1 if failed else 0)

    # What it does

    def do_say(self, text: str) -> None:
        """Say something."""
        self.last = text
        self.tell(event="says", text=text)

    def do_tool(self, given: list[str]) -> None:
        """Use a tool: its name, and what it is used on."""
        self.tell(event="tool", name=given[0], on=given[1] if len(given) > 1 else "")

    def do_write(self, files: dict[str, str]) -> None:
        """Write files, by their paths."""
        for path, text in files.items():
            self.do_tool(["Edit", path])
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text, encoding="utf-8")

    def do_append(self, files: dict[str, str]) -> None:
        """Add a text to the end of files."""
        for path, text in files.items():
            self.do_tool(["Edit", path])
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)

    def do_commit(self, message: str) -> None:
        """Commit everything."""
        self.do_tool(["Bash", "git commit"])
        author = ["-c", "user.name=Fake Agent", "-c", "user.email=fake-agent@localhost"]
        subprocess.run(["git", "add", "--all"], check=True)
        subprocess.run(["git", *author, "commit", "--quiet", "--allow-empty", "-m", message], check=True)

    def do_run(self, command: list[str]) -> None:
        """Run a command."""
        self.do_tool(["Bash", " ".join(command)])
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)

    def do_usage(self, given: dict[str, float]) -> None:
        """Make a request to the model: input, cached, output (tokens), cost (dollars)."""
        self.requests += 1
        used = {name: int(given.get(name, 0)) for name in self.used}
        for name, number in used.items():
            self.used[name] += number
        self.cost += given.get("cost", 0.0)
        self.tell(event="usage", request=f"r{self.requests}", usage={**used, "cost": given.get("cost")})

    def do_expect(self, text: str) -> None:
        """Fail unless the brief has a text."""
        if text not in self.brief:
            self.end({"status": "failed", "reason": f"the brief lacks {text!r}"})

    def do_expect_not(self, text: str) -> None:
        """Fail if the brief has a text."""
        if text in self.brief:
            self.end({"status": "failed", "reason": f"the brief has {text!r}"})

    def do_expect_file(self, files: dict[str, str]) -> None:
        """Fail unless files have texts."""
        for path, text in files.items():
            found = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else "(not there)"
            if text not in found:
                self.end({"status": "failed", "reason": f"{path} lacks {text!r}: {found!r}"})

    def do_record(self, path: str) -> None:
        """Write what this run was given into a file that a test reads."""
        facts = {
            "arguments": sys.argv[1:],
            "brief": self.brief,
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
            "pid": os.getpid(),
            "session": self.session,
            "is_resumed": self.is_resumed,
        }
        new = Path(f"{path}.new")
        new.write_text(json.dumps(facts), encoding="utf-8")
        new.rename(path)

    def do_wait_for(self, path: str) -> None:
        """Wait until a file is there."""
        while not Path(path).exists():
            time.sleep(PAUSE)

    def do_sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def do_repeat(self, given: dict[str, Any]) -> None:
        """Make moves again and again: times, moves."""
        for _ in range(given["times"]):
            for move in given["moves"]:
                name, its = (move, None) if isinstance(move, str) else next(iter(move.items()))
                getattr(self, f"do_{name}")(its)

    # How it ends

    def do_outcome(self, outcome: dict[str, Any]) -> None:
        """Give this outcome, as its structured answer."""
        self.end(outcome)

    def do_complete(self, given: str | dict[str, Any]) -> None:
        """It is done: a summary, or the fields of the outcome."""
        fields = {"summary": given} if isinstance(given, str) else given
        self.end({"status": "completed", **fields})

    def do_fail(self, reason: str) -> None:
        """It could not do it."""
        self.end({"status": "failed", "reason": reason})

    def do_block(self, given: str | dict[str, str]) -> None:
        """An obstacle: a reason (technical), or kind and reason."""
        fields = {"kind": "technical", "reason": given} if isinstance(given, str) else given
        self.end({"status": "blocked", **fields})

    def do_ask(self, question: str) -> None:
        """Ask a person."""
        self.end({"status": "blocked", "kind": "missing-information", "reason": question})

    def do_outcome_file(self, outcome: dict[str, Any]) -> None:
        """Write the outcome into its file."""
        Path(os.environ["ORCHESTRATOR_OUTCOME_FILE"]).write_text(json.dumps(outcome), encoding="utf-8")

    def do_outcome_text(self, outcome: dict[str, Any]) -> None:
        """Give the outcome in the last message, as many models do."""
        self.do_say(f"All done.\n\n```json\n{json.dumps(outcome, indent=2)}\n```\n")
        self.end(None)

    # What goes wrong

    def do_hang(self, _: Any) -> None:
        """Say nothing more, and never end."""
        while True:
            time.sleep(600)

    def do_linger(self, _: Any) -> None:
        """Do not exit after the last event."""
        self.lingers = True

    def do_die(self, _: Any) -> None:
        """Be killed."""
        os.kill(os.getpid(), signal.SIGKILL)

    def do_exit(self, code: int) -> None:
        """Exit without a last event: 0 is a lie."""
        sys.exit(code)

    def do_lie(self, text: str) -> None:
        """Say "success" of a run that failed, and exit with 0."""
        self.tell(event="end", text=text, outcome=None, failed=True, subtype="success", usage=self.used)
        sys.exit(0)

    def do_rate_limit(self, seconds: float | None) -> None:
        """The model's limit is reached, for some seconds."""
        resets = None if seconds is None else time.time() + seconds
        self.tell(event="error", text="429: usage limit reached", status=429, resets=resets)
        self.end(None, failed=True, status=429)

    def do_logout(self, _: Any) -> None:
        """It is not logged in."""
        self.tell(event="error", text="401: invalid api key", status=401)
        self.end(None, failed=True, status=401)

    def do_outage(self, _: Any) -> None:
        """The model cannot be reached."""
        self.tell(event="error", text="connection refused")
        self.end(None, failed=True)

    def do_over_budget(self, _: Any) -> None:
        """Its own cap is reached."""
        self.end(None, failed=True, subtype="error_max_budget")

    def do_deny(self, given: list[str]) -> None:
        """A tool is refused: its name, and the command that it was to run."""
        self.denied.append({"tool_name": given[0], "use": given[1] if len(given) > 1 else ""})

    def do_huge(self, size: int) -> None:
        """Write a very long line."""
        sys.stdout.write('{"event": "says", "text": "')
        for _ in range(size // 10_000 + 1):
            sys.stdout.write("x" * 10_000)
        sys.stdout.write('"}\n')
        sys.stdout.flush()

    def do_half(self, text: str) -> None:
        """Write the beginning of a line, and no more of it."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def do_stderr(self, text: str) -> None:
        """Write to the error output."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def do_ignore_sigterm(self, _: Any) -> None:
        """Do not end when asked to."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def do_child(self, path: str) -> None:
        """Start a process that outlives this one and holds its output open; its number goes into a file."""
        code = "import time\nwhile True: time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
        new = Path(f"{path}.new")
        new.write_text(str(child.pid), encoding="ascii")
        new.rename(path)


def moves_of(
    script: dict[str, list[Any]], task: str, attempt: str, model: str, is_resumed: bool
) -> list[Any]:
    """The moves of a run: those of the most exact entry of the script.

    Example:
        >>> moves_of({"T1": ["hang"], "T1#2": ["die"]}, "T1", "2", "weak", False)
        ['die']
    """
    names = [f"{task}#{attempt}/{model}", f"{task}#{attempt}", f"{task}/{model}", task, "*"]
    if is_resumed:
        names = [*(f"{name}+" for name in names), *names]
    return next((script[name] for name in names if name in script), [])


def read_script(file: Path) -> dict[str, Any]:
    """The script, in JSON or YAML."""
    text = file.read_text(encoding="utf-8")
    with contextlib.suppress(ValueError):
        return dict(json.loads(text))
    import yaml

    return dict(yaml.safe_load(text))


def conversation(home: Path, session: str) -> Path:
    """The file that keeps a conversation."""
    return home / f"{session}.json"


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="")
    parser.add_argument("--session", default="", help="the id of a new conversation")
    parser.add_argument("--resume", default="", help="the id of the conversation to go on with")
    parser.add_argument("--budget", default="", help="dollars; the fake does not look at them")
    parser.add_argument("--unsafe", action="store_true")
    parser.add_argument("--allow", action="append", default=[])
    parser.add_argument("--deny", action="append", default=[])
    asked = parser.parse_args()
    brief = sys.stdin.read()
    home = Path(os.environ.get("FAKE_AGENT_HOME") or Path.home() / ".fake-agent")
    home.mkdir(parents=True, exist_ok=True)
    session = asked.resume or asked.session or str(uuid.uuid4())
    file = conversation(home, session)
    here = str(Path.cwd())
    if asked.resume and not (
        file.is_file() and json.loads(file.read_text(encoding="utf-8"))["folder"] == here
    ):
        sys.stderr.write(f"No conversation found with session ID: {session}\n")
        sys.exit(1)
    file.write_text(json.dumps({"folder": here}), encoding="utf-8")
    agent = Agent(asked.model, session, brief, bool(asked.resume))
    task, attempt = os.environ.get("ORCHESTRATOR_TASK_ID", ""), os.environ.get("ORCHESTRATOR_ATTEMPT", "")
    script = read_script(Path(os.environ["FAKE_AGENT_SCRIPT"]))
    agent.run(moves_of(script, task, attempt, asked.model, agent.is_resumed))


if __name__ == "__main__":
    main()
