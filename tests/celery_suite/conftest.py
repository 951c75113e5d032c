"""These modules need the suite, which is fetched only when it is run."""

collect_ignore = ["worker_app.py"]
