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
MODULES = ["test_psycopg", "test_psycopg2", "test_asyncpg", "test_sqlalchemy", "test_django", "test_pgbench"]


def pytest_addoption(parser):
    parser.addoption("--everything", action="store_true", help="every driver in every combination")
    parser.addoption("--direct", action="store_true", help="without the pooler, to check the tests")
    parser.addoption("--backend", help="only this back end: io_uring or epoll")
    parser.addoption("--workers", type=int, help="only with this number of workers")
    parser.addoption("--mode", help="only in this pool mode: session or transaction")


def pytest_configure(config):
    config.addinivalue_line("markers", "session_mode: about what only a session of one's own has")
    config.addinivalue_line("markers", "console: about the pooler's console, which PostgreSQL has not")


def combinations(config, module, session_mode, console):
    """The ways a module's tests are run."""
    if config.getoption("direct"):
        return [] if console else [("direct", 0, "session")]
    chosen = (config.getoption("backend"), config.getoption("workers"), config.getoption("mode"))
    turn = MODULES.index(module)
    if config.getoption("everything") or any(chosen):
        ways = MAIN + OTHERS
    elif session_mode:
        ways = [(("io_uring", "epoll")[turn % 2], 4, "session")]
    else:
        ways = MAIN + [way for index, way in enumerate(OTHERS) if index % len(MODULES) == turn]
    if session_mode:
        ways = [way for way in ways if way[2] == "session"]
    return [way for way in ways if all(want in (None, have) for want, have in zip(chosen, way))]


def pytest_generate_tests(metafunc):
    if "pooler" in metafunc.fixturenames:
        marked = [metafunc.definition.get_closest_marker(name) is not None for name in ("session_mode", "console")]
        ways = combinations(metafunc.config, metafunc.module.__name__, *marked)
        metafunc.parametrize(
            "pooler", ways, indirect=True, scope="session",
            ids=["-".join(str(part) for part in way) for way in ways])


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
