"""The cost of a task in Redis, and of a command, in instructions: a busy machine does not change these. Linux only.

    apt install valgrind
    python -m benchmarks.instructions

Callgrind counts them while Redis runs 10 x 100 no-op tasks of ours, and from the start of `orchestrator status` to its
end. Both run some fifty times slower meanwhile, so that no time means anything here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.graphs import layered
from benchmarks.rig import Rig, environment, rig
from orchestrator.state import redis_binary

LAYERS, WIDTH = 10, 100
COUNT = ("valgrind", "--tool=callgrind")
WRAPPER = """#!/bin/sh
[ "$1" = --version ] && exec {server} --version
exec {count} --instr-atstart=no --callgrind-out-file={found} {server} "$@" 2>/dev/null
"""


def main() -> None:
    """Count, and print."""
    if not shutil.which(COUNT[0]):
        sys.exit("valgrind counts the instructions, and is not installed: apt install valgrind")
    with tempfile.TemporaryDirectory() as folder, _counted_redis(Path(folder)) as found, rig() as made:
        server: Any = made.redis.info("server")
        for part, strategy in enumerate(("batched", "dataflow"), start=1):
            _control(server["process_id"], "--instr=on")
            made.run(layered(LAYERS, WIDTH, strategy=strategy))
            _control(server["process_id"], "--instr=off")
            _control(server["process_id"], "--dump")
            counted = _total(found.with_name(f"{found.name}.{part}"))
            print(f"Redis, {strategy}: {counted / LAYERS / WIDTH / 1e3:,.0f} thousand instructions a task")
        for name, command in _commands(made).items():
            print(f"{name}: {_whole(command, made.folder) / 1e6:,.0f} million instructions")


@contextlib.contextmanager
def _counted_redis(folder: Path) -> Iterator[Path]:
    """The Redis that is started inside runs under callgrind, which writes into files of this name."""
    found, wrapper = folder / "redis.callgrind", folder / "redis-server"
    wrapper.write_text(
        WRAPPER.format(server=redis_binary.find(), count=" ".join(COUNT), found=found), "utf-8"
    )
    wrapper.chmod(0o755)
    with environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"):
        yield found


def _control(process: int, order: str) -> None:
    subprocess.run(("callgrind_control", order, str(process)), capture_output=True, check=True)


def _total(file: Path) -> int:
    return int(re.findall(r"^(?:totals|summary): (\d+)$", file.read_text("utf-8"), re.M)[-1])


def _commands(made: Rig) -> dict[str, list[str]]:
    feature = made.run(layered(10, 20)).id
    program = str(Path(sys.executable).parent / "orchestrator")
    imports = ("typer, pydantic", "redis", "pydantic_settings")
    return {"orchestrator status": [program, "status", feature]} | {
        f"import {names}": ["-c", f"import {names}"] for names in imports
    }


def _whole(command: list[str], folder: Path) -> int:
    """The instructions of a program of Python from its start to its end, its modules compiled as pip compiles them."""
    settled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settled["PYTHONHASHSEED"] = "0"
    subprocess.run((sys.executable, *command), cwd=folder, env=settled, capture_output=True, check=True)
    counted = (*COUNT, f"--callgrind-out-file={os.devnull}", sys.executable, *command)
    said = subprocess.run(counted, cwd=folder, env=settled, capture_output=True, text=True, check=True).stderr
    return int(re.findall(r"Collected : (\d+)", said)[-1])


if __name__ == "__main__":
    main()
