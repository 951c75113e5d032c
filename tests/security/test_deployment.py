"""The files of deploy/ give each process no more than it needs, and nobody else a way in or out."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
MANIFESTS = [
    document
    for file in sorted((DEPLOY / "k8s").glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text("utf-8"))
]
PODS = [one["spec"]["template"]["spec"] for one in MANIFESTS if "template" in one.get("spec", {})]
POLICIES = {one["metadata"]["name"]: one["spec"] for one in MANIFESTS if one["kind"] == "NetworkPolicy"}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")


def containers(component: str = "") -> list[dict[str, Any]]:
    """The containers of the manifests, or of one component of them."""
    return [one for pod in PODS for one in pod["containers"] if component in one["name"]]


def service_of(unit: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit, "utf-8")
    return dict(parser["Service"])


def secrets_of(container: dict[str, Any]) -> set[str]:
    """The keys of the secret that a container gets."""
    return {one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if "valueFrom" in one}


def test_there_is_something_to_look_at() -> None:
    assert (len(SERVICES), len(PODS), len(UNITS), len(POLICIES)) == (3, 3, 2, 2)


def test_no_process_is_root() -> None:
    """Each process of `deploy/` runs as a user that is not root."""
    users = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert users == [("10001", "10001")]
    assert {name: one.get("user", "the image's") for name, one in SERVICES.items()} == {
        "redis": "redis",
        "worker": "the image's",
        "flower": "10002:10002",
    }
    for pod in PODS:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
    assert all(service_of(unit)["User"] not in ("", "root") for unit in UNITS)


def test_file_systems_are_read_only() -> None:
    """Each process of `deploy/` has a read-only file system."""
    assert all(one["read_only"] is True for one in SERVICES.values())
    assert all(one["securityContext"]["readOnlyRootFilesystem"] is True for one in containers())
    assert all(service_of(unit)["ProtectSystem"] == "strict" for unit in UNITS)


def test_there_are_no_capabilities_and_no_new_privileges() -> None:
    """Each process of `deploy/` has no capabilities and gets no new privileges."""
    for one in SERVICES.values():
        assert (one["cap_drop"], one["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    for container in containers():
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    for unit in map(service_of, UNITS):
        assert (unit["CapabilityBoundingSet"], unit["NoNewPrivileges"]) == ("", "yes")


def test_memory_and_processes_have_an_end() -> None:
    """Each process of `deploy/` has a limit of memory, and where the platform has one for it, of processes."""
    assert all(one["mem_limit"] and one["pids_limit"] for one in SERVICES.values())
    assert all(one["resources"]["limits"]["memory"] for one in containers())
    assert all(service_of(unit)["MemoryMax"] and service_of(unit)["TasksMax"] for unit in UNITS)


def test_no_port_is_open_without_a_password() -> None:
    """No port is open without a password: Redis lets nobody in without one, nor does Flower start."""
    users = (DEPLOY / "users.acl").read_text("utf-8").splitlines()
    assert [line for line in users if line.startswith("user default")] == ["user default off"]
    assert not [line for line in users if line.startswith("user ") and re.search(r"\bnopass\b", line)]
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == {
        "flower": ["127.0.0.1:5555:5555"]
    }
    assert SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    for container in containers():
        if container.get("ports"):
            assert container["name"] in ("redis", "flower")
    assert all("--aclfile" in container["args"][0] for container in containers("redis"))
    (flower,) = containers("flower")
    (password,) = [one for one in flower["env"] if one["name"] == "FLOWER_BASIC_AUTH"]
    assert not password["valueFrom"]["secretKeyRef"].get("optional")


def test_the_worker_and_flower_are_two_users() -> None:
    """The worker and Flower are two users of the machine: each gets its own passwords alone."""
    worker, flower = (service_of(unit) for unit in sorted(UNITS, reverse=True))
    assert worker["User"] != flower["User"]
    assert worker["EnvironmentFile"] != flower["EnvironmentFile"]
    assert {one["StateDirectoryMode"] for one in (worker, flower)} == {"0700"}
    by_name = {one["containers"][0]["name"]: one["securityContext"]["runAsUser"] for one in PODS}
    assert len(set(by_name.values())) == 3
    assert SERVICES["flower"]["user"] == f"{by_name['flower']}:{by_name['flower']}"


@pytest.mark.parametrize("secret", ["REDIS_ADMIN_PASSWORD", "FLOWER_BASIC_AUTH"])
def test_a_worker_gets_no_password_that_it_does_not_need(secret: str) -> None:
    """A worker gets neither the administrator's password of Redis nor Flower's."""
    (worker,) = containers("worker")
    assert secret not in secrets_of(worker)
    assert secret not in (DEPLOY / "systemd" / "worker.example").read_text("utf-8")
    environment = SERVICES["worker"]["environment"]
    assert secret not in environment
    assert not [value for value in environment.values() if value and secret in value]


def test_images_are_named_by_their_digest() -> None:
    """Images of others are named by their digest, so that a tag that moves changes nothing."""
    images = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    images += [one["image"] for one in SERVICES.values()] + [one["image"] for one in containers()]
    theirs = [image for image in images if not image.startswith("task-orchestrator:")]
    assert len(theirs) == 4
    assert [image for image in theirs if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)] == []
    assert len({image for image in theirs if image.startswith("redis")}) == 1


def test_ci_runs_nothing_that_is_not_of_this_repository() -> None:
    """CI runs a script of this repository, and no action of others."""
    assert {path.name for path in (ROOT / ".github").iterdir()} == {
        "ISSUE_TEMPLATE",
        "PULL_REQUEST_TEMPLATE.md",
    }
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.findall(r"\b(curl|wget|docker|npx|pipx|uses:)", script) == []


def test_nothing_leads_out_of_redis() -> None:
    """From Redis no way leads out, and from workers and Flower only those that are named."""
    assert POLICIES["task-orchestrator-redis"]["egress"] == []
    for policy in POLICIES.values():
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    redis, names = POLICIES["task-orchestrator-closed"]["egress"]
    assert redis["to"] == [
        {"podSelector": {"matchLabels": POLICIES["task-orchestrator-redis"]["podSelector"]["matchLabels"]}}
    ]
    assert {port["port"] for port in names["ports"]} == {53}
    networks = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["networks"]
    assert SERVICES["redis"]["networks"] == ["state"]
    assert networks["state"]["internal"] is True
    flower = service_of(DEPLOY / "systemd" / "task-orchestrator-flower.service")
    assert flower["IPAddressDeny"] == "any"


def test_the_redis_of_kubernetes_has_the_users_of_the_file() -> None:
    """On Kubernetes, too, Redis has the users of `users.acl`, and workers are the one with the least rights."""
    (secret,) = [one for one in MANIFESTS if one["kind"] == "Secret"]
    assert secret["stringData"]["TASKORCHESTRATOR_REDIS__URL"].startswith("redis://orchestrator:")
    (redis,) = containers("redis")
    assert "requirepass" not in redis["args"][0]
