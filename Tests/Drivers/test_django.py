"""Django 5.2: a small site behind the pooler, migrated forwards and back, visited and used from its shell."""

import os
import pathlib
import subprocess
import sys

import pytest

SITE = pathlib.Path(__file__).parent / "site"


@pytest.fixture
def manage(pooler, table):
    """Runs a script of the site on a database of this test's own."""
    admin = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(pooler.postgres.port), "-U", "app", "-d", "postgres"]
    subprocess.run([*admin, "-c", f"create database {table}"], check=True)
    environment = {
        "PATH": os.environ["PATH"], "DB_HOST": pooler.host, "DB_PORT": str(pooler.port), "DB_NAME": table,
        "DB_USER": pooler.user, "DB_PASSWORD": pooler.password, "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*arguments, **more):
        result = subprocess.run(
            [sys.executable, *arguments], cwd=SITE, env={**environment, **more}, capture_output=True, text=True,
            timeout=180)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        return result.stdout

    yield run
    subprocess.run([*admin, "-c", f"drop database {table} with (force)"], check=True)


@pytest.mark.parametrize("binding", ["", "1"], ids=["client-side binding", "server-side binding"])
def test_the_site_works(manage, binding):
    output = manage("manage.py", "migrate", "--no-color", DB_SERVER_SIDE_BINDING=binding)
    assert "Applying bank.0003" in output
    assert "the site works" in manage("exercise.py", DB_SERVER_SIDE_BINDING=binding)


def test_migrations_run_backwards_and_forwards(manage):
    manage("manage.py", "migrate")
    assert "Unapplying bank.0002" in manage("manage.py", "migrate", "--no-color", "bank", "0001")
    assert "Applying bank.0003" in manage("manage.py", "migrate", "--no-color")
    assert "No changes detected" in manage("manage.py", "makemigrations", "--check", "--dry-run")
    manage("manage.py", "check", "--database", "default")
    assert "class BankTransfer" in manage("manage.py", "inspectdb")
