"""A transactional outbox: what a transaction has written is enqueued even if the process dies after the commit."""

import logging

from orchestrator import Client, Feature
from orchestrator.model.errors import BrokerUnreachable, OrchestratorError, RedisUnreachable

from flows.models import OutboxEntry

logger = logging.getLogger(__name__)


def put(feature):
    """Write a feature, in the transaction that is open."""
    OutboxEntry.objects.create(feature=feature.model_dump(mode="json"))


def send():
    """Enqueue what was written. The key makes one feature of an entry that is sent twice."""
    with Client() as client:
        for entry in OutboxEntry.objects.order_by("created"):
            try:
                client.enqueue(Feature.model_validate(entry.feature), idempotency_key=f"outbox-{entry.pk}")
            except BrokerUnreachable:
                pass  # it is stored; a worker sends its messages
            except RedisUnreachable:
                raise
            except (OrchestratorError, ValueError):
                logger.exception("The entry %s of the outbox cannot be enqueued", entry.pk)
                continue
            entry.delete()
