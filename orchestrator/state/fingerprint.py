"""A digest of each setting, to compare the configuration of a worker with that of a folder. It reveals no secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from orchestrator.model import words

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.state.workers import Worker

OF_A_MACHINE = {"redis", "logs", "app"}
"""Settings by which this program reaches Redis, its logs and the project's app: they may differ for the same work."""

ROUNDS = 50_000
"""Rounds of the digest of a secret: so slow that nobody can guess the secret by trying."""


def of(settings: Settings) -> dict[str, str]:
    """A digest of each setting that differs from its default.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> sorted(of(Settings(parallelism={"max_parallel_tasks": 2})))[0]
        'parallelism.max_parallel_tasks'
    """
    given = settings.model_dump(exclude_defaults=True, exclude=OF_A_MACHINE)
    return {name: _digest(value) for name, value in _parts(given)}


def _parts(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, value in given.items():
        if isinstance(value, Mapping):
            yield from ((f"{section}.{name}", inner) for name, inner in value.items())
        else:
            yield section, value


def _digest(value: Any) -> str:
    secrets: list[str] = []

    def reveal(found: Any) -> str:
        if isinstance(found, SecretStr):
            secrets.append(found.get_secret_value())
            return secrets[-1]
        return str(found)

    text = json.dumps(value, sort_keys=True, default=reveal).encode("utf-8", "surrogatepass")
    if secrets:
        return hashlib.pbkdf2_hmac("sha256", text, b"orchestrator", ROUNDS).hex()[:16]
    return hashlib.sha256(text).hexdigest()[:16]


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The settings in which two configurations differ.

    Example:
        >>> differences({"imports": "1f", "trust.inline_commands": "2a"}, {"imports": "1f"})
        ['trust.inline_commands']
    """
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def outdated(settings: Settings, workers: Iterable[Worker]) -> dict[str, str]:
    """The workers that were started with another configuration, by name, each with a sentence for people.

    Workers of a version that does not report its configuration are left out.
    """
    telling = [worker for worker in workers if worker.settings]
    mine = of(settings) if telling else {}
    differing = [(worker, differences(worker.settings, mine)) for worker in telling]
    return {
        worker.name: f"{worker.name} (process {worker.pid}) was started with another configuration than this folder "
        f"has now; what differs: {words.some(names)}"
        for worker, names in differing
        if names
    }


REMEDY = (
    "End it (kill PROCESS, on its machine) and start it again: until then its old configuration is in force."
)
