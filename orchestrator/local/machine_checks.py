"""Checks of this machine: the configuration, the versions, the folders, what Flower would do."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from orchestrator.config.addresses import is_loopback
from orchestrator.config.folder import FILE, OTHERS_WRITE, find_file
from orchestrator.config.settings import Settings
from orchestrator.engine import flower_config
from orchestrator.model.finding import Finding, ok, problem, warning

PACKAGES = ("task-orchestrator", "celery", "kombu", "redis")


def check_configuration(settings: Settings) -> Finding:
    """Find the configuration that is in force, and whether others can write it."""
    file = find_file()
    if file and file.is_file() and file.stat().st_mode & OTHERS_WRITE:
        text = f"{file} is in force, and others can write it: they could choose what workers run"
        return warning("configuration", text, f"See whether all in it is yours, then: chmod go-w {file}")
    if file:
        return ok("configuration", f"{file} is in force")
    return ok("configuration", f"the defaults are in force; there is no {settings.folder / FILE}")


def check_versions() -> Finding:
    """The versions of Python and of the packages."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return ok("versions", f"Python {platform.python_version()}, {packages}")


def check_names(settings: Settings) -> Iterator[Finding]:
    """Files of the project that hide a package, if a worker is started with `celery -A`."""
    project = settings.project
    for name in ("orchestrator", "celery", "kombu", "redis", "pydantic", "yaml"):
        there = PathFinder.find_spec(name, [str(project)])
        installed = sys.modules.get(name) or importlib.import_module(name)
        if there and there.origin and Path(there.origin).resolve() != Path(str(installed.__file__)).resolve():
            yield problem(
                "names",
                f"{there.origin} hides the installed package {name} from `celery -A orchestrator` in {project}",
                "Give it another name, or start workers in another folder, with TASKORCHESTRATOR_CONFIG set.",
            )


def check_logs(settings: Settings) -> Finding:
    """Whether logs can be written."""
    folder = settings.log_folder.absolute()
    there = next(place for place in [folder, *folder.parents] if place.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ok("logs", f"{folder} can be written")
    return problem(
        "logs",
        f"{folder} cannot be written ({there})",
        "Make it writable, or set `logs` to a folder that is.",
    )


def check_roots(settings: Settings) -> Iterator[Finding]:
    """Folders that retention cannot clean, or that others can write."""
    logs, work = settings.log_folder, settings.folder / "work"
    for root in (work,) if settings.logs else (logs, work):
        if root.is_symlink():
            yield warning(
                f"folder {root.name}",
                f"{root} is a link, so nothing behind it is ever removed",
                "Make it a folder; where logs go elsewhere, name that place in `logs`.",
            )
    if logs.is_dir() and logs.stat().st_mode & stat.S_IWOTH:
        yield warning(
            "shared logs",
            f"others can write {logs}: they can keep a log from being written, by making its folder first",
            "Give the user of the workers a folder of its own in it, and name that in `logs`.",
        )


def check_flower(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether Flower would be open to others if it were started in this environment."""
    if environment.get("FLOWER_BASIC_AUTH") or environment.get("FLOWER_AUTH"):
        return
    address = environment.get("FLOWER_ADDRESS", "127.0.0.1")
    if not is_loopback(address):
        yield warning(
            "flower",
            f"FLOWER_ADDRESS is {address}, and there is no password: anyone there can stop workers and tasks",
            "Set FLOWER_BASIC_AUTH=user:password, or unset FLOWER_ADDRESS.",
        )
    if environment.get(flower_config.OPEN_API, "").lower() in flower_config.YES:
        yield warning(
            "flower",
            f"{flower_config.OPEN_API} is set, and there is no password: a web page can start tasks through Flower",
            f"Set FLOWER_BASIC_AUTH=user:password, or unset {flower_config.OPEN_API}.",
        )
