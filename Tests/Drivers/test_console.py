"""The console through drivers that know only the extended query protocol, or use it when they can."""

import asyncio
import datetime

import asyncpg
import psycopg
import pytest

pytestmark = [pytest.mark.pooler_only, pytest.mark.one_way]

# What SHOW gives, and whether its answer has rows even in an idle pooler.
TABLES = [
    "CONFIG", "DATABASES", "POOLS", "CLIENTS", "SERVERS", "USERS", "VERSION", "STATS", "STATS_TOTALS",
    "STATS_AVERAGES", "TOTALS", "LISTS", "STATE", "PEERS", "PEER_POOLS",
]


def psycopg_console(pooler):
    return psycopg.connect(pooler.dsn.replace("dbname=app", "dbname=pgbouncer"), autocommit=True)


def asyncpg_console(pooler, body):
    async def whole():
        connection = await asyncpg.connect(pooler.url.rsplit("/", 1)[0] + "/pgbouncer", timeout=20)
        try:
            await asyncio.wait_for(body(connection), 60)
        finally:
            await connection.close(timeout=10)

    asyncio.run(whole())


def test_asyncpg_reads_every_table(pooler):
    async def body(console):
        for table in TABLES:
            for _ in range(2):
                rows = await console.fetch(f"SHOW {table}")
            if table == "LISTS":
                assert {row["list"]: row["items"] for row in rows}["databases"] >= 1
            if table == "TOTALS":
                assert all(row["value"] >= 0 for row in rows)
        assert await console.fetchval("SHOW VERSION") == await console.fetchval("select version")
        assert await console.execute("RELOAD") == "RELOAD"

    asyncpg_console(pooler, body)


def test_asyncpg_is_told_what_does_not_work(pooler):
    async def body(console):
        with pytest.raises(asyncpg.FeatureNotSupportedError, match="take no parameters"):
            await console.fetch("PAUSE $1", "app")
        with pytest.raises(asyncpg.PostgresError, match="invalid command 'SHOW NOTHING'"):
            await console.fetch("SHOW NOTHING")
        assert (await console.fetchrow("SHOW STATE"))["value"] == "yes"

    asyncpg_console(pooler, body)


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_reads_tables_in_both_formats(pooler, binary):
    with psycopg_console(pooler) as console:
        for table in TABLES:
            cursor = console.execute(f"SHOW {table}", prepare=True, binary=binary)
            names = [column.name for column in cursor.description]
            for row in cursor.fetchall():
                row = dict(zip(names, row))
                if table == "POOLS":
                    assert isinstance(row["cl_active"], int) and row["cl_active"] >= 0
                if table == "CLIENTS":
                    assert datetime.datetime.strptime(row["connect_time"][:19], "%Y-%m-%d %H:%M:%S")
        assert console.execute("SHOW HELP", binary=binary).statusmessage == "SHOW"
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="take no parameters"):
            console.execute("SHOW %s", ["POOLS"], binary=binary)
        assert console.execute("SHOW STATE", binary=binary).fetchone() == ("active", "yes")


def test_psycopg_sends_commands_in_a_pipeline(pooler):
    with psycopg_console(pooler) as console, console.pipeline() as pipeline:
        cursors = [console.execute(f"SHOW {table}") for table in TABLES]
        pipeline.sync()
        assert [cursor.statusmessage for cursor in cursors] == ["SHOW"] * len(TABLES)
