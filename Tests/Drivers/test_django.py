"""Django 5.2: a small site behind the pooler, migrated forwards and back, visited, used from its shell and tested."""

import pathlib
import subprocess
import sys

import pytest

SITE = pathlib.Path(__file__).parent / "site"
# How the site gets at its database: the driver, and what keeps its connections.
DRIVERS = {"psycopg": {}, "psycopg2": {"DB_DRIVER": "psycopg2"}}
SETTINGS = {
    "server-side binding": {"DB_SERVER_SIDE_BINDING": "1"}, "a pool in the site": {"DB_POOL": "1"},
    "a connection per request": {"DB_CONN_MAX_AGE": "0"},
}


def run(pooler, database, *arguments, **more):
    """Runs a script of the site on a database and returns what it prints."""
    environment = pooler.environment | {
        "DB_HOST": pooler.host, "DB_PORT": str(pooler.port), "DB_NAME": database, "DB_USER": pooler.user,
        "DB_PASSWORD": pooler.password, "PYTHONDONTWRITEBYTECODE": "1", **more,
    }
    result = subprocess.run(
        [sys.executable, *arguments], cwd=SITE, env=environment, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


@pytest.fixture(scope="session")
def migrated(pooler):
    """A database that the site's migrations were run on, through the pooler."""
    name = f"migrated_{pooler.port}"
    pooler.postgres.run(f"create database {name}")
    output = run(pooler, name, "manage.py", "migrate", "--no-color")
    assert "Applying bank.0003" in output
    run(pooler, name, "manage.py", "createcachetable")
    yield name
    pooler.postgres.run(f"drop database {name} with (force)")


@pytest.fixture
def manage(pooler, migrated, table):
    """Runs a script of the site on a migrated database of this test's own."""
    pooler.postgres.run(
        f"select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = '{migrated}'",
        f"create database {table} template {migrated}")
    yield lambda *arguments, **more: run(pooler, table, *arguments, **more)
    pooler.postgres.run(f"drop database {table} with (force)")


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_site_works(manage, driver):
    assert "the site works" in manage("exercise.py", **DRIVERS[driver])


@pytest.mark.one_way
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_site_works_with_other_settings(manage, setting):
    assert "the site works" in manage("exercise.py", **SETTINGS[setting])


def test_migrations_and_data_go_back_and_forth(manage):
    assert "the commands work" in manage("commands.py")


@pytest.mark.one_way
def test_the_sites_own_tests_pass_and_drop_their_database(manage, pooler, table):
    """DROP DATABASE is not refused because the pooler keeps idle connections to it."""
    output = manage("manage.py", "test")
    assert "Ran 4 tests" in output and "OK" in output
    assert pooler.postgres.run(f"select count(*) from pg_database where datname = 'test_{table}'") == "0"


@pytest.mark.session_mode
def test_iterators_with_cursors_of_the_server(manage):
    manage("manage.py", "shell", "-c", """if True:
        from django.conf import settings
        settings.DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = False
        from bank.models import Account
        from django.db import connection
        assert not connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
        Account.objects.bulk_create([Account(owner=f"owner {n}", balance=n) for n in range(500)])
        total = 0
        for account in Account.objects.iterator(chunk_size=50):
            total += Account.objects.get(id=account.id).balance
        assert total == sum(range(500))
        """)
