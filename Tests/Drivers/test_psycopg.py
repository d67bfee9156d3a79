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
from psycopg_pool import AsyncConnectionPool, ConnectionPool, NullConnectionPool
from support import in_threads, until


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
    def work(number):
        with connect(pooler, prepare_threshold=1) as connection:
            for turn in range(30):
                with connection.transaction():
                    kind = (number + turn) % 7
                    row = connection.execute(f"select %s::int, {kind}", (turn,)).fetchone()
                    assert row == (turn, kind)

    in_threads(16, work)


def test_statements_that_are_always_or_never_prepared(pooler):
    with connect(pooler, autocommit=True) as connection:
        for number in range(8):
            assert connection.execute("select %s::int", (number,), prepare=True).fetchone() == (number,)
            assert connection.execute("select 1 + %s::int", (number,), prepare=False).fetchone() == (number + 1,)
            # Other types of the parameters make it another statement.
            for value in (number, float(number), str(number)):
                assert connection.execute("select %s", (value,), prepare=True).fetchone() == (value,)


def test_a_statement_that_cannot_be_prepared_is_an_error_each_time(pooler):
    with connect(pooler, autocommit=True, prepare_threshold=0) as connection:
        for number in range(5):
            with pytest.raises(psycopg.errors.UndefinedColumn):
                connection.execute("select nothing + %s", (number,))
            with pytest.raises(psycopg.errors.SyntaxError):
                connection.execute("selekt %s", (number,))
            assert connection.execute("select %s + 1", (number,)).fetchone() == (number + 1,)


def test_statements_live_on_after_an_error_in_their_transaction(pooler):
    with connect(pooler, prepare_threshold=0) as connection:
        for divisor in (1, 0, 2, 0, 4):
            try:
                with connection.transaction():
                    row = connection.execute("select 8 / %s::int", (divisor,)).fetchone()
                    assert row == (8 // divisor,)
            except psycopg.errors.DivisionByZero:
                assert divisor == 0


def test_discarding_everything_hurts_nobody_else(pooler):
    """DISCARD ALL and DEALLOCATE ALL go for the statements of the client that sends them."""
    with connect(pooler, autocommit=True, prepare_threshold=0) as discarding:
        others = [connect(pooler, autocommit=True, prepare_threshold=0) for _ in range(10)]
        try:
            for turn in range(8):
                for number, connection in enumerate(others):
                    assert connection.execute("select %s::int + %s::int", (number, turn)).fetchone() == (number + turn,)
                assert discarding.execute("select %s::int + %s::int", (turn, 1)).fetchone() == (turn + 1,)
                discarding.execute("discard all" if turn % 2 else "deallocate all")
                # The driver does not know what became of its statements: tell it so.
                discarding._prepared.clear()
        finally:
            for connection in others:
                connection.close()


def test_a_prepared_text_means_what_it_meant_when_it_was_prepared(pooler):
    """PostgreSQL reads constants when it parses; that is not done anew under other settings on another server."""
    text = "select '03/02/2024'::date::text, '2024-01-01 00:00'::timestamptz = '2024-01-01 00:00+09'"
    with connect(pooler, autocommit=True) as connection:
        connection.execute("set datestyle = 'ISO, DMY'")
        connection.execute("set timezone = 'Asia/Tokyo'")
        assert connection.execute(text, prepare=True).fetchone() == ("2024-02-03", True)
        others = [connect(pooler) for _ in range(6)]
        try:
            for turn in range(12):
                connection.execute(f"set datestyle = 'ISO, {'MDY' if turn % 2 else 'YMD'}'")
                connection.execute(f"set timezone = '{'UTC' if turn % 2 else 'Europe/Paris'}'")
                # Whoever holds a server leaves the others to this client; its worker may have but two.
                held = others[turn % 6]
                held.execute("select 1")
                assert connection.execute(text, prepare=True).fetchone() == ("2024-02-03", True)
                held.rollback()
        finally:
            for other in others:
                other.close()


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


def test_who_comes_after_a_change_of_a_table_sees_it_as_it_is(pooler, table):
    """New connections know nothing of plans that were made before the change."""
    def read(*expected):
        for _ in range(12):
            with connect(pooler, autocommit=True, prepare_threshold=0) as connection:
                for _ in range(2):
                    assert connection.execute(f"select * from {table} where a = %s", (1,)).fetchone() == expected

    with connect(pooler, autocommit=True) as owner:
        owner.execute(f"create table {table}(a int)")
        owner.execute(f"insert into {table} values (1)")
        read(1)
        owner.execute(f"alter table {table} add column b text default 'new'")
        read(1, "new")
        owner.execute(f"alter table {table} alter column b type varchar(10)")
        read(1, "new")
        owner.execute(f"drop table {table}")


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


def test_pipelines_longer_than_any_buffer(pooler, table):
    """Neither side waits for the other to read first, whatever the number of statements under way."""
    filler = "x" * 500
    with connect(pooler, autocommit=True, prepare_threshold=0) as connection:
        with connection.pipeline():
            cursors = [connection.execute("select %s::int, %s", (number, filler)) for number in range(4000)]
        assert [cursor.fetchone() for cursor in cursors] == [(number, filler) for number in range(4000)]


def test_pipelines_of_many_clients_at_once(pooler):
    def work(number):
        with connect(pooler, autocommit=True, prepare_threshold=number % 3) as connection:
            for turn in range(5):
                with connection.pipeline():
                    cursors = [connection.execute("select %s::int, %s::int", (number, step)) for step in range(20)]
                assert [cursor.fetchone() for cursor in cursors] == [(number, step) for step in range(20)]

    in_threads(16, work)


def test_transactions_within_pipelines(pooler, table):
    with connect(pooler, autocommit=True) as connection:
        connection.execute(f"create table {table}(a int primary key)")
        with connection.pipeline() as pipeline:
            with connection.transaction():
                connection.execute(f"insert into {table} values (1)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                with connection.transaction():
                    connection.execute(f"insert into {table} values (2)")
                    connection.execute(f"insert into {table} values (1)")
                    pipeline.sync()
            with connection.transaction():
                connection.execute(f"insert into {table} values (3)")
        assert connection.execute(f"select a from {table} order by a").fetchall() == [(1,), (3,)]
        connection.execute(f"drop table {table}")


def test_an_error_in_a_pipeline_spares_what_follows_the_next_sync(pooler):
    with connect(pooler, autocommit=True) as connection:
        for _ in range(5):
            with connection.pipeline() as pipeline:
                first = connection.execute("select 1")
                pipeline.sync()
                connection.cursor()
                second = connection.cursor()
                with pytest.raises(psycopg.errors.DivisionByZero):
                    second.execute("select 1 / %s::int", (0,))
                    pipeline.sync()
                third = connection.execute("select 3")
                pipeline.sync()
            assert (first.fetchone(), third.fetchone()) == ((1,), (3,))


def test_what_many_statements_in_one_message_answer(pooler, table):
    with connect(pooler, autocommit=True) as connection:
        cursor = connection.execute(
            f"create table {table}(a int); insert into {table} values (1), (2); select * from {table}; ;"
            f" update {table} set a = 3; drop table {table}")
        answers = []
        while True:
            answers.append((cursor.statusmessage, cursor.fetchall() if cursor.description else None))
            if not cursor.nextset():
                break
        assert answers == [
            ("CREATE TABLE", None), ("INSERT 0 2", None), ("SELECT 2", [(1,), (2,)]), ("UPDATE 2", None),
            ("DROP TABLE", None)]
        assert connection.execute("").statusmessage in (None, "")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute(f"create table {table}(a int); select 1 / 0")
        assert connection.execute("select to_regclass(%s)", (table,)).fetchone() == (None,)


def test_wide_rows_and_long_statements(pooler):
    with connect(pooler) as connection:
        row = connection.execute("select " + ", ".join(map(str, range(1600)))).fetchone()
        assert row == tuple(range(1600))
        row = connection.execute(f"select {'+'.join(['%s'] * 3000)}", [1] * 3000, prepare=True).fetchone()
        assert row == (3000,)
        assert connection.execute("select length('" + "y" * 3_000_000 + "')").fetchone() == (3_000_000,)


def test_errors_say_all_that_postgresql_says(pooler, table):
    with connect(pooler, autocommit=True) as connection:
        connection.execute(f"create table {table}(a int constraint {table}_key primary key check (a < 10))")
        connection.execute(f"insert into {table} values (1)")
        for text, state in [
            (f"insert into {table} values (1)", "23505"), (f"insert into {table} values (10)", "23514"),
            (f"insert into {table} values (null)", "23502"), ("select * from nowhere", "42P01"),
            ("selekt 1", "42601"), ("select 1 / 0", "22012"), ("select 'x'::int", "22P02"),
            ("set nothing = 1", "42704"), ("select no_function()", "42883"),
            ("do $$ begin raise sqlstate 'AB123'; end $$", "AB123"),
        ]:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(text)
            assert caught.value.sqlstate == state, text
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            connection.execute(f"insert into {table} values (%s)", (1,))
        diagnostics = caught.value.diag
        assert (diagnostics.table_name, diagnostics.constraint_name) == (table, f"{table}_key")
        assert diagnostics.message_detail == "Key (a)=(1) already exists."
        with pytest.raises(psycopg.errors.SyntaxError) as caught:
            connection.execute("select 1 frm x")
        assert caught.value.diag.statement_position == "14"
        with pytest.raises(psycopg.errors.RaiseException) as caught:
            connection.execute(
                "do $$ begin raise exception 'the message' using detail = 'the detail', hint = 'the hint'; end $$")
        diagnostics = caught.value.diag
        assert (diagnostics.message_primary, diagnostics.message_detail, diagnostics.message_hint) == (
            "the message", "the detail", "the hint")
        connection.execute(f"drop table {table}")


def test_a_timeout_of_the_statement(pooler):
    with connect(pooler) as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            with connection.transaction():
                connection.execute("set local statement_timeout = 50")
                connection.execute("select pg_sleep(30)")
        assert connection.execute("show statement_timeout").fetchone() == ("0",)


def test_notices_come_to_who_caused_them(pooler):
    def work(number):
        heard = []
        with connect(pooler, autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: heard.append((notice.severity, notice.message_primary)))
            for turn in range(5):
                connection.execute(
                    f"do $$ begin raise notice 'n {number} {turn}'; raise warning 'w {number} {turn}'; end $$")
            with connection.pipeline():
                connection.execute(f"do $$ begin raise notice 'p {number}'; end $$")
                connection.execute("select 1")
        assert heard == [
            word for turn in range(5)
            for word in [("NOTICE", f"n {number} {turn}"), ("WARNING", f"w {number} {turn}")]
        ] + [("NOTICE", f"p {number}")]

    in_threads(12, work)


def test_isolation_and_what_it_refuses(pooler, table):
    with connect(pooler) as first, connect(pooler) as second:
        first.execute(f"create table {table}(a int)")
        first.execute(f"insert into {table} values (1)")
        first.commit()
        first.isolation_level = second.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        for connection in (first, second):
            assert connection.execute(f"select sum(a) from {table}").fetchone() == (1,)
            assert connection.execute("show transaction_isolation").fetchone() == ("serializable",)
            connection.execute(f"insert into {table} values (0)")
        first.commit()
        with pytest.raises(psycopg.errors.SerializationFailure):
            second.commit()
        first.isolation_level = None
        first.read_only = True
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            first.execute(f"insert into {table} values (2)")
        first.rollback()
        first.read_only = None
        assert first.execute("show transaction_isolation").fetchone() == ("read committed",)
        first.execute(f"drop table {table}")


def test_deadlocks_are_found(pooler, table):
    with connect(pooler, autocommit=True) as connection:
        connection.execute(f"create table {table}(a int primary key, b int)")
        connection.execute(f"insert into {table} values (0, 0), (1, 0)")
        together = threading.Barrier(2)
        outcomes = []

        def work(number):
            with connect(pooler) as own:
                own.execute(f"update {table} set b = b + 1 where a = %s", (number,))
                together.wait(30)
                try:
                    own.execute(f"update {table} set b = b + 1 where a = %s", (1 - number,))
                    own.commit()
                    outcomes.append("done")
                except psycopg.errors.DeadlockDetected:
                    own.rollback()
                    outcomes.append("deadlock")

        in_threads(2, work)
        assert sorted(outcomes) == ["deadlock", "done"]
        assert connection.execute(f"select sum(b) from {table}").fetchone() == (2,)
        connection.execute(f"drop table {table}")


def test_transactions_in_two_phases(pooler, table):
    """What one connection has prepared another one commits."""
    with connect(pooler) as second:
        second.execute(f"create table {table}(a int)")
        second.commit()
        for number, commits in enumerate([True, False]):
            first = connect(pooler)
            first.tpc_begin(first.xid(5, f"{table} {number}", "branch"))
            first.execute(f"insert into {table} values (%s)", (number,))
            first.tpc_prepare()
            first.close()
            assert second.execute(f"select count(*) from {table} where a = %s", (number,)).fetchone() == (0,)
            second.rollback()
            found = [xid for xid in second.tpc_recover() if xid.gtrid == f"{table} {number}"]
            second.rollback()
            assert len(found) == 1
            (second.tpc_commit if commits else second.tpc_rollback)(found[0])
        assert second.execute(f"select a from {table}").fetchall() == [(0,)]
        second.execute(f"drop table {table}")


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


def test_copy_in_binary(pooler, table):
    rows = [(number, f"value {number}", b"\x00" * (number % 9), None) for number in range(3000)]
    kinds = ["int8", "text", "bytea", "date"]
    with connect(pooler) as connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table}(a int8, b text, c bytea, d date)")
        with cursor.copy(f"copy {table} from stdin (format binary)") as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)
        with cursor.copy(f"copy {table} to stdout (format binary)") as copy:
            copy.set_types(kinds)
            assert list(copy.rows()) == rows
        cursor.execute(f"drop table {table}")


def test_copy_from_one_connection_into_another(pooler, table):
    with connect(pooler) as source, connect(pooler) as target:
        target.execute(f"create table {table}(a int, b text)")
        with source.cursor().copy(
                "copy (select n, repeat('x', n % 300) from generate_series(1, 20000) n) to stdout") as reading:
            with target.cursor().copy(f"copy {table} from stdin") as writing:
                for block in reading:
                    writing.write(block)
        assert target.execute(f"select count(*), sum(a), sum(length(b)) from {table}").fetchone() == (
            20000, 200010000, sum(number % 300 for number in range(1, 20001)))
        target.execute(f"drop table {table}")


def test_copy_that_is_left_early(pooler):
    """The driver cancels what it does not want to read to its end."""
    with connect(pooler, autocommit=True) as connection:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                with connection.cursor().copy("copy (select generate_series(1, 100000000)) to stdout") as copy:
                    assert bytes(copy.read()) == b"1\n"
                    raise ZeroDivisionError
            assert connection.execute("select 'after'").fetchone() == ("after",)


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


def test_cancel_that_waits_for_its_effect(pooler):
    with connect(pooler, autocommit=True) as connection:
        for _ in range(3):
            timer = threading.Timer(0.2, lambda: connection.cancel_safe(timeout=10))
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("select pg_sleep(30)")
            timer.join()
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_cancelled_task_cancels_its_query(pooler):
    async def whole():
        async with await psycopg.AsyncConnection.connect(pooler.dsn, autocommit=True) as connection:
            for _ in range(3):
                start = time.monotonic()
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(connection.execute("select pg_sleep(30)"), 0.3)
                assert time.monotonic() - start < 10
                cursor = await connection.execute("select 1")
                assert await cursor.fetchone() == (1,)

    asyncio.run(whole())


def test_cancel_hits_nobody_else(pooler, table):
    """Victims are cancelled one by one, each when it runs; the others, on the same servers, notice nothing."""
    victims, ended = {}, threading.Event()

    def is_running(marker):
        return pooler.postgres.run(
            f"select pid from pg_stat_activity where state = 'active' and query like '%/* {marker} */%'"
            " and pid <> pg_backend_pid()")

    def work(number):
        with connect(pooler, autocommit=True) as connection:
            if number < 5:
                victims[number] = connection
                with pytest.raises(psycopg.errors.QueryCanceled):
                    connection.execute(f"select pg_sleep(60) /* {table} {number} */")
            elif number < 8:
                while not ended.is_set():
                    assert connection.execute("select %s::int, pg_sleep(0.001)", (number,)).fetchone()[0] == number
            else:
                try:
                    left = set(range(5))
                    while left:
                        number = until("a victim runs", lambda: [v for v in left if is_running(f"{table} {v}")])[0]
                        victims[number].cancel()
                        until("it no longer runs", lambda: not is_running(f"{table} {number}"))
                        left.remove(number)
                finally:
                    ended.set()

    in_threads(9, work)


def test_cancel_of_nothing_does_nothing(pooler):
    with connect(pooler, autocommit=True) as connection, connect(pooler, autocommit=True) as other:
        for number in range(10):
            assert connection.execute("select %s::int", (number,)).fetchone() == (number,)
            connection.cancel_safe(timeout=10)
            assert other.execute("select %s::int", (number,)).fetchone() == (number,)


@pytest.mark.session_mode
def test_what_a_session_has_of_its_own(pooler, table):
    with connect(pooler, autocommit=True) as first, connect(pooler, autocommit=True) as second:
        first.execute(f"create temporary table {table}(a int)")
        first.execute(f"insert into {table} values (1)")
        first.execute(f"prepare {table}_statement as select a + 1 from {table}")
        assert first.execute(f"execute {table}_statement").fetchone() == (2,)
        first.execute("select pg_advisory_lock(hashtext(%s))", (table,))
        assert second.execute("select pg_try_advisory_lock(hashtext(%s))", (table,)).fetchone() == (False,)
        assert second.execute("select to_regclass(%s)", (table,)).fetchone() == (None,)
        with first.cursor(f"{table}_held", withhold=True) as cursor:
            cursor.execute("select generate_series(1, 10)")
            assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
            assert first.execute("select 1").fetchone() == (1,)
            assert cursor.fetchmany(2) == [(4,), (5,)]
        first.execute("set work_mem = '5MB'")
        assert first.execute("show work_mem").fetchone() == ("5MB",)
        assert first.info.backend_pid == first.info.backend_pid
    # Whoever has the servers next finds nothing of this.
    for _ in range(5):
        with connect(pooler, autocommit=True) as third:
            assert third.execute("show work_mem").fetchone() == ("4MB",)
            assert third.execute("select to_regclass(%s)", (table,)).fetchone() == (None,)
            assert third.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
    until("the lock is free", lambda: pooler.postgres.run(
        f"select pg_try_advisory_lock(hashtext('{table}'))", database="app") == "t")


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


def test_parameters_stay_with_their_clients_when_there_are_more_than_servers(pooler):
    moment = "select '2024-01-31 12:00+00'::timestamptz::text"

    def work(number):
        zone, hour = [("UTC", "12:00:00+00"), ("Asia/Tokyo", "21:00:00+09"), ("America/New_York", "07:00:00-05")][
            number % 3]
        style = ["ISO, MDY", "ISO, DMY"][number % 2]
        interval = ["postgres", "iso_8601"][number // 2 % 2]
        encoding = ["utf8", "latin1", "euc_jp"][number // 3 % 3]
        letter = "é" if encoding == "latin1" else "日"
        with connect(pooler, autocommit=True, application_name=f"client {number}", client_encoding=encoding) as own:
            own.execute(f"set timezone = '{zone}'")
            own.execute(f"set datestyle = '{style}'")
            own.execute(f"set intervalstyle = '{interval}'")
            for _ in range(15):
                assert own.execute(moment).fetchone() == (f"2024-01-31 {hour}",)
                assert own.execute("show datestyle").fetchone() == (style,)
                assert own.execute("show application_name").fetchone() == (f"client {number}",)
                day = own.execute("select '03/02/2024'::date::text").fetchone()
                assert day == ("2024-03-02" if "MDY" in style else "2024-02-03",)
                assert own.execute("select '1 day 2 hours'::interval::text").fetchone() == (
                    "P1DT2H" if interval == "iso_8601" else "1 day 02:00:00",)
                assert own.execute("select %s::text, length(%s)", (letter, letter)).fetchone() == (letter, 1)
            assert own.info.parameter_status("TimeZone") == zone
            assert own.info.parameter_status("DateStyle") == style
            assert own.info.parameter_status("application_name") == f"client {number}"

    in_threads(18, work)


def test_parameters_given_at_the_start(pooler):
    options = "-c timezone=Asia/Tokyo -c datestyle=ISO,DMY"
    with connect(pooler, autocommit=True, options=options, application_name="it's \"me\"") as first:
        with connect(pooler, autocommit=True) as second:
            for _ in range(3):
                assert first.execute("select current_setting('timezone'), current_setting('datestyle')").fetchone() == (
                    "Asia/Tokyo", "ISO, DMY")
                assert first.execute("show application_name").fetchone() == ("it's \"me\"",)
                assert second.execute("show timezone").fetchone() != ("Asia/Tokyo",)


def test_parameters_of_a_transaction_end_with_it(pooler):
    with connect(pooler, application_name="before") as first, connect(pooler, autocommit=True) as second:
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                with first.transaction():
                    first.execute("set application_name = 'rolled back'")
                    first.execute("set timezone = 'Asia/Tokyo'")
                    raise ZeroDivisionError
            with first.transaction():
                first.execute("set local timezone = 'Asia/Tokyo'")
                assert first.execute("show timezone").fetchone() == ("Asia/Tokyo",)
            assert second.execute("show timezone").fetchone() != ("Asia/Tokyo",)
            assert first.execute("show timezone").fetchone() != ("Asia/Tokyo",)
            assert first.execute("show application_name").fetchone() == ("before",)
            first.rollback()


def test_reset_ends_what_was_set_and_concerns_nobody_else(pooler):
    """What it brings back are the values the server logged in with: see Docs/COMPATIBILITY.md."""
    with connect(pooler, autocommit=True, application_name="mine", options="-c timezone=Asia/Tokyo") as first:
        with connect(pooler, autocommit=True, application_name="other") as second:
            for command in ("reset all", "discard all", "reset timezone; reset application_name"):
                first.execute("set timezone = 'Europe/Paris'; set application_name = 'changed'")
                assert second.execute("show application_name").fetchone() == ("other",)
                first.execute(command)
                for _ in range(3):
                    assert first.execute("show timezone").fetchone() != ("Europe/Paris",), command
                    assert first.execute("show application_name").fetchone() != ("changed",), command
                    assert second.execute("show application_name").fetchone() == ("other",), command


def test_a_server_that_dies_takes_only_its_own_client_with_it(pooler):
    with connect(pooler, autocommit=True) as other:
        for _ in range(4):
            with connect(pooler) as connection:
                with pytest.raises(psycopg.OperationalError) as caught:
                    connection.execute("select pg_terminate_backend(pg_backend_pid())").fetchone()
                assert caught.value.sqlstate == "57P01"
                assert connection.closed
            assert other.execute("select 1").fetchone() == (1,)


def test_who_may_not_come_in_is_told_why(pooler):
    for dsn, word in [
        (pooler.dsn.replace("password=secret", "password=wrong"), "password authentication failed|SASL auth"),
        (pooler.dsn.replace("user=app", "user=nobody_here"), "password authentication failed|SASL auth|not exist"),
        (pooler.dsn.replace("dbname=app", "dbname=nowhere_at_all"), "nowhere_at_all.*does not exist"),
        (pooler.dsn.replace("sslmode=disable", "sslmode=require"), "SSL"),
    ]:
        if pooler.program is None and "wrong" in dsn:
            continue
        with pytest.raises(psycopg.OperationalError, match=word):
            psycopg.connect(dsn)
    with psycopg.connect(pooler.dsn.replace("sslmode=disable", "sslmode=prefer")) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_what_the_driver_knows_of_its_connection(pooler):
    with connect(pooler) as connection:
        information = connection.info
        assert information.server_version == int(pooler.postgres.run("show server_version_num"))
        assert information.encoding == "utf-8"
        assert information.parameter_status("standard_conforming_strings") == "on"
        assert information.parameter_status("integer_datetimes") == "on"
        assert information.parameter_status("server_encoding") == "UTF8"
        assert information.backend_pid != 0
        assert information.transaction_status == psycopg.pq.TransactionStatus.IDLE
        connection.execute("select 1")
        assert information.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1 / 0")
        assert information.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("select 1")


def test_the_drivers_own_pool_in_front(pooler):
    with ConnectionPool(pooler.dsn, min_size=2, max_size=6, kwargs={"row_factory": dict_row}) as pool:
        pool.wait()
        results = []

        def work(number):
            for _ in range(20):
                with pool.connection() as connection:
                    results.append(connection.execute("select %s::int as n", (number,)).fetchone()["n"])

        in_threads(10, work)
        assert sorted(results) == sorted(list(range(10)) * 20)


def test_the_drivers_pool_replaces_connections_that_broke(pooler):
    with ConnectionPool(
            pooler.dsn, min_size=3, max_size=3, check=ConnectionPool.check_connection, timeout=20,
            kwargs={"autocommit": True}) as pool:
        for _ in range(4):
            with pool.connection() as connection:
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("select pg_terminate_backend(pg_backend_pid())")
            for _ in range(4):
                with pool.connection() as connection:
                    assert connection.execute("select 1").fetchone() == (1,)


def test_a_pool_that_keeps_nothing(pooler):
    with NullConnectionPool(pooler.dsn, max_size=10, timeout=30) as pool:
        def work(number):
            for turn in range(5):
                with pool.connection() as connection:
                    assert connection.execute("select %s::int, %s::int", (number, turn)).fetchone() == (number, turn)

        in_threads(10, work)


def test_the_asynchronous_pool(pooler):
    async def whole():
        async with AsyncConnectionPool(
                pooler.dsn, min_size=2, max_size=20, timeout=30, kwargs={"prepare_threshold": 1}) as pool:
            async def work(number):
                for turn in range(10):
                    async with pool.connection() as connection, connection.pipeline():
                        cursor = await connection.execute("select %s::int * 2", (number,))
                        other = await connection.execute("select %s::int * 3", (turn,))
                        assert await cursor.fetchone() == (number * 2,)
                        assert await other.fetchone() == (turn * 3,)

            await asyncio.gather(*(work(number) for number in range(40)))

    asyncio.run(asyncio.wait_for(whole(), 120))


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
