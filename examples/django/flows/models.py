import uuid

from django.db import models


class OutboxEntry(models.Model):
    """A feature that is to be enqueued. It is written in the transaction whose work it goes on with."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    feature = models.JSONField()
    created = models.DateTimeField(auto_now_add=True)
