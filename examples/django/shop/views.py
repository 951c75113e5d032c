import json

from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST
from orchestrator import enqueue

from flows.features import fulfilment
from shop.models import Article, Order


@require_POST
def place(request):
    """Place an order."""
    wanted = json.loads(request.body)
    article = get_object_or_404(Article, name=wanted["article"])
    with transaction.atomic():
        order = Order.objects.create(
            customer=wanted["customer"], article=article, amount=wanted.get("amount", 1)
        )
        transaction.on_commit(lambda: enqueue(fulfilment(order.pk)))
    return JsonResponse({"order": order.pk}, status=201)


@require_GET
def show(request, number):
    """Where an order stands."""
    order = get_object_or_404(Order, pk=number)
    return JsonResponse(
        {"invoice": order.invoice, "tracking": order.tracking, "confirmed": order.is_confirmed}
    )
