"""The flow of an order as it was: a canvas of Celery."""

from celery import chain, group

from shop.tasks import charge, confirm, fetch_label, reserve, write_invoice


def fulfilment(order_id):
    """What happens to an order that was placed."""
    both = group(write_invoice.si(order_id), fetch_label.si(order_id))
    return chain(reserve.si(order_id), charge.si(order_id), both, confirm.si(order_id))
