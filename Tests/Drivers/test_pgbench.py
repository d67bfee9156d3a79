"""pgbench: the three protocols, many more clients than servers, and a connection per transaction."""

import re
import subprocess

import pytest


def run(pooler, *arguments):
    command = ["pgbench", "-h", pooler.host, "-p", str(pooler.port), "-U", pooler.user, *arguments, "bench"]
    result = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "PGPASSWORD": pooler.password, "PGSSLMODE": "disable"},
        capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def query(pooler, sql):
    result = subprocess.run(
        ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", pooler.host, "-p", str(pooler.port), "-U", pooler.user,
         "-d", "bench", "-c", sql],
        env={"PATH": "/usr/bin:/bin", "PGPASSWORD": pooler.password, "PGSSLMODE": "disable"},
        capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="session")
def bench(pooler):
    """A database with pgbench's tables, filled through the pooler."""
    subprocess.run(
        ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(pooler.postgres.port), "-U", "app", "-d", "postgres",
         "-c", "drop database if exists bench with (force)", "-c", "create database bench"], check=True)
    run(pooler, "-i", "-s", "2", "-q")
    return pooler


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_transactions(bench, protocol):
    before = int(query(bench, "select count(*) from pgbench_history"))
    # pgbench waits for the answer to a Parse without serving its thread's other clients, who may hold the servers
    # that this Parse needs: with a thread for each client nobody waits for himself.
    threads = "30" if protocol == "prepared" else "2"
    output = run(bench, "-n", "-c", "30", "-j", threads, "-t", "20", "-M", protocol)
    assert "number of transactions actually processed: 600/600" in output
    assert int(query(bench, "select count(*) from pgbench_history")) - before == 600
    sums = query(
        bench,
        "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),"
        " (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history),"
        " (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)")
    assert sums == "t|t|t"


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_reading(bench, protocol):
    output = run(bench, "-n", "-S", "-c", "32", "-j", "2", "-t", "100", "-M", protocol)
    assert "number of transactions actually processed: 3200/3200" in output


@pytest.mark.parametrize("protocol", ["simple", "prepared"])
def test_a_connection_per_transaction(bench, protocol):
    output = run(bench, "-n", "-S", "-C", "-c", "10", "-j", "2", "-t", "15", "-M", protocol)
    assert "number of transactions actually processed: 150/150" in output


def test_pipelines(bench, tmp_path):
    script = tmp_path / "pipeline.sql"
    script.write_text(
        "\\set a random(1, 200000)\n\\startpipeline\nbegin;\n"
        "update pgbench_accounts set filler = 'p' where aid = :a;\n"
        "select abalance from pgbench_accounts where aid = :a;\ncommit;\n\\endpipeline\n")
    for protocol in ("extended", "prepared"):
        output = run(bench, "-n", "-f", str(script), "-c", "24", "-j", "2", "-t", "30", "-M", protocol)
        assert re.search(r"number of transactions actually processed: 720/720", output)
