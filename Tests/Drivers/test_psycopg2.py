"""psycopg2: simple queries, the driver of most Django sites."""

import io
import select
import threading
import time

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
import pytest
from support import in_threads


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

    def work(number):
        for turn in range(30):
            connection = pool.getconn()
            with connection, connection.cursor() as cursor:
                cursor.execute("select %s, %s", (number, turn))
                assert cursor.fetchone() == (number, turn)
            pool.putconn(connection)

    in_threads(12, work)
    pool.closeall()


@pytest.mark.pooler_only
def test_the_console(pooler):
    connection = psycopg2.connect(pooler.dsn.replace("dbname=app", "dbname=pgbouncer"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SHOW POOLS")
        assert any(row[0] == "app" for row in cursor.fetchall()) or cursor.rowcount >= 1
        cursor.execute("SHOW VERSION;")
        assert cursor.fetchone()[0].startswith("PgBouncer 1.26.0 (pgsluice")
    connection.close()


def test_errors_carry_their_state(pooler, table):
    connection = connect(pooler)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int constraint {table}_key primary key)")
        for text, state in [
            ("selekt", "42601"), ("select 1 / 0", "22012"), ("select * from nowhere", "42P01"),
            (f"insert into {table} values (null)", "23502"), (f"insert into {table} values (1), (1)", "23505"),
            ("do $$ begin raise sqlstate 'AB123'; end $$", "AB123"),
        ]:
            with pytest.raises(psycopg2.Error) as caught:
                cursor.execute(text)
            assert caught.value.pgcode == state
        assert caught.value.diag.severity == "ERROR"
        cursor.execute(f"drop table {table}")
    connection.close()


def test_notices(pooler):
    connection = connect(pooler)
    with connection, connection.cursor() as cursor:
        for number in range(5):
            cursor.execute(f"do $$ begin raise notice 'notice {number}'; end $$")
    assert connection.notices == [f"NOTICE:  notice {number}\n" for number in range(5)]
    connection.close()


def test_statements_by_the_name_of_sql_within_a_transaction(pooler, table):
    connection = connect(pooler)
    for turn in range(3):
        with connection, connection.cursor() as cursor:
            cursor.execute(f"prepare {table} as select $1::int * 2")
            for number in range(5):
                cursor.execute(f"execute {table}(%s)", (number,))
                assert cursor.fetchone() == (number * 2,)
            cursor.execute(f"deallocate {table}")
    connection.close()


def test_temporary_tables_within_a_transaction(pooler, table):
    def work(number):
        connection = connect(pooler)
        for turn in range(5):
            with connection, connection.cursor() as cursor:
                cursor.execute(f"create temporary table {table}(a int) on commit drop")
                psycopg2.extras.execute_values(
                    cursor, f"insert into {table} values %s", [(number,)] * 10)
                cursor.execute(f"select count(*), min(a), max(a) from {table}")
                assert cursor.fetchone() == (10, number, number)
        connection.close()

    in_threads(12, work)


def test_large_objects(pooler):
    """They are read and written by function calls of the protocol."""
    content = bytes(range(256)) * 4000
    connection = connect(pooler)
    with connection:
        stored = connection.lobject(0, "wb")
        assert stored.write(content) == len(content)
        stored.seek(100)
        stored.close()
    with connection:
        found = connection.lobject(stored.oid, "rwb")
        assert found.read() == content
        found.truncate(1000)
        assert found.seek(0, 2) == 1000
        found.close()
    with connection:
        connection.lobject(stored.oid, "n").unlink()
    with pytest.raises(psycopg2.OperationalError):
        with connection:
            connection.lobject(stored.oid, "rb")
    with connection, connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_advisory_locks_of_a_transaction_exclude_each_other(pooler, table):
    inside = []

    def work(number):
        connection = connect(pooler)
        for turn in range(5):
            with connection, connection.cursor() as cursor:
                cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", (table,))
                inside.append(number)
                assert inside == [number]
                cursor.execute("select pg_sleep(0.001)")
                inside.remove(number)
        connection.close()

    in_threads(8, work)


def test_two_phases(pooler, table):
    connection, other = connect(pooler), connect(pooler)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int)")
    connection.tpc_begin(connection.xid(1, table, "branch"))
    with connection.cursor() as cursor:
        cursor.execute(f"insert into {table} values (1)")
    connection.tpc_prepare()
    connection.close()
    found = [xid for xid in other.tpc_recover() if xid.gtrid == table]
    other.rollback()
    other.tpc_commit(found[0])
    with other, other.cursor() as cursor:
        cursor.execute(f"select a from {table}")
        assert cursor.fetchone() == (1,)
        cursor.execute(f"drop table {table}")
    other.close()


def wait(connection):
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        reads = [connection] if state == psycopg2.extensions.POLL_READ else []
        writes = [connection] if state == psycopg2.extensions.POLL_WRITE else []
        assert select.select(reads, writes, [], 30) != ([], [], [])


def test_asynchronous_connections(pooler):
    connections = [psycopg2.connect(pooler.dsn, async_=True) for _ in range(6)]
    for connection in connections:
        wait(connection)
    cursors = [connection.cursor() for connection in connections]
    for turn in range(5):
        for number, cursor in enumerate(cursors):
            cursor.execute("select %s, %s, repeat('x', 100000)", (number, turn))
        for number, (connection, cursor) in enumerate(zip(connections, cursors)):
            wait(connection)
            assert cursor.fetchone()[:2] == (number, turn)
    for connection in connections:
        connection.close()


def test_copy_that_fails_on_either_side(pooler, table):
    connection = connect(pooler)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int)")

    class Broken:
        def read(self, size):
            raise ZeroDivisionError

        write = read

    for _ in range(3):
        with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
            with connection, connection.cursor() as cursor:
                cursor.copy_from(io.StringIO("1\n2\nx\n" * 5000), table)
        with pytest.raises((ZeroDivisionError, psycopg2.Error)):
            with connection, connection.cursor() as cursor:
                cursor.copy_from(Broken(), table)
        with pytest.raises(psycopg2.errors.DivisionByZero):
            with connection, connection.cursor() as cursor:
                cursor.copy_expert(
                    "copy (select 1 / (n - 5000) from generate_series(1, 9000) n) to stdout", io.StringIO())
        with connection, connection.cursor() as cursor:
            cursor.execute(f"select count(*) from {table}")
            assert cursor.fetchone() == (0,)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"drop table {table}")
    connection.close()


def test_resetting_a_connection(pooler):
    connection = psycopg2.connect(pooler.dsn, application_name="mine")
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute("set timezone = 'Asia/Tokyo'; begin")
        connection.reset()
        with connection.cursor() as cursor:
            cursor.execute("select current_setting('timezone') <> 'Asia/Tokyo'")
            assert cursor.fetchone() == (True,)
        connection.rollback()
    connection.close()


def test_encodings(pooler):
    connections = {}
    for encoding in ("UTF8", "LATIN1", "EUC_JP", "SJIS"):
        connections[encoding] = connect(pooler)
        connections[encoding].set_client_encoding(encoding)
    for _ in range(4):
        for encoding, connection in connections.items():
            text = "é ü" if encoding == "LATIN1" else "日本 ソ能表"
            with connection, connection.cursor() as cursor:
                cursor.execute("select %s, length(%s)", (text, text))
                assert cursor.fetchone() == (text, len(text))
                cursor.execute("show client_encoding")
                assert cursor.fetchone() == (encoding,)
    for connection in connections.values():
        connection.close()


@pytest.mark.session_mode
def test_notifications_and_held_cursors(pooler, table):
    listener, notifier = connect(pooler), connect(pooler)
    listener.autocommit = notifier.autocommit = True
    with listener.cursor() as hearing, notifier.cursor() as telling:
        hearing.execute(f"listen {table}")
        for number in range(3):
            telling.execute(f"select pg_notify('{table}', 'news {number}')")
        while len(listener.notifies) < 3:
            assert select.select([listener], [], [], 30)[0]
            listener.poll()
        assert [notice.payload for notice in listener.notifies] == ["news 0", "news 1", "news 2"]
    with listener.cursor(table, withhold=True, scrollable=True) as cursor:
        cursor.execute("select generate_series(1, 10)")
        assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
        cursor.scroll(0, "absolute")
        assert cursor.fetchone() == (1,)
    listener.close()
    notifier.close()
