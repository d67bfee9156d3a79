"""Each driver runs through the pooler in several ways: back end, number of workers, pool mode.

Usually every driver runs on both back ends with four workers in transaction mode, and each other combination is
given to one driver; `--everything` runs the whole product. `--direct` runs the drivers against PostgreSQL itself,
to check the tests.
"""

import itertools
import uuid

import pytest

from postgres import Pooler, Postgres

MAIN = [("io_uring", 4, "transaction"), ("epoll", 4, "transaction")]
OTHERS = [
    combination
    for combination in itertools.product(("io_uring", "epoll"), (1, 4), ("session", "transaction"))
    if combination not in MAIN
]
# Each of the first six is given one of the others; what is in no list runs in the main ways only.
MODULES = ["test_psycopg", "test_psycopg2", "test_asyncpg", "test_sqlalchemy", "test_django", "test_pgbench"]
MARKS = {
    "session_mode": "about what only a session of one's own has",
    "transaction_mode": "about what happens when servers are shared between transactions",
    "one_way": "about something that hardly depends on the way; the usual run has it once",
    "pooler_only": "about what PostgreSQL itself has not",
}


def pytest_addoption(parser):
    parser.addoption("--everything", action="store_true", help="every driver in every combination")
    parser.addoption("--direct", action="store_true", help="without the pooler, to check the tests")
    parser.addoption("--backend", help="only this back end: io_uring or epoll")
    parser.addoption("--workers", type=int, help="only with this number of workers")
    parser.addoption("--mode", help="only in this pool mode: session or transaction")


def pytest_configure(config):
    for mark, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")


def combinations(config, module, marks):
    """The ways a module's tests with these marks are run."""
    if config.getoption("direct"):
        return [] if marks & {"pooler_only", "transaction_mode"} else [("direct", 0, "session")]
    chosen = (config.getoption("backend"), config.getoption("workers"), config.getoption("mode"))
    turn = MODULES.index(module) if module in MODULES else None
    if config.getoption("everything") or any(chosen):
        ways = MAIN + OTHERS
    elif "one_way" in marks:
        ways = MAIN[:1]
    elif "session_mode" in marks:
        ways = [(("io_uring", "epoll")[(turn or 0) % 2], 4, "session")]
    else:
        ways = MAIN + [way for index, way in enumerate(OTHERS) if index == turn]
    if "session_mode" in marks:
        ways = [way for way in ways if way[2] == "session"]
    if "transaction_mode" in marks:
        ways = [way for way in ways if way[2] == "transaction"]
    return [way for way in ways if all(want in (None, have) for want, have in zip(chosen, way))]


def pytest_generate_tests(metafunc):
    """`pooler` is a program shared by tests that run in the same way; `way` is for tests that start their own."""
    for fixture in {"pooler", "way"} & set(metafunc.fixturenames):
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        ways = combinations(metafunc.config, metafunc.module.__name__, marks)
        metafunc.parametrize(
            fixture, ways, indirect=fixture == "pooler", scope="session" if fixture == "pooler" else "function",
            ids=["-".join(str(part) for part in way) for way in ways])


def pytest_collection_modifyitems(config, items):
    """Leaves out tests for which none of the chosen ways is meant, and without the pooler those about it."""
    def is_meant(item):
        if config.getoption("direct") and any(
                item.get_closest_marker(mark) for mark in ("pooler_only", "transaction_mode")):
            return False
        marks = item.iter_markers("skip")
        return not any("empty parameter set" in mark.kwargs.get("reason", "") for mark in marks)

    meant = [item for item in items if is_meant(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in meant])
    items[:] = meant


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def pooler(request, postgres):
    pooler = Pooler(postgres, *request.param)
    yield pooler
    pooler.stop()


@pytest.fixture
def table():
    """A table name that no other test has."""
    return f"t_{uuid.uuid4().hex[:12]}"
