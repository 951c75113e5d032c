"""The tasks that the shop has had for years. They know nothing of features."""

from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import F, Sum

from shop.models import Article, Order, Payment, Report


class OutOfStock(Exception):
    pass


@shared_task(throws=(OutOfStock,))
def reserve(order_id):
    """Take what was ordered out of the stock."""
    order = Order.objects.get(pk=order_id)
    there = Article.objects.filter(pk=order.article_id, stock__gte=order.amount)
    if not there.update(stock=F("stock") - order.amount):
        raise OutOfStock(order.article.name)


@shared_task
def charge(order_id):
    """Take the customer's money."""
    order = Order.objects.select_related("article").get(pk=order_id)
    return Payment.objects.create(order=order, amount=order.amount * order.article.price).pk


@shared_task
def write_invoice(order_id):
    """Give the order the number of an invoice."""
    Order.objects.filter(pk=order_id).update(invoice=f"INV-{order_id:05}")


@shared_task(autoretry_for=(FileNotFoundError,), retry_backoff=True, max_retries=10)
def fetch_label(order_id):
    """Read the label that the courier leaves in a folder, and note its number."""
    number = (settings.LABELS / f"{order_id}.txt").read_text().strip()
    Order.objects.filter(pk=order_id).update(tracking=number)


@shared_task
def confirm(order_id):
    """Tell the customer."""
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_id)
        order.is_confirmed = True
        order.save()
    text = f"Invoice {order.invoice}, parcel {order.tracking}"
    send_mail(f"Order {order_id} is on its way", text, None, [order.customer])


@shared_task
def add_up(day):
    """The sales of a day."""
    payments = Payment.objects.filter(order__placed=day)
    return {"orders": payments.count(), "total": payments.aggregate(sum=Sum("amount"))["sum"] or 0}


@shared_task
def write_report(day, sold):
    """Keep the report of a day."""
    text = f"{sold['orders']} orders, {sold['total']:.2f} in all"
    Report.objects.update_or_create(day=day, defaults={"text": text})
