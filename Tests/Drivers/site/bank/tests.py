"""The site's own tests, as its developers run them: in a database that Django makes and drops."""

from bank.models import Account
from django.db import connection
from django.test import TestCase, TransactionTestCase


class AccountTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.account = Account.objects.create(owner="first", balance=5)

    def test_shown(self):
        self.assertEqual(self.client.get(f"/accounts/{self.account.id}/").json()["balance"], 5)

    def test_made(self):
        with self.assertNumQueries(1):
            self.client.post("/accounts/", {"owner": "second", "balance": "1"})
        self.assertEqual(Account.objects.count(), 2)

    def test_alone(self):
        self.assertEqual(Account.objects.count(), 1)


class TransferTests(TransactionTestCase):
    def test_moved(self):
        ids = [Account.objects.create(owner=name, balance=10).id for name in ("first", "second")]
        answer = self.client.post("/transfer/", {"source": ids[0], "target": ids[1], "amount": "3"})
        self.assertEqual(answer.status_code, 201)
        self.assertEqual([Account.objects.get(id=number).balance for number in ids], [7, 13])
        self.assertFalse(connection.in_atomic_block)
