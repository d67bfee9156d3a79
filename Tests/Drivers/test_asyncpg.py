"""asyncpg: everything is a named prepared statement, in binary, on one event loop."""

import asyncio
import datetime
import decimal
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
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await connection.fetch("select pg_sleep(30)", timeout=0.3)
            assert await connection.fetchval("select 1") == 1

    run(pooler, body)


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
