"""Runs a command where the network is loopback and nothing else: `python -m tests.agents.real.namespace COMMAND…`.

An agent's program that is tried there cannot reach a real model, whatever it has for settings and keys.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

INSIDE = "--inside"
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP of linux/if.h


def launcher() -> list[str]:
    """The command that opens a network namespace: as root, or in a user namespace of its own."""
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def missing() -> str:
    """Why no namespace can be opened here, or nothing."""
    if not sys.platform.startswith("linux") or not shutil.which("unshare"):
        return "there is no `unshare` here (Debian: util-linux)"
    tried = subprocess.run([*launcher(), "true"], capture_output=True, text=True, check=False)
    return f"no network namespace can be opened: {tried.stderr.strip()}" if tried.returncode else ""


def is_inside() -> bool:
    """True where loopback is the only interface."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def bring_up_loopback() -> None:
    """Bring the interface `lo` up. A new namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        name = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(asked, GET_FLAGS, name))[1]
        fcntl.ioctl(asked, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))


def main(arguments: Sequence[str]) -> None:
    """Become the command, in a namespace."""
    if arguments[:1] == [INSIDE]:
        bring_up_loopback()
        os.execvp(arguments[1], list(arguments[1:]))
    if not arguments:
        sys.exit("Name a command: python -m tests.agents.real.namespace COMMAND…")
    if why := missing():
        sys.exit(f"{why}. On Linux, root may, and so may a user where user namespaces are allowed.")
    command = [*launcher(), sys.executable, "-m", "tests.agents.real.namespace", INSIDE, *arguments]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
