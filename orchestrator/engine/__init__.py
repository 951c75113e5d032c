"""The Celery side: the app, its tasks, and the steps of a worker."""
