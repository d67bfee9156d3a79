from django.db import models


class Account(models.Model):
    owner = models.CharField(max_length=50, unique=True)
    balance = models.IntegerField(default=0)
    opened = models.DateTimeField(auto_now_add=True)
    notes = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=models.Q(balance__gte=0), name="never_in_debt")]


class Transfer(models.Model):
    source = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="outgoing")
    target = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="incoming")
    amount = models.PositiveIntegerField()
    made = models.DateTimeField(auto_now_add=True, db_index=True)
