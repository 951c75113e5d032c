import csv
from pathlib import Path

from django.core.management.base import BaseCommand
from django.db import transaction

from flows import outbox
from flows.features import fulfilment
from shop.models import Article, Order


class Command(BaseCommand):
    help = "Place the orders of a CSV file (customer,article,amount): all of them, or none."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)

    @transaction.atomic
    def handle(self, *, file, **options):
        with file.open(newline="") as lines:
            for customer, article, amount in csv.reader(lines):
                found = Article.objects.get(name=article)
                order = Order.objects.create(customer=customer, article=found, amount=int(amount))
                outbox.put(fulfilment(order.pk))
