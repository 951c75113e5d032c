"""Redis behind TLS, for a user who may do no more than is needed: the file of deploy/, with real workers."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import gethostname

import pytest
import redis

from orchestrator.model.feature import Feature, FeatureStatus
from tests.acceptance.conftest import PATIENCE, Project, open_project
from tests.redis_tcp import NoTLS, free_port, serve_tcp, tls_in_front

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to make certificates with"),
]

CANVAS = """
from orchestrator import Feature, Task, plan
tasks = [Task(id="a", run="echo 1"), Task(id="b", run="echo 2"), Task(id="c", run="echo 3", depends_on=["a", "b"])]
print(plan(Feature(title="Login", tasks=tasks)).canvas().apply_async().get(timeout=60)["status"])
"""
USERS = Path(__file__).parents[2] / "deploy" / "users.acl"


def certificates(folder: Path) -> Path:
    """Make a CA, and a certificate by it for 127.0.0.1: ca.crt, redis.crt, redis.key."""
    folder.mkdir(parents=True)
    address = f"subjectAltName=IP:{ipaddress.ip_address('127.0.0.1')}"
    (folder / "san.cnf").write_text(address, "utf-8")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=Trial CA", "-keyout", "ca.key", "-out", "ca.crt"],
        [*new, "-subj", "/CN=127.0.0.1", "-keyout", "redis.key", "-out", "redis.csr"],
        ["openssl", "x509", "-req", "-in", "redis.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
         "-days", "2", "-extfile", "san.cnf", "-out", "redis.crt"],
    ):  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Project, str, str]]:
    """A project on a Redis with TLS alone and the users of deploy/; the URLs of its user and of the administrator."""
    keys = certificates(tmp_path / "keys")
    acl = (
        USERS.read_text("utf-8")
        .replace("CHANGE-ME-TOO", "admin-password")
        .replace("CHANGE-ME", "user-password")
    )
    lines = [line for line in acl.splitlines() if line and not line.startswith("#")]
    (tmp_path / "users.acl").write_text("\n".join(lines) + "\n", "utf-8")
    port = free_port()
    end = f"127.0.0.1:{port}/0?ssl_ca_certs={keys / 'ca.crt'}"
    user, admin = f"rediss://orchestrator:user-password@{end}", f"rediss://admin:admin-password@{end}"
    tls = [
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {keys / 'redis.crt'}",
        f"tls-key-file {keys / 'redis.key'}",
        f"tls-ca-cert-file {keys / 'ca.crt'}",
        "tls-auth-clients no",
    ]
    configuration = ["appendonly yes", f"aclfile {tmp_path / 'users.acl'}"]
    with ExitStack() as stack:
        try:
            stack.enter_context(serve_tcp(tmp_path / "server", *tls, *configuration, ready=admin))
        except NoTLS:
            behind = free_port()
            ready = f"redis://admin:admin-password@127.0.0.1:{behind}/0"
            stack.enter_context(serve_tcp(tmp_path / "plain", f"port {behind}", *configuration, ready=ready))
            stack.enter_context(tls_in_front(port, behind, keys / "redis.crt", keys / "redis.key"))
        yield stack.enter_context(open_project(tmp_path, redis={"url": user})), user, admin


def test_a_feature_runs_over_tls_with_the_least_rights(secured: tuple[Project, str, str]) -> None:
    # Given a worker that reaches its Redis over TLS, as the user of deploy/users.acl
    project, _, admin = secured
    worker = project.start_worker("one", "-c", "2", "-E")

    # When features run: dataflow and batched, with a retry, a pause and a plain Celery canvas among them
    def run(**fields: object) -> FeatureStatus:
        tasks = [
            {"id": "T1", "run": "echo 1", "tags": ["backend"]},
            {"id": "T2", "run": "echo 2", "tags": ["bug"], "depends_on": ["T1"]},
            {"id": "T3", "run": "echo 3", "tags": ["planning"], "depends_on": ["T1"]},
            {
                "id": "T4",
                "run": "false",
                "tags": ["feature-creation"],
                "depends_on": ["T2", "T3"],
                "retries": 1,
            },
        ]
        handle = project.enqueue(Feature.model_validate({"title": "Login", "tasks": tasks, **fields}))
        return handle.wait(PATIENCE).status

    assert run() is run(strategy="dataflow") is FeatureStatus.BLOCKED
    ran = project.run("python", "-c", CANVAS)
    assert ran.stdout.strip() == "completed", ran.stderr
    for command in (["status"], ["retry", "--help"], ["doctor"]):
        ran = project.run("orchestrator", *command)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "refused" not in ran.stdout.replace("refused messages", "").replace("have refused none", "")
    ping = project.run(
        "celery", "-A", "orchestrator", "inspect", "--timeout", "60", "-d", f"one@{gethostname()}", "ping"
    )
    assert "pong" in ping.stdout, ping.stdout + ping.stderr
    assert worker.poll() is None

    # Then nothing that it asked for was beyond its rights
    with redis.Redis.from_url(admin, decode_responses=True) as server:
        beyond = [(entry["reason"], entry["object"]) for entry in server.acl_log()]
    assert beyond == []


def test_that_user_may_not_do_more(secured: tuple[Project, str, str]) -> None:
    """It cannot list the keys of others, read the server's configuration, run a script by `EVAL`, change or stop it."""
    _, user, _ = secured
    with redis.Redis.from_url(user) as server:
        server.set("to:x", "1")
        for command in (
            "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET dir /tmp", "SHUTDOWN NOSAVE", "ACL LIST",
            "SET another 1", "GET another", "MODULE LIST", "SAVE", "REPLICAOF 127.0.0.1 1", "MONITOR", "CLIENT LIST",
            "PUBLISH another x", "MIGRATE 127.0.0.1 1 to:x 0 1", "SCRIPT FLUSH", "FUNCTION LIST", "SWAPDB 0 1",
            "SCAN 0", "RANDOMKEY", "DBSIZE", "CONFIG GET masterauth", "CONFIG GET *", "EVAL return 0",
        ):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                server.execute_command(*command.split())


def test_who_has_no_name_or_does_not_check_the_certificate_is_out(secured: tuple[Project, str, str]) -> None:
    _, user, _ = secured
    nameless = user.replace("orchestrator:user-password@", "")
    with redis.Redis.from_url(nameless) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()
    with (
        redis.Redis.from_url(user.split("?")[0]) as stranger,
        pytest.raises(redis.ConnectionError, match="certificate"),
    ):
        stranger.ping()
