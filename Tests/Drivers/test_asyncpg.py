"""asyncpg: everything is a named prepared statement, in binary, on one event loop."""

import asyncio
import datetime
import decimal
import io
import json
import uuid

import asyncpg
import pytest


def run(pooler, body, **options):
    async def whole():
        connection = await asyncpg.connect(pooler.url, timeout=20, **options)
        try:
            await asyncio.wait_for(body(connection), 120)
        finally:
            await connection.close(timeout=10)

    asyncio.run(whole())


def test_values_of_many_types_come_back(pooler):
    async def body(connection):
        for kind, value in [
            ("int4", 5), ("int8", 2**60), ("float8", 1.25), ("numeric", decimal.Decimal("1.50")), ("text", "ünï"),
            ("bytea", b"\x00\x01"), ("bool", True), ("date", datetime.date(2024, 2, 29)), ("uuid", uuid.uuid4()),
            ("int4[]", [1, 2]), ("text", None),
        ]:
            assert await connection.fetchval(f"select $1::{kind}", value) == value

    run(pooler, body)


def test_statements_are_kept_by_the_driver(pooler):
    async def body(connection):
        for turn in range(5):
            for number in range(30):
                assert await connection.fetchval(f"select {number} + $1::int", turn) == number + turn

    run(pooler, body, statement_cache_size=10)


def test_explicit_prepared_statements(pooler):
    async def body(connection):
        statement = await connection.prepare("select $1::int as n, $2::text as t")
        assert [attribute.name for attribute in statement.get_attributes()] == ["n", "t"]
        assert [parameter.name for parameter in statement.get_parameters()] == ["int4", "text"]
        for number in range(10):
            assert tuple(await statement.fetchrow(number, "x")) == (number, "x")

    run(pooler, body)


def test_a_changed_table_is_mended_by_the_driver(pooler, table):
    """Outside of transactions the driver prepares anew what the server no longer accepts."""
    async def body(connection):
        await connection.execute(f"create table {table}(a int); insert into {table} values (1)")
        for number in range(4):
            for _ in range(3):
                row = await connection.fetchrow(f"select * from {table} where a = $1", 1)
                assert len(row) == number + 1
            await connection.execute(f"alter table {table} add column b{number} text")
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_who_comes_after_a_change_of_a_table_sees_it_as_it_is(pooler, table):
    async def body(connection):
        await connection.execute(f"create table {table}(a int); insert into {table} values (1)")
        for number in range(3):
            for _ in range(8):
                newcomer = await asyncpg.connect(pooler.url, timeout=20)
                for _ in range(2):
                    assert len(await newcomer.fetchrow(f"select * from {table} where a = $1", 1)) == number + 1
                await newcomer.close()
            await connection.execute(f"alter table {table} add column b{number} text")
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_statements_that_were_deallocated_are_prepared_anew(pooler):
    """What a client deallocates is gone for itself only, and its other statements can be made again."""
    async def body(connection):
        other = await asyncpg.connect(pooler.url, timeout=20)
        for turn in range(6):
            assert await connection.fetchval("select $1::int + 1", turn) == turn + 1
            assert await other.fetchval("select $1::int + 1", turn) == turn + 1
            await connection.reload_schema_state()
            await connection.execute("discard all" if turn % 2 else "deallocate all")
            connection._drop_global_statement_cache()
            assert await other.fetchval("select $1::int + 1", turn) == turn + 1
        await other.close()

    run(pooler, body)


def test_without_a_cache_each_statement_is_prepared_once(pooler):
    async def body(connection):
        for turn in range(40):
            assert await connection.fetchval("select $1::int + 1", turn) == turn + 1

    run(pooler, body, statement_cache_size=0)


def test_the_same_statements_from_many_clients(pooler):
    async def whole():
        async def work(number):
            connection = await asyncpg.connect(pooler.url, timeout=30, statement_cache_size=5)
            for turn in range(20):
                kind = (number + turn) % 9
                assert await connection.fetchval(f"select $1::int * 10 + {kind}", turn) == turn * 10 + kind
            await connection.close()

        await asyncio.gather(*(work(number) for number in range(30)))

    asyncio.run(asyncio.wait_for(whole(), 120))


def test_a_statement_may_not_change_while_it_is_prepared(pooler):
    """Parameters that change what a text means keep its statements apart."""
    async def whole():
        async def work(number):
            style, day = [("ISO, MDY", 2), ("ISO, DMY", 3)][number % 2]
            connection = await asyncpg.connect(pooler.url, timeout=30, server_settings={"datestyle": style})
            for _ in range(20):
                assert await connection.fetchval("select '03/02/2024'::date") == datetime.date(
                    2024, 5 - day, day)
            await connection.close()

        await asyncio.gather(*(work(number) for number in range(16)))

    asyncio.run(asyncio.wait_for(whole(), 120))


def test_transactions(pooler, table):
    async def body(connection):
        await connection.execute(f"create table {table}(a int primary key)")
        async with connection.transaction():
            await connection.execute(f"insert into {table} values (1)")
            with pytest.raises(asyncpg.UniqueViolationError):
                async with connection.transaction():
                    await connection.execute(f"insert into {table} values (1)")
            await connection.execute(f"insert into {table} values (2)")
        transaction = connection.transaction(isolation="serializable", readonly=True)
        await transaction.start()
        assert await connection.fetchval(f"select count(*) from {table}") == 2
        await transaction.rollback()
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_errors_leave_the_connection_usable(pooler):
    async def body(connection):
        for _ in range(10):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetch("select 1 / $1::int", 0)
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.fetch("select * from nowhere where a = $1", 1)
            assert await connection.fetchval("select $1::int", 5) == 5
        with pytest.raises(asyncpg.RaiseError) as caught:
            await connection.execute(
                "do $$ begin raise exception 'the message' using detail = 'the detail', hint = 'the hint'; end $$")
        assert (caught.value.sqlstate, caught.value.detail, caught.value.hint) == ("P0001", "the detail", "the hint")

    run(pooler, body)


def test_notices_and_ends_are_heard(pooler):
    async def body(connection):
        heard = []
        connection.add_log_listener(lambda _, message: heard.append(message.message))
        for number in range(5):
            await connection.execute(f"do $$ begin raise notice 'notice {number}'; end $$")
            await connection.fetchval("select $1::int", number)
        # The driver calls listeners a moment later.
        await asyncio.sleep(0)
        assert heard == [f"notice {number}" for number in range(5)]

    run(pooler, body)


def test_serializable_transactions_that_collide(pooler, table):
    async def body(connection):
        other = await asyncpg.connect(pooler.url, timeout=20)
        await connection.execute(f"create table {table}(a int); insert into {table} values (1)")
        first, second = (each.transaction(isolation="serializable") for each in (connection, other))
        await first.start()
        await second.start()
        for each in (connection, other):
            assert await each.fetchval(f"select sum(a) from {table}") == 1
            await each.execute(f"insert into {table} values (0)")
        await first.commit()
        with pytest.raises(asyncpg.SerializationError):
            await second.commit()
        await other.close()
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_many_rows_and_copy(pooler, table):
    async def body(connection):
        await connection.execute(f"create table {table}(a int, b text)")
        await connection.executemany(
            f"insert into {table} values ($1, $2)", [(number, f"row {number}") for number in range(2000)])
        await connection.copy_records_to_table(
            table, records=[(number, f"copied {number}") for number in range(5000)])
        assert await connection.fetchval(f"select count(*) from {table}") == 7000
        chunks = []

        async def collect(data):
            chunks.append(data)

        await connection.copy_from_query(f"select a, b from {table} order by a, b", output=collect)
        assert b"".join(chunks).count(b"\n") == 7000
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.copy_from_query("select 1 / 0", output=collect)
        assert await connection.fetchval("select 1") == 1
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_copy_in_binary_and_from_files(pooler, table, tmp_path):
    async def body(connection):
        await connection.execute(f"create table {table}(a int, b text, c bytea)")
        rows = [(number, f"row {number}" if number % 3 else None, b"\xff" * (number % 7)) for number in range(4000)]
        await connection.copy_records_to_table(table, records=rows, columns=["a", "b", "c"])
        whole = tmp_path / "whole"
        assert await connection.copy_from_table(table, output=whole, format="binary") == "COPY 4000"
        await connection.execute(f"truncate {table}")
        assert await connection.copy_to_table(table, source=whole, format="binary") == "COPY 4000"
        found = await connection.fetch(f"select * from {table} order by a")
        assert [tuple(row) for row in found] == rows
        with pytest.raises(asyncpg.BadCopyFileFormatError):
            await connection.copy_to_table(table, source=io.BytesIO(b"not binary at all"), format="binary")
        assert await connection.fetchval(f"select count(*) from {table}") == 4000
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_copy_that_is_broken_off(pooler):
    async def body(connection):
        for _ in range(3):
            async def refuse(data):
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await connection.copy_from_query("select generate_series(1, 100000000)", output=refuse)
            assert await connection.fetchval("select 'after'") == "after"

    run(pooler, body)


def test_cursors_in_a_transaction(pooler):
    async def body(connection):
        async with connection.transaction():
            total = 0
            async for row in connection.cursor("select generate_series(1, 1000) as n", prefetch=70):
                total += row["n"]
            assert total == 500500
            cursor = await connection.cursor("select generate_series(1, 100) as n")
            await cursor.forward(10)
            assert (await cursor.fetchrow())["n"] == 11

    run(pooler, body)


def test_a_timeout_cancels(pooler):
    async def body(connection):
        # Prepared beforehand, so that the time cannot run out between two messages, when the cancel request would
        # find nothing to do and with several workers might hit what comes next.
        statement = await connection.prepare("select pg_sleep(30)")
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await statement.fetch(timeout=0.5)
            assert await connection.fetchval("select 1") == 1

    run(pooler, body)


def test_a_cancelled_task_cancels_its_query(pooler):
    async def body(connection):
        statement = await connection.prepare("select pg_sleep(30)")
        for _ in range(3):
            task = asyncio.create_task(statement.fetch())
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await connection.fetchval("select 1") == 1

    run(pooler, body)


def test_a_client_that_vanishes_in_a_transaction_leaves_nothing_behind(pooler, table):
    async def body(connection):
        await connection.execute(f"create table {table}(a int primary key)")
        for _ in range(12):
            vanishing = await asyncpg.connect(pooler.url, timeout=20)
            await vanishing.execute(f"begin; insert into {table} values (1)")
            vanishing.terminate()
        await connection.execute(f"insert into {table} values (1)")
        assert await connection.fetchval(f"select count(*) from {table}") == 1
        await connection.execute(f"drop table {table}")

    run(pooler, body)


def test_the_driver_looks_up_types_in_any_state(pooler, table):
    """Looking up a type of a user's own takes the driver several statements of its own, prepared and in binary."""
    async def body(connection):
        await connection.execute(
            f"create type {table} as enum ('a'); create domain {table}_domain as int check (value > 0);"
            f"create type {table}_range as range (subtype = int); create type {table}_row as (e {table}, n int[])")
        async with connection.transaction():
            assert await connection.fetchval(f"select '[1,5)'::{table}_range") == asyncpg.Range(1, 5)
        assert await connection.fetchval(f"select 5::{table}_domain") == 5
        assert tuple(await connection.fetchval(f"select row('a', '{{1,2}}')::{table}_row")) == ("a", [1, 2])
        await connection.set_type_codec(
            "json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        assert await connection.fetchval("select $1::json", {"a": [1, None]}) == {"a": [1, None]}
        await connection.execute(
            f"drop type {table}_row; drop type {table}_range; drop domain {table}_domain; drop type {table}")

    run(pooler, body)


def test_the_drivers_reset_ends_what_was_set_and_concerns_nobody_else(pooler):
    """The driver's pool sends this whenever a connection comes back to it. What it brings back are the values the
    server logged in with: see Docs/COMPATIBILITY.md."""
    async def body(connection):
        other = await asyncpg.connect(pooler.url, timeout=20, server_settings={"application_name": "other"})
        for _ in range(3):
            await connection.execute("set timezone = 'Europe/Paris'")
            assert await other.fetchval("show application_name") == "other"
            await connection.reset()
            assert await connection.fetchval("show timezone") != "Europe/Paris"
            assert await other.fetchval("show application_name") == "other"
        await other.close()

    run(pooler, body, server_settings={"application_name": "mine", "timezone": "Asia/Tokyo"})


def test_parameters(pooler):
    async def body(connection):
        assert await connection.fetchval("show application_name") == "asyncpg test"
        await connection.execute("set timezone = 'Asia/Tokyo'")
        for _ in range(5):
            assert await connection.fetchval("show timezone") == "Asia/Tokyo"
        assert connection.get_settings().TimeZone == "Asia/Tokyo"

    run(pooler, body, server_settings={"application_name": "asyncpg test"})


def test_types_of_the_users_own(pooler, table):
    async def body(connection):
        await connection.execute(f"create type {table} as enum ('red', 'green')")
        assert await connection.fetchval(f"select $1::{table}", "green") == "green"
        await connection.execute(f"create type {table}_pair as (a int, b text)")
        row = await connection.fetchval(f"select (1, 'x')::{table}_pair")
        assert tuple(row) == (1, "x")
        await connection.execute(f"drop type {table}_pair; drop type {table}")

    run(pooler, body)


def test_the_drivers_pool_with_more_clients_than_servers(pooler, table):
    async def whole():
        async with asyncpg.create_pool(pooler.url, min_size=5, max_size=30, timeout=20) as pool:
            await pool.execute(f"create table {table}(n int)")

            async def work(number):
                for turn in range(10):
                    async with pool.acquire() as connection:
                        async with connection.transaction():
                            assert await connection.fetchval("select $1::int * 3", turn) == turn * 3
                            await connection.execute(f"insert into {table} values ($1)", number)

            await asyncio.gather(*(work(number) for number in range(40)))
            assert await pool.fetchval(f"select count(*) from {table}") == 400
            await pool.execute(f"drop table {table}")

    asyncio.run(asyncio.wait_for(whole(), 120))


@pytest.mark.session_mode
def test_notifications_in_session_mode(pooler, table):
    async def body(connection):
        heard = asyncio.get_running_loop().create_future()
        await connection.add_listener(table, lambda *arguments: heard.set_result(arguments[3]))
        await connection.execute(f"notify {table}, 'news'")
        assert await asyncio.wait_for(heard, 10) == "news"

    run(pooler, body)
