"""The closing of a day, which Celery beat starts."""

from datetime import date

from flows.features import closing
from flows.tasks import start_closing
from shop.models import Order, Payment, Report


def test_a_day_is_closed(lamp, orchestrator_client):
    order = Order.objects.create(customer="ada@example.org", article=lamp, amount=2)
    Payment.objects.create(order=order, amount="39.80")
    assert orchestrator_client.run(closing(order.placed.isoformat())).status() == "completed"
    assert Report.objects.get().text == "1 orders, 39.80 in all"


def test_a_second_message_of_beat_starts_nothing(db, orchestrator_client, monkeypatch):
    monkeypatch.setattr("django.utils.timezone.localdate", lambda: date(2027, 2, 1))
    start_closing()
    start_closing()
    assert [each.id for each in orchestrator_client.features()] == ["closing-2027-01-31"]
