"""Uses the migrated site as its visitors and its shell would. Ends with an exception when anything is wrong."""

import os
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from bank.models import Account, Transfer  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.db import (  # noqa: E402
    DatabaseError, DataError, IntegrityError, OperationalError, close_old_connections, connection, transaction)
from django.db.models import Avg, Count, F, Sum, Window  # noqa: E402
from django.db.models.functions import RowNumber  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402


def visitors():
    client = Client()
    ids = []
    for number in range(6):
        response = client.post("/accounts/", {"owner": f"owner {number}", "balance": "100"})
        assert response.status_code == 201, response.content
        ids.append(response.json()["id"])
    assert client.post("/transfer/", {"source": ids[0], "target": ids[1], "amount": "30"}).status_code == 201
    assert client.post("/transfer/", {"source": ids[0], "target": ids[1], "amount": "999"}).status_code == 409
    shown = client.get(f"/accounts/{ids[1]}/").json()
    assert shown == {"owner": "owner 1", "balance": 130, "outgoing": 0, "incoming": 1}, shown
    assert sum(row["balance"] for row in client.get("/accounts/").json()["accounts"]) == 600

    User.objects.create_user("visitor", password="pass word")
    assert client.post("/login/", {"username": "visitor", "password": "wrong"}).status_code == 403
    assert client.post("/login/", {"username": "visitor", "password": "pass word"}).json() == {"user": "visitor"}
    assert client.get("/me/").json() == {"user": "visitor"}
    return ids


def many_visitors(ids):
    """Threads, each with a connection of its own, move money about; none gets lost."""
    failures = []

    def work(number):
        try:
            client = Client()
            for turn in range(12):
                source, target = ids[(number + turn) % 6], ids[(number * 5 + turn + 1) % 6]
                response = client.post("/transfer/", {"source": source, "target": target, "amount": "7"})
                assert response.status_code in (201, 409), response.content
                client.get("/accounts/")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert Account.objects.aggregate(total=Sum("balance"))["total"] == 600


def shell():
    Account.objects.bulk_create([Account(owner=f"bulk {number}", balance=number) for number in range(1500)])
    assert sum(row.balance for row in Account.objects.filter(owner__startswith="bulk").iterator(chunk_size=100)) == sum(
        range(1500))
    assert Account.objects.filter(notes__missing__isnull=True).count() > 0
    account = Account.objects.get(owner="bulk 7")
    account.notes = {"kind": "test", "list": [1, 2]}
    account.save()
    assert Account.objects.get(notes__kind="test").id == account.id
    summary = Account.objects.annotate(sent=Count("outgoing")).aggregate(Avg("balance"), Sum("sent"))
    assert summary["sent__sum"] == Transfer.objects.count()
    assert Account.objects.update_or_create(owner="bulk 7", defaults={"balance": 8})[1] is False
    assert Account.objects.filter(opened__date=timezone.localdate()).count() == Account.objects.count()

    try:
        with transaction.atomic():
            Account.objects.create(owner="rolled back")
            try:
                with transaction.atomic():
                    Account.objects.create(owner="rolled back")
            except IntegrityError:
                pass
            assert Account.objects.filter(owner="rolled back").count() == 1
            raise KeyError
    except KeyError:
        pass
    assert not Account.objects.filter(owner="rolled back").exists()
    try:
        Account.objects.create(owner="x" * 51)
        raise AssertionError("the owner is too long")
    except DataError:
        pass
    Account.objects.filter(owner__startswith="bulk").delete()
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('TimeZone'), %s", ["param"])
        assert cursor.fetchone() == ("UTC", "param")
    close_old_connections()
    assert Account.objects.count() == 6


def in_a_thread(work):
    """Runs work on a connection of its own and returns what it returned."""
    results = []

    def whole():
        try:
            results.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=whole)
    thread.start()
    thread.join()
    assert results, "the thread has failed"
    return results[0]


def locks(ids):
    def skipped():
        with transaction.atomic():
            return [row.id for row in Account.objects.select_for_update(skip_locked=True).filter(id__in=ids)]

    def refused():
        try:
            with transaction.atomic():
                Account.objects.select_for_update(nowait=True).get(id=ids[0])
        except OperationalError:
            return True
        return False

    with transaction.atomic():
        mine = [row.id for row in Account.objects.select_for_update().filter(id__in=ids[:3])]
        assert sorted(in_a_thread(skipped)) == sorted(ids[3:]), mine
        assert in_a_thread(refused)
    assert sorted(in_a_thread(skipped)) == sorted(ids)
    assert not in_a_thread(refused)


def transactions():
    done = []
    with transaction.atomic():
        transaction.on_commit(lambda: done.append("committed"))
        first = transaction.savepoint()
        Account.objects.create(owner="saved")
        transaction.savepoint_commit(first)
        second = transaction.savepoint()
        Account.objects.create(owner="unsaved")
        transaction.savepoint_rollback(second)
        assert not done
    assert done == ["committed"]
    assert [row.owner for row in Account.objects.filter(owner__endswith="saved")] == ["saved"]
    try:
        with transaction.atomic():
            transaction.on_commit(lambda: done.append("never"))
            with connection.cursor() as cursor:
                cursor.execute("select 1 / 0")
    except DatabaseError:
        pass
    assert done == ["committed"]
    transaction.set_autocommit(False)
    Account.objects.filter(owner="saved").delete()
    transaction.rollback()
    Account.objects.filter(owner="saved").delete()
    transaction.commit()
    transaction.set_autocommit(True)
    assert not Account.objects.filter(owner="saved").exists()


def queries():
    rows = Account.objects.annotate(place=Window(RowNumber(), order_by=F("balance").desc())).order_by("place")
    assert [row.place for row in rows] == list(range(1, 7))
    assert "Seq Scan" in Account.objects.all().explain() or "Index" in Account.objects.all().explain()
    assert Account.objects.raw("select * from bank_account where owner = %s", ["owner 1"])[0].owner == "owner 1"
    union = Account.objects.filter(owner="owner 1").union(Account.objects.filter(owner="owner 2"))
    assert union.count() == 2
    with timezone.override("Asia/Tokyo"):
        assert Account.objects.filter(opened__year__gte=2000).count() == 6
    for number in range(20):
        cache.set(f"key {number}", {"number": number}, 60)
    assert cache.get_many([f"key {number}" for number in range(30)])["key 7"] == {"number": 7}
    cache.clear()


def broken_connections():
    """What PostgreSQL ended is replaced at the next request, as CONN_HEALTH_CHECKS promises."""
    for _ in range(3):
        try:
            with connection.cursor() as cursor:
                cursor.execute("select pg_terminate_backend(pg_backend_pid())")
                cursor.fetchall()
        except OperationalError:
            pass
        close_old_connections()
        assert Account.objects.count() == 6


if __name__ == "__main__":
    numbers = visitors()
    many_visitors(numbers)
    shell()
    locks(numbers)
    transactions()
    queries()
    broken_connections()
    connection.close()
    print("the site works")
