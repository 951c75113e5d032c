"""The files of deploy/: they parse, and agree with each other, with the settings and with what runs."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from orchestrator.config import configuration
from orchestrator.config.folder import ENV_PREFIX
from orchestrator.config.settings import Settings
from orchestrator.local import redis_checks
from tests.redis_server import chosen_binaries, name_of

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "k8s").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
IMAGE = f"task-orchestrator:{VERSION}"


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def load_all(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text("utf-8")))


def is_a_setting(variable: str) -> bool:
    """A variable is one of Settings, or is read before them."""
    path = variable.removeprefix(ENV_PREFIX).lower().split("__")
    fields = Settings.model_fields
    for name in path:
        if name not in fields:
            return path == ["config"]
        fields = getattr(fields[name].annotation, "model_fields", {})
    return True


def variables_in(text: str) -> set[str]:
    return set(re.findall(rf"\b{ENV_PREFIX}[A-Z_]+", text))


@pytest.mark.parametrize(
    "file", [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".pyc"], ids=str
)
def test_every_variable_that_is_named_is_one_of_the_settings(file: Path) -> None:
    # Given a file of deploy/, when it names variables of ours, then the settings know them all.
    assert [name for name in sorted(variables_in(file.read_text("utf-8"))) if not is_a_setting(name)] == []


def test_the_check_of_variables_knows_a_wrong_one() -> None:
    assert is_a_setting("TASKORCHESTRATOR_REDIS__URL")
    assert not is_a_setting("TASKORCHESTRATOR_REDIS_URL")
    assert not is_a_setting("TASKORCHESTRATOR_REDIS__URI")


class TestConfigYaml:
    def test_is_accepted_and_refuses_commands_in_features(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Given the production example
        for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(DEPLOY / "config.yaml"))
        # When it is loaded
        settings = configuration.load()
        # Then it is valid, nothing runs but what it names, and each specialist can work
        assert settings.inline_commands is False
        assert all(one.command or one.python for one in settings.specialists.values())

    def test_holds_no_secret(self) -> None:
        assert "redis" not in load("config.yaml")
        assert "broker" not in load("config.yaml")

    def test_the_config_map_says_the_same(self) -> None:
        (document,) = load_all(DEPLOY / "k8s" / "configmap.yaml")
        assert document["data"]["config.yaml"] == (DEPLOY / "config.yaml").read_text("utf-8")


class TestDockerfile:
    def test_is_made_of_known_instructions_in_two_stages(self) -> None:
        kinds = [kind for kind, _ in instructions()]
        known = "FROM WORKDIR COPY RUN ENV USER STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"
        assert set(kinds) <= set(known.split())
        assert kinds.count("FROM") == 2

    def test_every_source_is_in_the_repository_and_reaches_the_builder(self) -> None:
        # Given what is copied from the repository
        copies = [shlex.split(rest) for kind, rest in instructions() if kind == "COPY"]
        sources = [source for copy in copies if not copy[0].startswith("--from") for source in copy[:-1]]
        assert sources == ["constraints.txt", "dist", "deploy/entrypoint.sh"]
        # Then it exists, and the ignore file lets it through
        let_through = [
            line[1:]
            for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
            if line.startswith("!")
        ]
        built = {"dist"}  # by `make wheel`
        assert [source for source in sources if source not in built and not (ROOT / source).exists()] == []
        assert [source for source in sources if source.removeprefix("./") not in let_through] == []

    def test_the_final_stage_has_no_root_and_no_compiler(self) -> None:
        every = instructions()
        start = max(index for index, (kind, _) in enumerate(every) if kind == "FROM")
        final = every[start:]
        assert ("USER", "10001:10001") in final
        assert [rest for kind, rest in final if kind == "RUN" and re.search(r"\b(apt|pip|gcc)", rest)] == []

    def test_is_stopped_warmly_and_asks_the_worker_for_its_health(self) -> None:
        every = dict(instructions())
        assert every["STOPSIGNAL"] == "SIGTERM"
        assert 'inspect ping --timeout 10 -d \\"celery@$HOSTNAME\\"' in every["HEALTHCHECK"]

    def test_python_is_one_that_is_supported(self) -> None:
        images = {rest.split()[0].partition("@")[0] for kind, rest in instructions() if kind == "FROM"}
        assert images == {"python:3.12-slim"}

    def test_installs_the_wheel_that_was_built_and_tested_and_no_other(self) -> None:
        build = [rest for kind, rest in instructions() if kind == "RUN"]
        assert "cd dist && sha256sum --check --strict SHA256SUMS" in build
        assert any("--constraint constraints.txt dist/*.whl" in one for one in build)
        assert "orchestrator" not in [
            part for kind, rest in instructions() if kind == "COPY" for part in rest.split()
        ]


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(kind, rest) for kind, _, rest in (line.partition(" ") for line in joined)]


class TestEntrypoint:
    @pytest.mark.parametrize(
        ("given", "runs"),
        [
            ([], "celery -A orchestrator worker --loglevel info"),
            (["worker"], "celery -A orchestrator worker --loglevel info"),
            (["worker", "-Q", "a,b"], "celery -A orchestrator worker --loglevel info -Q a,b"),
            (["flower"], "celery -A orchestrator flower"),
            (["inspect", "ping"], "celery -A orchestrator inspect ping"),
            (["celery", "report"], "celery -A orchestrator report"),
            (["status", "auth"], "orchestrator status auth"),
            (["orchestrator", "doctor"], "orchestrator doctor"),
        ],
        ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
    )
    def test_runs_what_is_asked(self, given: list[str], runs: str, tmp_path: Path) -> None:
        # Given commands that say how they were called
        for name in ("celery", "orchestrator"):
            (tmp_path / name).write_text('#!/bin/sh\necho "${0##*/} $*"\n', "utf-8")
            (tmp_path / name).chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.defpath}"}
        # When the container starts with these arguments
        done = subprocess.run(
            ["sh", str(DEPLOY / "entrypoint.sh"), *given],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        # Then this runs
        assert done.stdout.strip() == runs

    def test_may_be_executed(self) -> None:
        assert os.access(DEPLOY / "entrypoint.sh", os.X_OK)


class TestCompose:
    @pytest.mark.parametrize("service", ["redis", "worker", "flower"])
    def test_a_service_is_hardened_and_comes_back(self, service: str) -> None:
        found = load("compose.yaml")["services"][service]
        assert found["cap_drop"] == ["ALL"]
        assert found["security_opt"] == ["no-new-privileges:true"]
        assert found["read_only"] is True
        assert found["restart"] == "unless-stopped"

    def test_there_is_more_than_one_worker(self) -> None:
        assert load("compose.yaml")["services"]["worker"]["deploy"]["replicas"] >= 2

    def test_secrets_come_from_the_environment_alone(self) -> None:
        # Given every place where a password stands
        text = (DEPLOY / "compose.yaml").read_text("utf-8")
        lines = re.findall(r".*(?:PASSWORD|AUTH|://:).*", text)
        # Then each of them is a variable, and its absence stops the start
        assert lines
        assert [line for line in lines if "${" not in line] == []
        assert [line for line in lines if ":?" not in line] == []

    def test_flower_is_open_to_this_machine_alone(self) -> None:
        assert load("compose.yaml")["services"]["flower"]["ports"] == ["127.0.0.1:5555:5555"]

    def test_what_is_mounted_exists(self) -> None:
        compose = load("compose.yaml")
        mounts = [
            mount.split(":")[0]
            for service in compose["services"].values()
            for mount in service.get("volumes", [])
        ]
        files = [name for name in mounts if name.startswith(".")]
        assert [name for name in files if not (DEPLOY / name).is_file()] == []
        assert {name for name in mounts if not name.startswith(".")} == set(compose["volumes"])

    def test_its_variables_are_in_the_example(self) -> None:
        needed = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text("utf-8")))
        example = (DEPLOY / "env.example").read_text("utf-8")
        assert needed
        assert needed <= set(re.findall(r"^#?(\w+)=", example, re.MULTILINE))

    def test_the_image_is_the_one_of_this_version(self) -> None:
        services = load("compose.yaml")["services"]
        assert {services[name]["image"] for name in ("worker", "flower")} == {IMAGE}


@pytest.mark.skipif(not shutil.which("awk"), reason="there is no awk here")
@pytest.mark.parametrize("where", ["compose", "k8s"])
def test_no_password_is_an_argument_and_the_users_file_has_them(where: str, tmp_path: Path) -> None:
    # Given the command of its Redis, with its files elsewhere, and a redis-server that says how it was called
    given, variables = redis_of(where)
    assert variables == {"ORCHESTRATOR", "ADMIN", "REDISCLI_AUTH"}
    script = given.replace(" /tmp/", f" {tmp_path}/").replace("/usr/local/etc/redis", str(DEPLOY))
    (tmp_path / "redis-server").write_text('#!/bin/sh\necho "$*"\n', "utf-8")
    (tmp_path / "redis-server").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "ORCHESTRATOR": "usersecret",
        "ADMIN": "adminsecret",
    }
    # When it runs
    done = subprocess.run(["sh", "-ec", script], env=environment, capture_output=True, text=True, check=True)
    # Then the passwords are in the users' file, which is private, and nowhere else
    assert "secret" not in done.stdout
    assert f"--aclfile {tmp_path}/users.acl" in done.stdout
    users = tmp_path / "users.acl"
    assert users.stat().st_mode & 0o077 == 0
    lines = users.read_text("utf-8").splitlines()
    assert [line.split()[1] for line in lines] == ["default", "orchestrator", "admin"]
    assert lines[0] == "user default off"
    assert lines[1].startswith("user orchestrator on >usersecret resetkeys ")
    assert lines[2].startswith("user admin on >adminsecret ")


def redis_of(where: str) -> tuple[str, set[str]]:
    """The shell script by which Redis starts, and the names of the passwords in its environment."""
    if where == "compose":
        service = load("compose.yaml")["services"]["redis"]
        assert all("${" not in part for part in service["command"])
        return service["command"][2], set(service["environment"])
    (workload,) = [one for one in workloads() if one["kind"] == "StatefulSet"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return container["args"][0], {one["name"] for one in container["env"]}


def bytes_of(size: str) -> int:
    """Bytes of 1gb (Redis), 1536m (compose) and 1536Mi (Kubernetes), which mean the same powers of two."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", size).groups()  # type: ignore[union-attr]
    return int(int(number) * 1024 ** {"k": 1, "m": 2, "g": 3}[unit[0].lower()])


def test_full_memory_is_met_by_redis_before_the_limit_of_its_container() -> None:
    # Given maxmemory, at which Redis refuses work, and what the container may have, at which it is killed
    conf = (DEPLOY / "redis.conf").read_text("utf-8")
    own = bytes_of(re.findall(r"^maxmemory (\w+)", conf, re.MULTILINE)[0])
    (workload,) = [one for one in workloads() if one["kind"] == "StatefulSet"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    limits = [
        container["resources"]["limits"]["memory"],
        load("compose.yaml")["services"]["redis"]["mem_limit"],
    ]
    # Then there is room for a rewrite of the file
    assert [limit for limit in limits if own > bytes_of(limit) * 2 // 3] == []


@pytest.mark.real
class TestRedisConf:
    @pytest.mark.parametrize("binary", chosen_binaries(), ids=name_of)
    def test_a_redis_starts_with_it_and_the_doctor_is_content(self, binary: str, tmp_path: Path) -> None:
        # Given a redis-server with this configuration and a password
        with served(binary, tmp_path) as client:
            # When the doctor looks at it
            findings = {
                finding.name: finding for finding in redis_checks.check_redis(client, Settings(), "redis://")
            }
        # Then it is content, and everything is written to the disk
        findings.pop("lua", None)  # of the version, not of the file
        assert {name: one.text for name, one in findings.items() if one.level != "ok"} == {}
        assert "appendonly yes" in findings["persistence"].text
        assert findings.keys() >= {"redis", "eviction", "persistence"}


@contextlib.contextmanager
def served(binary: str, folder: Path) -> Iterator[redis.Redis]:
    port = free_port()
    command = [binary, str(DEPLOY / "redis.conf"), "--port", str(port), "--requirepass", "trial"]
    log = folder / "redis.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        retry = Retry(ConstantBackoff(0.05), 400)
        with redis.Redis(port=port, password="trial", retry=retry, decode_responses=True) as client:
            assert client.ping(), log.read_text("utf-8")
            yield client
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class TestSystemd:
    @pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
    def test_a_unit_is_hardened_and_stops_warmly(self, unit: Path) -> None:
        service = service_section(unit)
        assert service["ProtectSystem"] == "strict"
        assert service["NoNewPrivileges"] == "yes"
        user = "task-orchestrator" + ("-flower" if "flower" in unit.name else "")
        assert service["User"] == service["Group"] == service["StateDirectory"] == user
        assert service["StateDirectoryMode"] == "0700"
        assert service["UMask"] == "0077"
        assert service["KillMode"] == "mixed"
        assert service["KillSignal"] == "SIGTERM"

    def test_a_worker_has_as_long_to_stop_as_in_a_container(self) -> None:
        (deployment,) = load_all(DEPLOY / "k8s" / "worker.yaml")
        grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        unit = service_section(DEPLOY / "systemd" / "task-orchestrator-worker@.service")
        compose = load("compose.yaml")["services"]["worker"]
        assert [unit["TimeoutStopSec"], compose["stop_grace_period"], grace] == ["10min", "10m", 600]

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
    @pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
    def test_systemd_finds_no_fault(self, unit: Path, tmp_path: Path) -> None:
        # Given the unit as an instance, with a program that exists on this machine
        copy = tmp_path / unit.name.replace("@.", "@a.")
        text = unit.read_text("utf-8").replace("/opt/task-orchestrator/bin/celery", sys.executable)
        copy.write_text(text, "utf-8")
        # When systemd reads it
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
        )
        # Then it has nothing to say of it
        assert [line for line in done.stderr.splitlines() if copy.name in line] == []


def service_section(unit: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit, "utf-8")
    return parser["Service"]


class TestKubernetes:
    @pytest.mark.parametrize("file", MANIFESTS, ids=lambda path: path.name)
    def test_a_manifest_has_its_head(self, file: Path) -> None:
        for document in load_all(file):
            assert document["apiVersion"]
            assert document["kind"]
            assert document["metadata"]["name"].startswith("task-orchestrator")

    def test_the_config_map_of_redis_says_the_same_as_the_files(self) -> None:
        (document,) = [one for one in load_all(DEPLOY / "k8s" / "redis.yaml") if one["kind"] == "ConfigMap"]
        for name in ("redis.conf", "users.acl"):
            assert document["data"][name] == (DEPLOY / name).read_text("utf-8")

    def test_the_labels_of_a_pod_are_those_that_are_looked_for(self) -> None:
        for workload in workloads():
            labels = workload["spec"]["template"]["metadata"]["labels"]
            assert workload["spec"]["selector"]["matchLabels"] == labels
        pods = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads()]
        services = [
            document for file in MANIFESTS for document in load_all(file) if document["kind"] == "Service"
        ]
        assert len(services) == 2
        assert [one["metadata"]["name"] for one in services if one["spec"]["selector"] not in pods] == []

    def test_containers_are_hardened(self) -> None:
        for workload in workloads():
            pod = workload["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            # A Service's variables, such as FLOWER_PORT=tcp://…, would be taken for options.
            assert pod["enableServiceLinks"] is False
            for container in pod["containers"]:
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["readOnlyRootFilesystem"] is True
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert container["resources"]["limits"]["memory"]
                assert container["livenessProbe"]

    def test_redis_is_reached_by_our_pods_alone_and_has_no_password_among_its_arguments(self) -> None:
        policies = {
            one["metadata"]["name"]: one["spec"] for one in load_all(DEPLOY / "k8s" / "networkpolicy.yaml")
        }
        redis, closed = policies["task-orchestrator-redis"], policies["task-orchestrator-closed"]
        labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads()]
        assert redis["podSelector"]["matchLabels"] in labels
        assert redis["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"app": "task-orchestrator"}}}]
        assert "ingress" not in closed
        (named,) = closed["podSelector"]["matchExpressions"]
        assert {one["component"] for one in labels} == {"redis", *named["values"]}
        text = (DEPLOY / "k8s" / "redis.yaml").read_text("utf-8")
        assert "$(REDIS_PASSWORD)" not in text

    def test_what_is_mounted_is_declared(self) -> None:
        for workload in workloads():
            pod = workload["spec"]["template"]["spec"]
            claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
            volumes = {volume["name"] for volume in pod.get("volumes", [])} | set(claims)
            mounts = {mount["name"] for one in pod["containers"] for mount in one["volumeMounts"]}
            assert mounts == volumes

    def test_a_required_secret_is_in_the_example_which_holds_none(self) -> None:
        (secret,) = load_all(DEPLOY / "k8s" / "secret.example.yaml")
        given = secret["stringData"]
        references = [
            variable["valueFrom"]["secretKeyRef"]
            for workload in workloads()
            for container in workload["spec"]["template"]["spec"]["containers"]
            for variable in container["env"]
            if "valueFrom" in variable
        ]
        required = {reference["key"] for reference in references if not reference.get("optional")}
        assert {reference["name"] for reference in references} == {secret["metadata"]["name"]}
        assert required == set(given)
        assert all("CHANGE-ME" in value for value in given.values())

    def test_the_image_is_the_one_of_this_version(self) -> None:
        images = {
            container["image"]
            for workload in workloads()
            for container in workload["spec"]["template"]["spec"]["containers"]
        }
        assert images == {IMAGE, load("compose.yaml")["services"]["redis"]["image"]}


def workloads() -> list[dict[str, Any]]:
    found = [
        document
        for file in MANIFESTS
        for document in load_all(file)
        if document["kind"] in ("Deployment", "StatefulSet")
    ]
    assert len(found) == 3
    return found
