import os

import orchestrator
from celery import Celery

app = Celery("digests", broker=os.environ.get("BROKER_URL", "redis://localhost/0"), include=["digests.tasks"])
orchestrator.install(app)
