"""The outbox: orders of a file, which are enqueued after their transaction."""

import pytest
from django.core.management import call_command

from flows import outbox
from flows.models import OutboxEntry
from shop.models import Article, Order


@pytest.fixture
def import_orders(tmp_path):
    """Writes a file of orders, and imports it."""

    def import_orders(*articles):
        file = tmp_path / "orders.csv"
        file.write_text("".join(f"ada@example.org,{article},1\n" for article in articles))
        call_command("import_orders", file)

    return import_orders


def test_what_is_imported_is_enqueued_later(lamp, import_orders, orchestrator_client):
    import_orders("lamp", "lamp")
    assert orchestrator_client.features() == []
    outbox.send()
    assert len(orchestrator_client.features()) == Order.objects.count() == 2
    assert not OutboxEntry.objects.exists()


def test_nothing_is_enqueued_for_what_was_rolled_back(lamp, import_orders):
    with pytest.raises(Article.DoesNotExist):
        import_orders("lamp", "sofa")
    assert not OutboxEntry.objects.exists()


def test_an_entry_that_is_sent_twice_is_one_feature(lamp, import_orders, orchestrator_client, monkeypatch):
    import_orders("lamp")
    with monkeypatch.context() as patched:
        patched.setattr(OutboxEntry, "delete", lambda entry: 1 / 0)  # the process dies here
        with pytest.raises(ZeroDivisionError):
            outbox.send()
    outbox.send()
    assert len(orchestrator_client.features()) == 1
    assert not OutboxEntry.objects.exists()


def test_an_entry_that_is_refused_holds_nobody_up(lamp, import_orders, orchestrator_client):
    OutboxEntry.objects.create(feature={"title": "no tasks"})
    import_orders("lamp")
    outbox.send()
    assert len(orchestrator_client.features()) == 1
    assert OutboxEntry.objects.get().feature == {"title": "no tasks"}
