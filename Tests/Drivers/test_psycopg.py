"""psycopg 3: prepared by the server after a few executions, pipelines, COPY, cancel, its own pool."""

import asyncio
import datetime
import decimal
import threading
import time
import uuid

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool


def connect(pooler, **options):
    return psycopg.connect(pooler.dsn, **options)


def test_values_of_many_types_come_back(pooler):
    values = [
        1, -2**40, 1.5, decimal.Decimal("12.3400"), "text with ünïcödé and 'quotes'", b"\x00\xff binary",
        True, None, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 0, 1, 5),
        datetime.timedelta(days=3, seconds=5), uuid.uuid4(), [1, 2, 3],
    ]
    with connect(pooler) as connection:
        for value in values:
            for binary in (False, True):
                with connection.cursor(binary=binary) as cursor:
                    row = cursor.execute("select %s", (value,)).fetchone()
                    assert row[0] == value
        assert connection.execute("select %s", (Jsonb({"a": [1, {"b": None}]}),)).fetchone()[0] == {
            "a": [1, {"b": None}]}


def test_transactions(pooler, table):
    with connect(pooler) as connection:
        connection.execute(f"create table {table}(a int primary key)")
        connection.commit()
        connection.execute(f"insert into {table} values (1)")
        connection.rollback()
        with connection.transaction():
            connection.execute(f"insert into {table} values (2)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                with connection.transaction():
                    connection.execute(f"insert into {table} values (2)")
            connection.execute(f"insert into {table} values (3)")
        assert connection.execute(f"select a from {table} order by a").fetchall() == [(2,), (3,)]
        connection.execute(f"drop table {table}")


def test_errors_leave_the_connection_usable(pooler):
    with connect(pooler, autocommit=True) as connection:
        for _ in range(10):
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("select 1 / %s", (0,))
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("select * from nowhere")
            assert connection.execute("select %s", (5,)).fetchone() == (5,)


def test_prepared_statements_follow_the_client(pooler):
    """More connections than servers, all preparing at once and executing in turn."""
    connections = [connect(pooler, autocommit=True, prepare_threshold=0) for _ in range(20)]
    try:
        for turn in range(6):
            for number, connection in enumerate(connections):
                row = connection.execute("select %s::int * 2, %s::text", (number, f"turn {turn}")).fetchone()
                assert row == (number * 2, f"turn {turn}")
                row = connection.execute(f"select %s::int + {number % 5}", (turn,)).fetchone()
                assert row == (turn + number % 5,)
    finally:
        for connection in connections:
            connection.close()


def test_prepared_statements_beyond_what_the_driver_keeps(pooler):
    """The driver closes statements it has no room for."""
    with connect(pooler, autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = 3
        for turn in range(3):
            for number in range(12):
                assert connection.execute(f"select {number} + %s", (turn,)).fetchone() == (number + turn,)


def test_prepared_statements_under_load(pooler):
    failures = []

    def work(number):
        try:
            with connect(pooler, prepare_threshold=1) as connection:
                for turn in range(30):
                    with connection.transaction():
                        kind = (number + turn) % 7
                        row = connection.execute(f"select %s::int, {kind}", (turn,)).fetchone()
                        assert row == (turn, kind)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_changed_table_is_mended_by_the_driver(pooler, table):
    with connect(pooler, autocommit=True, prepare_threshold=0) as connection:
        connection.execute(f"create table {table}(a int)")
        connection.execute(f"insert into {table} values (%s)", (1,))
        assert connection.execute(f"select * from {table}").fetchall() == [(1,)]
        connection.execute(f"drop table {table}")
        connection.execute(f"create table {table}(a text)")
        connection.execute("deallocate all")
        connection.execute(f"insert into {table} values (%s)", ("x",))
        connection.execute(f"drop table {table}")


def test_pipelines(pooler, table):
    with connect(pooler, autocommit=True) as connection:
        connection.execute(f"create table {table}(a int)")
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (number,)) for number in range(50)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(50))
        with connection.cursor() as cursor:
            cursor.executemany(f"insert into {table} values (%s)", [(number,) for number in range(500)])
        assert connection.execute(f"select sum(a) from {table}").fetchone() == (sum(range(500)),)
        with pytest.raises(psycopg.errors.DivisionByZero):
            with connection.pipeline() as pipeline:
                connection.execute("select 1")
                connection.execute("select 1 / 0")
                connection.execute("select 2")
                pipeline.sync()
        assert connection.execute("select 'after'").fetchone() == ("after",)
        connection.execute(f"drop table {table}")


def test_copy(pooler, table):
    rows = [(number, f"value {number}") for number in range(5000)]
    with connect(pooler) as connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int, b text)")
        with cursor.copy(f"copy {table} from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        with cursor.copy(f"copy {table} to stdout") as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == rows
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            with connection.transaction(), cursor.copy(f"copy {table} from stdin") as copy:
                copy.write("no number\tx\n")
        with pytest.raises(ZeroDivisionError):
            with connection.transaction(), cursor.copy(f"copy {table} from stdin") as copy:
                copy.write_row((1, "x"))
                raise ZeroDivisionError
        assert cursor.execute(f"select count(*) from {table}").fetchone() == (5000,)
        cursor.execute(f"drop table {table}")


def test_cursors_of_the_server_in_a_transaction(pooler):
    with connect(pooler) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("select generate_series(1, 1000)")
            assert sum(row[0] for row in cursor) == 500500


def test_rows_one_by_one(pooler):
    with connect(pooler) as connection, connection.cursor() as cursor:
        assert sum(row[0] for row in cursor.stream("select generate_series(1, 5000)")) == 12502500


def test_cancel(pooler):
    with connect(pooler, autocommit=True) as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        start = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(30)")
        assert time.monotonic() - start < 10
        timer.join()
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.session_mode
def test_notifications_in_session_mode(pooler, table):
    with connect(pooler, autocommit=True) as listener, connect(pooler, autocommit=True) as notifier:
        listener.execute(f"listen {table}")
        notifier.execute(f"notify {table}, 'news'")
        assert [notice.payload for notice in listener.notifies(timeout=10, stop_after=1)] == ["news"]


def test_parameters_are_each_clients_own(pooler):
    with connect(pooler, autocommit=True) as first, connect(pooler, autocommit=True) as second:
        first.execute("set timezone = 'Asia/Tokyo'")
        second.execute("set timezone = 'Europe/Paris'")
        for _ in range(5):
            assert first.execute("show timezone").fetchone() == ("Asia/Tokyo",)
            assert second.execute("show timezone").fetchone() == ("Europe/Paris",)
            moment = first.execute("select '2024-01-01 00:00+00'::timestamptz").fetchone()[0]
            assert moment.utcoffset() == datetime.timedelta(hours=9)
    with connect(pooler, client_encoding="latin1", autocommit=True) as connection:
        assert connection.execute("select 'é'").fetchone() == ("é",)


def test_the_drivers_own_pool_in_front(pooler):
    with ConnectionPool(pooler.dsn, min_size=2, max_size=6, kwargs={"row_factory": dict_row}) as pool:
        pool.wait()
        results = []

        def work(number):
            for _ in range(20):
                with pool.connection() as connection:
                    results.append(connection.execute("select %s::int as n", (number,)).fetchone()["n"])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == sorted(list(range(10)) * 20)


def test_asynchronous_connections(pooler):
    async def work(number):
        connection = await psycopg.AsyncConnection.connect(pooler.dsn, autocommit=True)
        async with connection:
            for turn in range(10):
                cursor = await connection.execute("select %s::int, %s::int", (number, turn))
                assert await cursor.fetchone() == (number, turn)

    async def all_of_them():
        await asyncio.gather(*(work(number) for number in range(20)))

    asyncio.run(all_of_them())


def test_large_values(pooler):
    with connect(pooler) as connection:
        value = "x" * 5_000_000
        assert connection.execute("select %s", (value,)).fetchone() == (value,)
