"""Measurements of the orchestrator beside plain Celery and its peers: `python -m benchmarks`, or `make bench`."""
