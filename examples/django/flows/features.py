"""The features of the shop: which of its tasks run, and in which order."""

from orchestrator import Feature, Task

from shop.tasks import add_up, charge, confirm, fetch_label, reserve, write_invoice, write_report


def fulfilment(order_id):
    """What happens to an order that was placed."""
    tasks = [
        Task(id="reserve", call=reserve.si(order_id)),
        Task(id="charge", call=charge.si(order_id), depends_on=["reserve"], idempotent=False),
        Task(id="invoice", call=write_invoice.si(order_id), depends_on=["charge"]),
        Task(id="label", call=fetch_label.si(order_id), depends_on=["charge"]),
        Task(id="confirm", call=confirm.si(order_id), depends_on=["invoice", "label"]),
    ]
    return Feature(id=f"order-{order_id}", title="Fulfil an order", strategy="dataflow", tasks=tasks)


def closing(day):
    """What happens at the end of a day, given as 2027-01-31."""
    sold = Task(id="add-up", call=add_up.si(day))
    report = Task(id="report", call=write_report, args=[day, sold.result()])
    return Feature(id=f"closing-{day}", title="Close a day", strategy="dataflow", tasks=[sold, report])
