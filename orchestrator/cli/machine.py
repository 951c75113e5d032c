"""up, doctor, init, config: this machine and its settings."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import output, views
from orchestrator.cli.asked import Asked, reports
from orchestrator.config import configuration, private
from orchestrator.config.folder import FILE, FOLDER, find_file
from orchestrator.config.settings import Settings
from orchestrator.config.template import template
from orchestrator.contract.machine_answers import DoctorAnswer, FindingLine, Setting, SettingsAnswer
from orchestrator.model import errors
from orchestrator.report import json_page

if TYPE_CHECKING:
    from orchestrator.model.finding import Finding

POLL_SECONDS = 0.3
LEVEL_STYLES = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "bold red")}


def up(
    flower: Annotated[bool, typer.Option("--flower/--no-flower", help="Flower beside the worker.")] = True,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of Flower.")] = 5555,
) -> None:
    """Run a worker and Flower here until Ctrl-C, with the private Redis if none is configured."""
    from orchestrator.cli import workforce
    from orchestrator.local import processes
    from orchestrator.state import connections

    settings = configuration.load()
    output.tell_what_starts(settings)
    url = connections.redis_url(settings)
    with workforce.ended_by_signals(), contextlib.ExitStack() as stack:
        output.say(f"Redis: {url.shown}")
        children: dict[str, subprocess.Popen[bytes]] = {}
        children["The worker"] = stack.enter_context(processes.worker(settings, name=f"up-{os.getpid()}"))
        stack.enter_context(workforce.hurried(children["The worker"]))
        if flower:
            given = settings.web.secret
            secret = given.get_secret_value() if given else secrets.token_urlsafe(24)
            children["Flower"] = stack.enter_context(processes.flower(settings, port=port, secret=secret))
            output.say(f"Flower: http://127.0.0.1:{port}/features{_way_in(secret)}")
        output.say("Ctrl-C stops all of it.")
        try:
            _attend(settings, children, port)
        except KeyboardInterrupt:
            output.tell(
                "\nStopping. The worker may take 20 s to finish what it is at; Ctrl-C again ends it at once."
            )
        except SystemExit:  # SIGTERM: a service manager asks for the same
            output.tell("Stopping.")


def _way_in(secret: str) -> str:
    """The end of the address of the features: the secret, where Flower asks for no password."""
    has_password = os.environ.get("FLOWER_BASIC_AUTH") or os.environ.get("FLOWER_AUTH")
    return "" if has_password else f"?secret={secret}"


def _attend(settings: Settings, children: Mapping[str, subprocess.Popen[bytes]], port: int) -> None:
    """Return never; raise when a child ends.

    Raises:
        ProcessEnded: A child, or the private Redis, ended by itself.
    """
    from orchestrator.state import embedded

    remedies = {
        "The worker": "What it said is above.",
        "Flower": f"What it said is above. If port {port} is taken: orchestrator up --port {port + 1}",
    }
    while True:
        for name, process in children.items():
            code = process.poll()
            if code is not None:
                raise errors.ProcessEnded(process=name, cause=f"exit code {code}", remedy=remedies[name])
        if settings.is_embedded and embedded.running(settings) is None:
            log = settings.folder / "redis" / "redis.log"
            raise errors.ProcessEnded(
                process="Redis", cause="it does not answer", remedy=f"Its log is {log}."
            )
        time.sleep(POLL_SECONDS)


@reports(limit=50)
def doctor(*, asked: Asked) -> None:
    """Check all that a feature needs to run: settings, Redis, broker, workers, folders. Exit code 1: a problem."""
    from orchestrator.local import doctor as examiner
    from orchestrator.model.finding import Level

    findings = examiner.examine(configuration.load().for_looking())
    if asked.as_json:
        part, left, cursor = json_page.page(findings, asked.limit, asked.after, lambda one: one.name)
        lines = [
            FindingLine(finding=one.name, level=one.level, text=one.text, remedy=one.remedy) for one in part
        ]
        left_out = json_page.left_out(findings=left)
        asked.answer(DoctorAnswer(findings=tuple(lines), left_out=left_out, after=cursor))
    else:
        _show_findings(findings)
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _show_findings(findings: list[Finding]) -> None:
    table = views.table("", "What", "Found")
    for finding in findings:
        sign, style = LEVEL_STYLES[finding.level]
        text = output.inert(finding.text)
        if finding.remedy:
            text.append(f"\n→ {output.inert(finding.remedy).plain}", style="bold")
        table.add_row(Text(f"{sign} {finding.level}", style=style), output.inert(finding.name), text)
    output.show(table)


def init(
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    to_terminal: Annotated[bool, typer.Option("--print", help="Print it, and write no file.")] = False,
) -> None:
    """Write .taskorchestrator/config.yaml here: every setting, its default, and what it is for."""
    if to_terminal:
        typer.echo(template(), nl=False)
        return
    folder = Path.cwd() / FOLDER
    file = folder / FILE
    if file.exists() and not force:
        raise errors.ConfigurationExists(file=file)
    private.make_folder(folder)
    folder.chmod(0o700)  # a folder from before may be open to others, and settings may hold passwords
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, private.FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(template())
    output.say(f"Wrote {file}")
    output.tell("Next: orchestrator doctor")


@reports(limit=50)
def config(*, asked: Asked) -> None:
    """Show every setting in force and where it came from: environment, file or default. Secrets are hidden."""
    file = find_file()
    settings = configuration.load()
    data = configuration.written(file)
    rows = [
        {"setting": ".".join(path), "value": value, "from": configuration.origin(path, data)}
        for path, value in _leaves(settings.model_dump(mode="json"))
    ]
    if asked.as_json:
        part, left, cursor = json_page.page(rows, asked.limit, asked.after, lambda row: row["setting"])
        lines = [Setting(setting=row["setting"], value=row["value"], origin=row["from"]) for row in part]
        asked.answer(
            SettingsAnswer(
                file=str(file or ""),
                folder=str(settings.folder),
                settings=tuple(lines),
                left_out=json_page.left_out(settings=left),
                after=cursor,
            )
        )
        return
    output.say(
        f"File: {file}"
        if file
        else f"File: none; `orchestrator init` writes {settings.folder / 'config.yaml'}"
    )
    table = views.table("Setting", "Value", "From")
    for row in rows:
        style = "" if row["from"] == "default" else "bold"
        table.add_row(*(output.inert(_shown(row[name]), style) for name in ("setting", "value", "from")))
    output.show(table)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting by its path. An empty section is a leaf."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield path, value


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return " ".join(map(str, value)) or "–"
    return str(value) if value != {} else "–"
