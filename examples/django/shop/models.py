from django.db import models


class Article(models.Model):
    name = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveIntegerField()


class Order(models.Model):
    customer = models.EmailField()
    article = models.ForeignKey(Article, on_delete=models.PROTECT)
    amount = models.PositiveIntegerField()
    placed = models.DateField(auto_now_add=True)
    invoice = models.CharField(max_length=20, blank=True)
    tracking = models.CharField(max_length=20, blank=True)
    is_confirmed = models.BooleanField(default=False)


class Payment(models.Model):
    order = models.ForeignKey(Order, on_delete=models.PROTECT)
    amount = models.DecimalField(max_digits=8, decimal_places=2)


class Report(models.Model):
    day = models.DateField(unique=True)
    text = models.TextField()
