"""The features of the service."""

from collections.abc import Sequence

from orchestrator import Feature, Task

from digests.tasks import count_words, merge


def digest(files: Sequence[str], most: int) -> Feature:
    """Counts the words of each file, and keeps the most frequent ones of all."""
    counts = [
        Task(id=f"count-{number}", call=count_words, args=[file]) for number, file in enumerate(files, 1)
    ]
    digest = Task(id="digest", call=merge, args=[[count.result() for count in counts], most])
    return Feature(title="Digest", strategy="dataflow", tasks=[*counts, digest])
