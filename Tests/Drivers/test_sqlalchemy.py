"""SQLAlchemy 2 over three drivers: core, ORM, reflection, savepoints, bulk inserts."""

import asyncio
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine


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


def test_isolation_levels(engine):
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.scalar(sa.text("show transaction isolation level")) == "serializable"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.scalar(sa.text("select 1")) == 1
    with engine.connect() as connection:
        assert connection.scalar(sa.text("show transaction isolation level")) == "read committed"


def test_threads(engine):
    failures = []

    def work(number):
        try:
            for turn in range(20):
                with engine.begin() as connection:
                    row = connection.execute(sa.text("select :a, :b"), {"a": number, "b": turn}).one()
                    assert tuple(map(int, row)) == (number, turn)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_asynchronous_engine(pooler, table):
    base, author_class, book_class = models(table)

    async def whole():
        engine = create_async_engine(pooler.url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=5)
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
