"""What people paste from tutorials, into the ini file or into the environment of a container."""

import hashlib
import math
import os
import subprocess
import uuid

import psycopg
import pytest
from postgres import Program, free_port
from support import in_threads, until
from test_django import DRIVERS
from test_django import run as run_site

pytestmark = pytest.mark.pooler_only

# As it is found, comments and all. Only the two ports and the folder of the user list are replaced below.
CONFIGURATION = """\
[databases]
myapp = host=localhost port=5432 dbname=myapp_production

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
auth_type = md5
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = transaction ; the key setting
max_client_conn = 1000 ; from clients
default_pool_size = 20 ; to PostgreSQL, per database
min_pool_size = 5
reserve_pool_size = 5
reserve_pool_timeout = 3
server_idle_timeout = 600
client_idle_timeout = 0
server_connect_timeout = 15
server_login_retry = 15
log_connections = 1
log_disconnections = 1
log_pooler_errors = 1
stats_period = 60
admin_users = pgbouncer_admin
"""
# What those add who do not want to copy passwords into a file, and what they run in PostgreSQL for it.
LOOKUP = """\
auth_user = pgbouncer
auth_query = SELECT * FROM pgbouncer.get_auth($1)
"""
LOOKUP_FUNCTION = """\
CREATE ROLE pgbouncer LOGIN PASSWORD 'asks';
CREATE SCHEMA IF NOT EXISTS pgbouncer AUTHORIZATION pgbouncer;
CREATE OR REPLACE FUNCTION pgbouncer.get_auth(p_username TEXT)
RETURNS TABLE(username TEXT, password TEXT) AS $$
BEGIN
    RETURN QUERY SELECT usename::TEXT, passwd::TEXT FROM pg_catalog.pg_shadow WHERE usename = p_username;
END;
$$ LANGUAGE plpgsql SECURITY DEFINER;
REVOKE ALL ON FUNCTION pgbouncer.get_auth(p_username TEXT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(p_username TEXT) TO pgbouncer;
"""
PASSWORD = "pass word"


class Site:
    """What a reader has: a database, a role with a password, and the pooler in front. The site's scripts use it too."""

    host = "127.0.0.1"
    password = PASSWORD

    def __init__(self, postgres, method):
        self.postgres = postgres
        self.port = free_port()
        suffix = uuid.uuid4().hex[:8]
        self.user, self.database = f"app_{suffix}", f"myapp_production_{suffix}"
        postgres.role(self.user, PASSWORD, method)
        postgres.run(f"create database {self.database} owner {self.user}")

    @property
    def environment(self):
        return {"PATH": "/usr/bin:/bin", "PGHOST": self.host, "PGPORT": str(self.port), "PGPASSWORD": PASSWORD}

    def start_pasted(self, backend, users, more=""):
        """Starts the program with what was pasted, and beside it the back end alone."""
        text = CONFIGURATION + more
        for found, given in [
            ("port=5432 ", f"port={self.postgres.port} "), ("6432", str(self.port)),
            ("/etc/pgbouncer/", "{folder}/"), ("dbname=myapp_production", f"dbname={self.database}"),
        ]:
            assert text.count(found) == 1
            text = text.replace(found, given)
        if backend == "epoll":
            text += "io_backend = epoll\n"
        self.program = Program(self.port, text, users)

    def connect(self, **options):
        return psycopg.connect(
            host=self.host, port=self.port, connect_timeout=20,
            **{"dbname": "myapp", "user": self.user, "password": PASSWORD, **options})

    def console(self, command):
        """What `psql -p 6432 -U pgbouncer_admin pgbouncer` shows: rows by their columns."""
        result = subprocess.run(
            ["psql", "-X", "-A", "-U", "pgbouncer_admin", "-d", "pgbouncer", "-c", command],
            env=self.environment, capture_output=True, text=True, timeout=30)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        names = lines[0].split("|")
        return [dict(zip(names, line.split("|"))) for line in lines[1:] if "|" in line]

    def stop(self):
        self.program.stop()
        self.postgres.run(f"drop database {self.database} with (force)", f"drop role {self.user}")


def hashed(password, user):
    """As `echo -n "passworduser" | md5sum` gives it."""
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


@pytest.fixture(params=["auto", "epoll"])
def site(request, postgres):
    site = Site(postgres, "md5")
    users = {site.user: hashed(PASSWORD, site.user), "pgbouncer_admin": hashed(PASSWORD, "pgbouncer_admin")}
    site.start_pasted(request.param, "".join(f'"{name}" "{secret}"\n' for name, secret in users.items()))
    yield site
    site.stop()


@pytest.mark.parametrize("site", ["auto"], indirect=True)
def test_the_site_works_behind_what_was_pasted(site):
    run_site(site, "myapp", "manage.py", "migrate")
    run_site(site, "myapp", "manage.py", "createcachetable")
    assert "the site works" in run_site(site, "myapp", "exercise.py", **DRIVERS["psycopg2"])
    assert f"login attempt: db=myapp user={site.user}" in site.program.log
    assert "closing because: " in site.program.log


def test_limits_are_what_was_pasted(site):
    workers = min(64, len(os.sched_getaffinity(0)))
    size, reserve = (workers * math.ceil(limit / workers) for limit in (20, 5))

    def work(number):
        with site.connect(autocommit=True) as connection:
            for turn in range(5):
                row = connection.execute("select %s::int, %s::int, pg_sleep(0.01)", (number, turn)).fetchone()
                assert row[:2] == (number, turn)

    in_threads(80, work)
    count = ("select count(*) from pg_stat_activity"
             f" where datname = '{site.database}' and backend_type = 'client backend'")
    assert int(site.postgres.run(count)) <= size + reserve
    until("the smallest pool is there", lambda: int(site.postgres.run(count)) >= 5)


def test_the_console_shows_what_is_watched(site):
    with site.connect(application_name="the application") as connection:
        connection.execute("select 1")
        pool, = (row for row in site.console("SHOW POOLS") if row["database"] == "myapp")
        assert (pool["user"], pool["pool_mode"]) == (site.user, "transaction")
        assert (pool["cl_active"], pool["cl_waiting"], pool["sv_active"], pool["maxwait"]) == ("1", "0", "1", "0")
        client, = (row for row in site.console("SHOW CLIENTS") if row["database"] == "myapp")
        assert (client["user"], client["application_name"]) == (site.user, "the application")
        servers = [row for row in site.console("SHOW SERVERS") if row["database"] == "myapp"]
        assert [row["state"] for row in servers].count("active") == 1
        assert any(row["database"] == "myapp" for row in site.console("SHOW STATS"))
        active = site.postgres.run(
            "select state, application_name from pg_stat_activity"
            f" where datname = '{site.database}' and state like 'idle in%'")
        assert active == "idle in transaction|the application"
    shown = {row["key"]: row["value"] for row in site.console("SHOW CONFIG")}
    for name, value in [
        ("pool_mode", "transaction"), ("max_client_conn", "1000"), ("default_pool_size", "20"), ("min_pool_size", "5"),
        ("reserve_pool_size", "5"), ("auth_type", "md5"), ("admin_users", "pgbouncer_admin"),
    ]:
        assert shown[name] == value
    assert int(shown["server_login_retry"].split(".")[0]) == 15


def test_who_does_not_belong_is_told_so(site):
    for options, word in [
        ({"password": "wrong"}, "password authentication failed"),
        ({"user": "stranger"}, "password authentication failed"),
        ({"dbname": "elsewhere"}, "no such database: elsewhere"),
    ]:
        with pytest.raises(psycopg.OperationalError, match=word):
            psycopg.connect(**{
                "host": site.host, "port": site.port, "user": site.user, "password": PASSWORD, "dbname": "myapp",
                **options})


@pytest.mark.parametrize("backend", ["auto", "epoll"])
def test_plain_passwords_in_the_list_serve_both_kinds_of_servers(postgres, backend):
    for method in ("md5", "scram"):
        site = Site(postgres, method)
        site.start_pasted(backend, f'"{site.user}" "{PASSWORD}"\n')
        with site.connect() as connection:
            assert connection.execute("select current_user, current_database()").fetchone() == (
                site.user, site.database)
        site.stop()


@pytest.mark.parametrize("backend", ["auto", "epoll"])
@pytest.mark.parametrize("method", ["md5", "scram"])
def test_passwords_need_not_be_copied(postgres, method, backend):
    site = Site(postgres, method)
    postgres.run(LOOKUP_FUNCTION, database=site.database)
    try:
        site.start_pasted(backend, '"pgbouncer" "asks"\n', LOOKUP)

        def work(_):
            with site.connect() as connection:
                assert connection.execute("select current_user, current_database()").fetchone() == (
                    site.user, site.database)

        in_threads(20, work)
        for options in ({"password": "wrong"}, {"user": "stranger"}):
            with pytest.raises(psycopg.OperationalError, match="authentication failed"):
                site.connect(**options)
        postgres.run(f"alter role {site.user} password 'changed'")
        with site.connect(password="changed") as connection:
            assert connection.execute("select current_user").fetchone() == (site.user,)
        assert "asks" not in site.program.log and PASSWORD not in site.program.log
    finally:
        site.stop()
        postgres.run("drop role pgbouncer")


@pytest.mark.parametrize("form", ["one address", "its parts"])
@pytest.mark.parametrize("method", ["md5", "scram"])
def test_a_container_has_its_environment_only(postgres, form, method):
    site = Site(postgres, method)
    if form == "one address":
        where = {"DATABASE_URL":
                 f"postgres://{site.user}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{postgres.port}/{site.database}"}
    else:
        where = {"DB_HOST": "127.0.0.1", "DB_PORT": str(postgres.port), "DB_USER": site.user, "DB_PASSWORD": PASSWORD,
                 "DB_NAME": site.database}
    site.program = Program(site.port, environment=where | {
        "LISTEN_ADDR": "127.0.0.1", "LISTEN_PORT": str(site.port), "UNIX_SOCKET_DIR": "", "POOL_MODE": "transaction",
        "MAX_DB_CONNECTIONS": "6", "DEFAULT_POOL_SIZE": "4", "AUTH_TYPE": "scram-sha-256", "ADMIN_USERS": site.user})
    with site.connect(dbname=site.database) as connection:
        assert connection.execute("select current_user").fetchone() == (site.user,)
    with psycopg.connect(
            host=site.host, port=site.port, user=site.user, password=PASSWORD, dbname="pgbouncer", autocommit=True,
            cursor_factory=psycopg.ClientCursor) as console:
        shown = {row[0]: row[1] for row in console.execute("SHOW CONFIG").fetchall()}
        assert (shown["pool_mode"], shown["max_db_connections"], shown["default_pool_size"]) == (
            "transaction", "6", "4")
    site.stop()
