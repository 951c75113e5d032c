"""Keys to sign messages with, as the command in the page on security makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from orchestrator.config.schema.servers import Signing


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and its certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    command = f"openssl req -x509 -newkey rsa:3072 -nodes -days 365 -subj /CN={name} -keyout {name}.key -out {name}.crt"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / f"{name}.key", folder / f"{name}.crt"


def make_signing(folder: Path, name: str = "orchestrator") -> Signing:
    """The settings of a process with its own key, which accepts the keys of this folder."""
    key, certificate = make_key(folder, name)
    return Signing(key=key, certificate=certificate, store=str(folder / "*.crt"))
