"""COPY of much data each way, through each driver: all arrives, and the pooler's memory stays as it is.

The usual run copies 64 MB at a time, `--everything` a gigabyte.
"""

import asyncio
import os
import signal
import threading
import time

import asyncpg
import psycopg
import psycopg2
import pytest
from postgres import Pooler
from support import Memory, until

ROW = b"x" * 8191 + b"\n"
BLOCK = ROW * 16
GROWTH = 32 << 20
USUAL = 64 << 20
LARGE = 1 << 30


class Copies:
    """What a test copies and counts. PostgreSQL counts the rows it is given in a sequence and keeps none."""

    def __init__(self, pooler, table, amount):
        self.pooler, self.table = pooler, table
        self.blocks = amount // len(BLOCK)
        self.rows = self.blocks * 16
        pooler.postgres.run(
            f"create table {table}(a text); create sequence {table}_rows cache 1000", database=pooler.database)
        self.into = f"copy {table} from stdin where nextval('{table}_rows') < 0"
        self.out = f"copy (select repeat('x', 8191) from generate_series(1, {self.rows})) to stdout"
        self.memory = Memory(pooler.program.process) if pooler.program else None

    def check(self, received):
        assert received == self.rows * len(ROW)
        run = self.pooler.postgres.run
        counted = f"select nextval('{self.table}_rows') > {self.rows}"
        assert run(counted, database=self.pooler.database) == "t"
        if self.memory:
            growth = self.memory.growth()
            print(f"memory grew by {growth / 1048576:.1f} MB")
            assert growth < GROWTH
        run(f"drop table {self.table}; drop sequence {self.table}_rows", database=self.pooler.database)


@pytest.fixture
def copies(way, postgres, table, request):
    pooler = Pooler(postgres, *way)
    yield Copies(pooler, table, LARGE if request.config.getoption("everything") else USUAL)
    pooler.stop()


@pytest.fixture
def usual_copies(way, postgres, table):
    pooler = Pooler(postgres, *way)
    yield Copies(pooler, table, USUAL)
    pooler.stop()


def test_psycopg(copies):
    received = 0
    with psycopg.connect(copies.pooler.dsn, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(copies.into) as copy:
            for _ in range(copies.blocks):
                copy.write(BLOCK)
        with cursor.copy(copies.out) as copy:
            for block in copy:
                received += len(block)
    copies.check(received)


class Source:
    """A file that psycopg2 reads: so many blocks."""

    def __init__(self, blocks):
        self.left = blocks * len(BLOCK)

    def read(self, size):
        size = min(size, self.left)
        start = -self.left % len(ROW)
        self.left -= size
        return (ROW[start:] + ROW * (size // len(ROW) + 1))[:size]


class Sink:
    received = 0

    def write(self, block):
        self.received += len(block)


def test_psycopg2(copies):
    connection, sink = psycopg2.connect(copies.pooler.dsn), Sink()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.copy_expert(copies.into, Source(copies.blocks), len(BLOCK))
        cursor.copy_expert(copies.out, sink)
    connection.close()
    copies.check(sink.received)


def test_asyncpg(copies):
    received = 0

    async def blocks():
        for _ in range(copies.blocks):
            yield BLOCK

    async def collect(block):
        nonlocal received
        received += len(block)

    async def whole():
        connection = await asyncpg.connect(copies.pooler.url, timeout=20)
        # The driver has no COPY with a condition; the trigger counts and keeps nothing.
        await connection.execute(
            f"create function {copies.table}_count() returns trigger language plpgsql as $$"
            f" begin perform nextval('{copies.table}_rows'); return null; end $$;"
            f" create trigger counting before insert on {copies.table}"
            f" for each row execute function {copies.table}_count()")
        await connection.copy_to_table(copies.table, source=blocks())
        query = copies.out.removeprefix("copy (").removesuffix(") to stdout")
        await connection.copy_from_query(query, output=collect)
        await connection.execute(f"drop function {copies.table}_count() cascade")
        await connection.close()

    asyncio.run(whole())
    copies.check(received)


def test_a_client_that_does_not_read_holds_nobody_up(usual_copies):
    with psycopg.connect(usual_copies.pooler.dsn, autocommit=True) as slow, psycopg.connect(
            usual_copies.pooler.dsn, autocommit=True) as other:
        with slow.cursor().copy(usual_copies.out) as copy:
            received = len(copy.read())
            for number in range(200):
                assert other.execute("select %s::int", (number,)).fetchone() == (number,)
            with other.cursor().copy("copy (select repeat('x', 8191) from generate_series(1, 200)) to stdout") as more:
                assert sum(len(block) for block in more) == 200 * len(ROW)
            received += sum(len(block) for block in copy)
        with slow.cursor().copy(usual_copies.into) as copy:
            for _ in range(usual_copies.blocks):
                copy.write(BLOCK)
    usual_copies.check(received)


def test_a_server_that_does_not_read_is_waited_for(usual_copies):
    """What the client sends meanwhile stays with the client."""
    sent = 0
    with psycopg.connect(usual_copies.pooler.dsn, autocommit=True) as connection:
        with connection.cursor().copy(usual_copies.into) as copy:
            backend = int(until("PostgreSQL usual_copies", lambda: usual_copies.pooler.postgres.run(
                "select pid from pg_stat_activity"
                f" where state = 'active' and query like 'copy {usual_copies.table} %'")))

            def send():
                nonlocal sent
                for _ in range(usual_copies.blocks):
                    copy.write(BLOCK)
                    sent += 1

            os.kill(backend, signal.SIGSTOP)
            try:
                sender = threading.Thread(target=send)
                sender.start()
                last = (-1, time.monotonic())

                def is_stuck():
                    nonlocal last
                    if sent != last[0]:
                        last = (sent, time.monotonic())
                    return time.monotonic() - last[1] > 0.5

                until("the client waits", is_stuck)
                assert 0 < sent < usual_copies.blocks
            finally:
                os.kill(backend, signal.SIGCONT)
                sender.join()
        with connection.cursor().copy(usual_copies.out) as copy:
            received = sum(len(block) for block in copy)
    usual_copies.check(received)
