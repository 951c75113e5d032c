"""The tasks that Celery beat sends (`CELERY_BEAT_SCHEDULE`)."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone
from orchestrator import enqueue

from flows import outbox
from flows.features import closing


@shared_task
def send_outbox():
    outbox.send()


@shared_task
def start_closing():
    """Close yesterday. The key holds its date, so that a second message of beat starts nothing."""
    day = (timezone.localdate() - timedelta(days=1)).isoformat()
    enqueue(closing(day), idempotency_key=f"closing-{day}")
