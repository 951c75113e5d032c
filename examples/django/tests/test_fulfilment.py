"""Orders, from the request to the mail: the view, the feature and its tasks, in this process."""

import pytest
from django.core import mail

from shop.models import Order, Payment


@pytest.fixture
def place(client, lamp, orchestrator_client, django_capture_on_commit_callbacks):
    """Places an order by a request; returns the handle of its feature."""

    def place(amount):
        order = {"customer": "ada@example.org", "article": "lamp", "amount": amount}
        with django_capture_on_commit_callbacks(execute=True):
            answer = client.post("/orders/", order, content_type="application/json")
        return orchestrator_client.feature(f"order-{answer.json()['order']}")

    return place


def test_an_order_is_fulfilled(place, client, lamp, labels):
    handle = place(2)
    number = handle.id.removeprefix("order-")
    (labels / f"{number}.txt").write_text("RR1")
    assert handle.wait().status == "completed"
    lamp.refresh_from_db()
    assert lamp.stock == 3
    assert str(Payment.objects.get().amount) == "39.80"
    assert mail.outbox[0].to == ["ada@example.org"]
    assert client.get(f"/orders/{number}/").json() == {
        "invoice": f"INV-{number:0>5}",
        "tracking": "RR1",
        "confirmed": True,
    }


def test_nobody_pays_for_what_is_not_there(place):
    handle = place(6)
    assert handle.wait().status != "completed"
    assert "OutOfStock" in handle.outcome("reserve").reason
    assert not Payment.objects.exists()


def test_a_label_may_come_later(place, labels, orchestrator_client):
    handle = place(1)
    while not handle.progress().delayed:
        orchestrator_client.step()
    (labels / f"{handle.id.removeprefix('order-')}.txt").write_text("RR1")
    assert handle.wait().status == "completed"
    assert Order.objects.get().tracking == "RR1"
