"""A real rabbitmq-server for tests, in a folder and on ports of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from orchestrator.local import processes
from tests.redis_tcp import free_port
from tests.waiting import wait_until

AS_ROOT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The script behind Debian's `rabbitmq-server`, which would become another user, and work in a folder of that."""


def find() -> str | None:
    """The script that starts a server; None: this machine has none."""
    return str(AS_ROOT) if AS_ROOT.exists() else shutil.which("rabbitmq-server")


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The URL of a broker that ends with the block. All that it keeps lies in the folder."""
    script, epmd = find(), shutil.which("epmd")
    assert script is not None
    assert epmd is not None
    folder.mkdir()
    names, port, distribution = (free_port() for _ in range(3))
    config = folder / "rabbitmq.conf"
    config.write_text("loopback_users = none\n", "utf-8")
    environment = {
        **os.environ,
        "HOME": str(folder),  # the cookie
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }
    log = folder / "server.log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        # In the foreground: the one that the server would start outlives it.
        for command in ([epmd], [script]):
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            stack.callback(processes.stop, process)
        wait_until(lambda: "Server startup complete" in log.read_text("utf-8", "replace"))
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
