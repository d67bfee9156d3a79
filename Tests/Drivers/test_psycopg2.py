"""psycopg2: simple queries, the driver of most Django sites."""

import io
import threading
import time

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
import pytest


def connect(pooler):
    return psycopg2.connect(pooler.dsn)


def test_values_and_rows(pooler):
    connection = connect(pooler)
    with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("select %s as a, %s as b, %s as c", (1, "it's", None))
        assert dict(cursor.fetchone()) == {"a": 1, "b": "it's", "c": None}
        cursor.execute("select generate_series(1, 10000) as n")
        assert len(cursor.fetchall()) == 10000
    connection.close()


def test_transactions(pooler, table):
    connection = connect(pooler)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int primary key)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        with connection, connection.cursor() as cursor:
            cursor.execute(f"insert into {table} values (1), (1)")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"insert into {table} values (1)")
        cursor.execute("savepoint one")
        with pytest.raises(psycopg2.errors.DivisionByZero):
            cursor.execute("select 1 / 0")
        cursor.execute("rollback to savepoint one")
        cursor.execute(f"select count(*) from {table}")
        assert cursor.fetchone() == (1,)
        cursor.execute(f"drop table {table}")
    connection.close()


def test_autocommit_and_isolation(pooler):
    connection = connect(pooler)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        assert connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
    connection.autocommit = False
    connection.isolation_level = psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE
    with connection, connection.cursor() as cursor:
        cursor.execute("show transaction isolation level")
        assert cursor.fetchone() == ("serializable",)
    connection.close()


def test_many_rows_at_once(pooler, table):
    connection = connect(pooler)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int, b text)")
        psycopg2.extras.execute_values(
            cursor, f"insert into {table} values %s", [(number, f"row {number}") for number in range(3000)])
        psycopg2.extras.execute_batch(
            cursor, f"update {table} set b = %s where a = %s", [(f"new {number}", number) for number in range(300)])
        cursor.execute(f"select count(*) from {table} where b like 'new%'")
        assert cursor.fetchone() == (300,)
        cursor.execute(f"drop table {table}")
    connection.close()


def test_copy(pooler, table):
    connection = connect(pooler)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int, b text)")
        text = "".join(f"{number}\tvalue {number}\n" for number in range(20000))
        cursor.copy_expert(f"copy {table} from stdin", io.StringIO(text))
        output = io.StringIO()
        cursor.copy_expert(f"copy {table} to stdout", output)
        assert output.getvalue() == text
        cursor.execute(f"drop table {table}")
    connection.close()


def test_named_cursors_in_a_transaction(pooler):
    connection = connect(pooler)
    with connection, connection.cursor("named") as cursor:
        cursor.itersize = 50
        cursor.execute("select generate_series(1, 1000)")
        assert sum(row[0] for row in cursor) == 500500
    connection.close()


def test_cancel(pooler):
    connection = connect(pooler)
    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    start = time.monotonic()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_sleep(30)")
    assert time.monotonic() - start < 10
    timer.join()
    connection.close()


def test_parameters(pooler):
    connection = psycopg2.connect(pooler.dsn, application_name="the application")
    other = connect(pooler)
    connection.autocommit = other.autocommit = True
    with connection.cursor() as cursor, other.cursor() as beside:
        cursor.execute("set timezone to 'Asia/Tokyo'")
        for _ in range(5):
            beside.execute("show timezone")
            assert beside.fetchone() != ("Asia/Tokyo",)
            cursor.execute("select current_setting('timezone'), current_setting('application_name')")
            assert cursor.fetchone() == ("Asia/Tokyo", "the application")
    assert connection.get_parameter_status("TimeZone") == "Asia/Tokyo"
    connection.set_client_encoding("LATIN1")
    assert connection.encoding == "LATIN1"
    connection.close()
    other.close()


def test_threads_with_the_drivers_pool(pooler):
    pool = psycopg2.pool.ThreadedConnectionPool(2, 16, pooler.dsn)
    failures = []

    def work(number):
        try:
            for turn in range(30):
                connection = pool.getconn()
                with connection, connection.cursor() as cursor:
                    cursor.execute("select %s, %s", (number, turn))
                    assert cursor.fetchone() == (number, turn)
                pool.putconn(connection)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.closeall()
    assert failures == []


@pytest.mark.console
def test_the_console(pooler):
    connection = psycopg2.connect(pooler.dsn.replace("dbname=app", "dbname=pgbouncer"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SHOW POOLS")
        assert any(row[0] == "app" for row in cursor.fetchall()) or cursor.rowcount >= 1
        cursor.execute("SHOW VERSION;")
        assert cursor.fetchone()[0].startswith("PgBouncer 1.26.0 (pgsluice")
    connection.close()
