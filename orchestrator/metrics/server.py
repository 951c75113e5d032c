"""The metrics over HTTP, at Flower and at a worker."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import CollectorRegistry

from orchestrator.metrics.collector import FeatureCollector
from orchestrator.model import errors
from orchestrator.state import connections

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

logger = logging.getLogger("orchestrator")

_of_flower: list[FeatureCollector] = []
"""The one that Flower shows: a process has one Flower."""


def collector(settings: Settings) -> FeatureCollector:
    """The metrics of the features under the prefix of these settings.

    Raises:
        NoRedisServer, RedisDidNotStart: No Redis can be started here.
    """
    queues = {settings.queue(name) for name in settings.specialists}
    return FeatureCollector(connections.open_store(settings, at_once=True), queues)


def join_flower(settings: Settings) -> None:
    """Show the metrics at Flower's /metrics, which shows all that prometheus_client has in its own registry."""
    if _of_flower:
        prometheus_client.REGISTRY.unregister(_of_flower.pop())
    _of_flower.append(collector(settings))
    prometheus_client.REGISTRY.register(_of_flower[-1])


class MetricsServer:
    """Serves /metrics at the port of the settings, in the main process of a worker.

    Args:
        settings: The settings; their `metrics.port` is set.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._server: Any = None

    def start(self) -> None:
        """Serve. If the port is taken, say so: the worker works on without it, because any other shows the same."""
        address, port = self.settings.metrics.address, self.settings.metrics.port
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector(self.settings))
        try:
            self._server, _ = prometheus_client.start_http_server(int(port or 0), address, registry)
        except (OSError, OverflowError) as error:
            logger.warning("%s", errors.MetricsPortTaken(port=port, address=address, cause=error))
            return
        # A pool process that is started later must not keep the port from the next worker.
        os.register_at_fork(after_in_child=self._server.socket.close)
        logger.info("Metrics are served at http://%s:%s/metrics", address, port)

    def stop(self) -> None:
        """Give the port back."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
