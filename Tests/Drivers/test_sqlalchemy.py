"""SQLAlchemy 2 over three drivers: core, ORM, reflection, savepoints, bulk inserts."""

import asyncio
import datetime
import decimal
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from support import in_threads


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request, pooler):
    url = pooler.url.replace("postgresql://", f"postgresql+{request.param}://")
    engine = sa.create_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True)
    yield engine
    engine.dispose()


def models(prefix):
    """Two related classes whose tables are this test's alone."""

    class Base(orm.DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = f"{prefix}_author"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str] = orm.mapped_column(sa.String(50), unique=True)
        books: orm.Mapped[list["Book"]] = orm.relationship(
            back_populates="author", cascade="all, delete-orphan")

    class Book(Base):
        __tablename__ = f"{prefix}_book"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        title: orm.Mapped[str]
        year: orm.Mapped[int | None]
        author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(f"{prefix}_author.id"))
        author: orm.Mapped[Author] = orm.relationship(back_populates="books")

    return Base, Author, Book


def test_objects_are_stored_and_found(engine, table):
    base, author_class, book_class = models(table)
    base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        author = author_class(name="Le Guin")
        author.books = [book_class(title=f"Book {number}", year=1960 + number) for number in range(20)]
        session.add(author)
        session.commit()
        found = session.scalars(
            sa.select(book_class).join(author_class).where(author_class.name == "Le Guin", book_class.year > 1970)
        ).all()
        assert len(found) == 9
        loaded = session.scalars(
            sa.select(author_class).options(orm.selectinload(author_class.books))).one()
        loaded.books[0].title = "Changed"
        session.delete(loaded.books[1])
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(book_class)) == 19
    base.metadata.drop_all(engine)


def test_savepoints_and_rollbacks(engine, table):
    base, author_class, _ = models(table)
    base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(author_class(name="kept"))
        session.flush()
        with pytest.raises(sa.exc.IntegrityError):
            with session.begin_nested():
                session.add(author_class(name="kept"))
                session.flush()
        session.add(author_class(name="also kept"))
        session.commit()
        session.add(author_class(name="lost"))
        session.flush()
        session.rollback()
        names = session.scalars(sa.select(author_class.name).order_by(author_class.name)).all()
        assert names == ["also kept", "kept"]
    base.metadata.drop_all(engine)


def test_bulk_inserts(engine, table):
    base, author_class, _ = models(table)
    base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"name": f"author {number}"} for number in range(3000)]
        result = connection.execute(sa.insert(author_class).returning(author_class.id), rows)
        assert len(result.all()) == 3000
    base.metadata.drop_all(engine)


def test_reflection(engine, table):
    base, _, _ = models(table)
    base.metadata.create_all(engine)
    inspector = sa.inspect(engine)
    assert {column["name"] for column in inspector.get_columns(f"{table}_book")} == {
        "id", "title", "year", "author_id"}
    assert inspector.get_foreign_keys(f"{table}_book")[0]["referred_table"] == f"{table}_author"
    metadata = sa.MetaData()
    metadata.reflect(engine, only=[f"{table}_author", f"{table}_book"])
    assert len(metadata.tables) == 2
    base.metadata.drop_all(engine)


def test_results_are_streamed_in_a_transaction(engine):
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True, yield_per=100).execute(
            sa.text("select generate_series(1, 2000)"))
        assert sum(row[0] for row in result) == 2001000


def test_isolation_levels_that_collide(engine, table):
    base, author_class, _ = models(table)
    base.metadata.create_all(engine)
    strict = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.begin() as connection:
        connection.execute(sa.insert(author_class).values(name="one"))
    with strict.connect() as first, strict.connect() as second:
        for number, connection in enumerate((first, second)):
            assert connection.scalar(sa.select(sa.func.count()).select_from(author_class)) == 1
        first.execute(sa.update(author_class).values(name="first"))
        first.commit()
        with pytest.raises(sa.exc.OperationalError) as caught:
            second.execute(sa.update(author_class).values(name="second"))
        assert "could not serialize access" in str(caught.value)
    base.metadata.drop_all(engine)


def test_isolation_levels(engine):
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.scalar(sa.text("show transaction isolation level")) == "serializable"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.scalar(sa.text("select 1")) == 1
    with engine.connect() as connection:
        assert connection.scalar(sa.text("show transaction isolation level")) == "read committed"


def test_threads(engine):
    def work(number):
        for turn in range(20):
            with engine.begin() as connection:
                row = connection.execute(sa.text("select :a, :b"), {"a": number, "b": turn}).one()
                assert tuple(map(int, row)) == (number, turn)

    in_threads(12, work)


def test_connections_that_broke_are_replaced_before_use(engine):
    """QueuePool with pool_pre_ping: what PostgreSQL ended is noticed when it is taken out of the pool."""
    for _ in range(4):
        with engine.connect() as connection:
            with pytest.raises(sa.exc.OperationalError) as caught:
                connection.execute(sa.text("select pg_terminate_backend(pg_backend_pid())"))
            assert caught.value.connection_invalidated
        for _ in range(3):
            with engine.connect() as connection:
                assert connection.scalar(sa.text("select 1")) == 1


def test_without_a_pool_of_its_own(pooler):
    engine = sa.create_engine(pooler.url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.pool.NullPool)

    def work(number):
        for turn in range(5):
            with engine.begin() as connection:
                assert connection.scalar(sa.text("select cast(:a as int)"), {"a": number * turn}) == number * turn

    in_threads(10, work)


def test_errors_are_those_of_the_driver(engine, table):
    base, author_class, book_class = models(table)
    base.metadata.create_all(engine)
    for kind, statement in [
        (sa.exc.IntegrityError, sa.insert(book_class).values(title="One", author_id=-1)),
        (sa.exc.IntegrityError, sa.insert(author_class).values(name=None)),
        (sa.exc.DataError, sa.insert(author_class).values(name="x" * 51)),
        (sa.exc.ProgrammingError, sa.text("select * from nowhere")),
    ]:
        with engine.connect() as connection:
            with pytest.raises(kind):
                connection.execute(statement)
            connection.rollback()
            assert connection.scalar(sa.text("select 1")) == 1
    base.metadata.drop_all(engine)


def test_types_of_postgresql(engine, table):
    metadata = sa.MetaData()
    things = sa.Table(
        table, metadata, sa.Column("id", sa.Uuid, primary_key=True), sa.Column("data", postgresql.JSONB),
        sa.Column("numbers", postgresql.ARRAY(sa.Integer)),
        sa.Column("color", sa.Enum("red", "green", name=f"{table}_e")), sa.Column("period", sa.Interval),
        sa.Column("when", sa.DateTime(timezone=True)), sa.Column("raw", sa.LargeBinary),
        sa.Column("price", sa.Numeric(10, 2)), sa.Column("span", postgresql.INT4RANGE))
    metadata.create_all(engine)
    row = {
        "id": uuid.uuid4(), "data": {"a": [1, {"b": None}]}, "numbers": [1, 2, 3], "color": "green",
        "period": datetime.timedelta(days=2, seconds=3), "raw": bytes(range(256)), "price": decimal.Decimal("12.30"),
        "when": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc), "span": postgresql.Range(1, 5),
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(things), row)
        assert dict(connection.execute(sa.select(things)).mappings().one()) == row
        upsert = postgresql.insert(things).values(row | {"color": "red"})
        upsert = upsert.on_conflict_do_update(index_elements=["id"], set_={"color": upsert.excluded.color})
        connection.execute(upsert)
        found = sa.select(things.c.color).where(things.c.data["a"][0].as_integer() == 1)
        assert connection.scalar(found) == "red"
    metadata.drop_all(engine)


def test_rows_are_locked_until_the_transaction_ends(engine, table):
    base, author_class, _ = models(table)
    base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all(author_class(name=f"author {number}") for number in range(10))
        session.commit()
    with orm.Session(engine) as first, orm.Session(engine) as second:
        some = sa.select(author_class).order_by(author_class.id).limit(4).with_for_update(skip_locked=True)
        mine = {author.id for author in first.scalars(some)}
        yours = {author.id for author in second.scalars(some)}
        assert len(mine) == len(yours) == 4 and not mine & yours
        with pytest.raises(sa.exc.OperationalError):
            second.scalars(sa.select(author_class).where(author_class.id.in_(mine)).with_for_update(nowait=True)).all()
        second.rollback()
        first.rollback()
        assert len(second.scalars(some).all()) == 4
    base.metadata.drop_all(engine)


def test_two_phases(engine, table):
    base, author_class, _ = models(table)
    base.metadata.create_all(engine)
    with engine.connect() as connection:
        for commits in (True, False):
            transaction = connection.begin_twophase()
            connection.execute(sa.insert(author_class).values(name=f"author {commits}"))
            transaction.prepare()
            (transaction.commit if commits else transaction.rollback)()
        assert connection.scalars(sa.select(author_class.name)).all() == ["author True"]
    base.metadata.drop_all(engine)


@pytest.fixture(params=["asyncpg", "psycopg"])
def asynchronous(request, pooler):
    return pooler.url.replace("postgresql://", f"postgresql+{request.param}://")


def test_the_asynchronous_engine(asynchronous, table):
    base, author_class, book_class = models(table)

    async def whole():
        engine = create_async_engine(asynchronous, pool_size=5, pool_pre_ping=True)
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.create_all)

        async def work(number):
            async with AsyncSession(engine) as session:
                author = author_class(name=f"author {number}")
                author.books = [book_class(title="One"), book_class(title="Two")]
                session.add(author)
                await session.commit()

        await asyncio.gather(*(work(number) for number in range(20)))
        async with AsyncSession(engine) as session:
            assert await session.scalar(sa.select(sa.func.count()).select_from(book_class)) == 40
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.drop_all)
        await engine.dispose()

    asyncio.run(asyncio.wait_for(whole(), 120))


def test_the_asynchronous_engine_streams_and_rolls_back(asynchronous, table):
    base, author_class, _ = models(table)

    async def whole():
        engine = create_async_engine(asynchronous, pool_size=3)
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add(author_class(name="kept"))
            await session.commit()
            with pytest.raises(sa.exc.IntegrityError):
                async with session.begin_nested():
                    session.add(author_class(name="kept"))
                    await session.flush()
            await session.rollback()
            result = await session.stream(
                sa.text("select generate_series(1, 2000)").execution_options(yield_per=100))
            assert sum([row[0] async for row in result]) == 2001000
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.drop_all)
        await engine.dispose()

    asyncio.run(asyncio.wait_for(whole(), 120))


def test_a_migration_while_the_program_runs(asynchronous, table):
    """The driver keeps prepared statements; a column more must not break the program for good."""
    async def whole():
        engine = create_async_engine(asynchronous, pool_size=3)
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"create table {table}(a int)"))
            await connection.execute(sa.text(f"insert into {table} values (1)"))
        for number in range(3):
            refused = 0
            while True:
                try:
                    async with engine.connect() as connection:
                        for _ in range(7):
                            row = (await connection.execute(sa.text(f"select * from {table}"))).one()
                            assert len(row) == number + 1
                    break
                except sa.exc.DBAPIError as error:
                    assert "cached" in str(error)
                    refused += 1
                    # Each of the three connections may be told once.
                    assert refused <= 3
            async with engine.begin() as connection:
                await connection.execute(sa.text(f"alter table {table} add column b{number} int"))
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"drop table {table}"))
        await engine.dispose()

    asyncio.run(asyncio.wait_for(whole(), 120))
