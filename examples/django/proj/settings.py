"""The settings of a shop: a small JSON service on SQLite."""

import os
from pathlib import Path

from celery.schedules import crontab

BASE_DIR = Path(__file__).parent.parent
DATA = Path(os.environ.get("DATA", BASE_DIR / "data"))
LABELS = DATA / "labels"  # the courier leaves a label here for each order

SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-this-example")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "proj.urls"
INSTALLED_APPS = ["shop", "flows"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
TIME_ZONE = "UTC"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "shop.sqlite3",
        "CONN_MAX_AGE": 60,
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEFAULT_FROM_EMAIL = "shop@example.org"
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = DATA / "mail"

CELERY_BROKER_URL = os.environ.get("BROKER_URL", "redis://localhost/0")
CELERY_RESULT_BACKEND = os.environ.get("BROKER_URL", "redis://localhost/0")
CELERY_TASK_ROUTES = {"shop.tasks.fetch_label": {"queue": "courier"}}
CELERY_BEAT_SCHEDULE = {
    "outbox": {"task": "flows.tasks.send_outbox", "schedule": 10.0, "options": {"expires": 10}},
    "closing": {"task": "flows.tasks.start_closing", "schedule": crontab(hour=3, minute=0)},
}
