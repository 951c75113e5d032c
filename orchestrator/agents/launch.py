"""Makes the program of a run: its command line, its environment, and the files that it reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from orchestrator.agents import command_line, outcome, runtimes
from orchestrator.agents.job import Job, Order
from orchestrator.agents.process import Program
from orchestrator.config import private
from orchestrator.model.usage import Usage, UsageVerdict
from orchestrator.specialists import environment
from orchestrator.specialists.command_files import CommandFiles

SHIPPED = Path(runtimes.__file__).parent
"""The folder of the runtimes that ship, with the files that they name in their variables."""

BRIEF_FILE, SCHEMA_FILE = "brief.md", "outcome.schema.json"
"""Files in the folder of an attempt, for programs that read them."""


def program(
    job: Job,
    order: Order,
    files: CommandFiles,
    stdin: IO[bytes],
    used: Iterable[Usage] = (),
    verdict: UsageVerdict | None = None,
) -> Program:
    """The program of a run.

    Args:
        job: The attempt.
        order: What it is told.
        files: The files of the attempt.
        stdin: An empty file, into which the brief is written if the program reads it there.
        used: What the attempt has used before this run.
        verdict: What is left, as the store has said since the start; None: it has said nothing.

    Raises:
        OSError: A file cannot be written.
    """
    if job.runtime.prompt == "stdin":
        stdin.write(order.brief.encode(errors="replace"))
        stdin.seek(0)
    held = job.place.held
    return Program(
        (*_sandbox(job), *_arguments(job, order, tuple(used), verdict)),
        job.place.folder,
        _environment(job, files),
        stdin,
        held=held.file if held else None,
        grace=job.grace,
        poll=job.poll,
        started=held.note if held else (lambda pid: None),
    )


def remove_brief(job: Job) -> None:
    """Remove the file with the brief, if there is one."""
    (job.context.workdir / BRIEF_FILE).unlink(missing_ok=True)


def _sandbox(job: Job) -> tuple[str, ...]:
    return tuple(word.replace("{folder}", str(job.place.folder)) for word in job.agent.sandbox or ())


def _arguments(
    job: Job, order: Order, used: tuple[Usage, ...], verdict: UsageVerdict | None
) -> tuple[str, ...]:
    runtime, schema = job.runtime, outcome.schema()
    asks_for_schema = any("{schema_file}" in word for word in (*runtime.command, *(runtime.resume or ())))
    return command_line.arguments(
        runtime,
        model=job.model,
        session=order.session,
        resume=order.is_resumed,
        schema=schema,
        schema_file=_written(job, SCHEMA_FILE, json.dumps(schema)) if asks_for_schema else "",
        prompt_file=_written(job, BRIEF_FILE, order.brief) if runtime.prompt == "file" else "",
        folder=str(job.place.folder),
        budget_left=_cost_left(job, used, verdict),
        turns_left=_turns_left(job, used, verdict),
        tools=job.agent.tools,
        unsafe=job.agent.unsafe,
        bare=job.agent.bare,
    )


def _cost_left(job: Job, used: tuple[Usage, ...], verdict: UsageVerdict | None) -> float | None:
    """Dollars that the run may use: as the store said last, else what was left less what the attempt has used."""
    if verdict:
        return verdict.cost_left
    left = job.context.left.cost_left
    return None if left is None else left - sum(each.cost or 0.0 for each in used)


def _turns_left(job: Job, used: tuple[Usage, ...], verdict: UsageVerdict | None) -> int | None:
    if verdict:
        return verdict.turns_left
    turns = job.context.left.turns_left
    return None if turns is None else turns - sum(each.requests for each in used)


def _environment(job: Job, files: CommandFiles) -> dict[str, str]:
    """The least that it needs: of the operator's keys only its own."""
    runtime, given = job.runtime, job.specialist
    return {
        **environment.filter_environment(os.environ, (*runtime.pass_env, *given.pass_env)),
        **{name: value.replace("{shipped}", str(SHIPPED)) for name, value in runtime.env.items()},
        **{name: value.get_secret_value() for name, value in given.env.items()},
        # Of the project it sees what it works on: a worktree of its own, as a rule.
        **files.variables(job.context, job.place.folder),
    }


def _written(job: Job, name: str, text: str) -> str:
    file: Path = job.context.workdir.absolute() / name
    number = private.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(number, "w", encoding="utf-8", errors="replace") as opened:
        opened.write(text)
    return str(file)
