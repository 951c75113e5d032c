"""The tasks of the service. They know nothing of features."""

import os
from collections import Counter
from pathlib import Path

from celery import shared_task

INBOX = Path(os.environ.get("INBOX", "inbox"))


@shared_task
def count_words(name: str) -> dict[str, int]:
    """How often each word occurs in a file of the inbox."""
    return dict(Counter((INBOX / name).read_text("utf-8").lower().split()))


@shared_task
def merge(counts: list[dict[str, int]], most: int) -> dict[str, int]:
    """The most frequent words of several files."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common(most))
