"""pgbench: the three protocols, many more clients than servers, and a connection per transaction."""

import re
import signal
import subprocess
import threading
import uuid

import pytest
from postgres import Pooler
from support import until

# A statement whose answer only this client can have, checked by pgbench itself.
OWN_ANSWER = """\\set n random(1, 9999)
select :client_id * 10000 + :n as answer \\gset
\\if :answer <> :client_id * 10000 + :n
  \\set fault 1 / 0
\\endif
"""


class Bench:
    """A database of its own with pgbench's tables, filled through the pooler."""

    def __init__(self, pooler, scale=2):
        self.pooler, self.postgres = pooler, pooler.postgres
        self.name = f"bench_{uuid.uuid4().hex[:8]}"
        self.postgres.run(f"create database {self.name}")
        self.run("-i", "-s", str(scale), "-q")

    def start(self, *arguments):
        return subprocess.Popen(
            ["pgbench", *arguments, self.name], env=self.pooler.environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, status=0):
        """Runs pgbench to its end and returns all it says."""
        process = self.start(*arguments)
        try:
            output, errors = process.communicate(timeout=180)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == status, errors[-3000:]
        return output + errors

    def query(self, text):
        """Through the pooler."""
        result = subprocess.run(
            ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", self.name, "-c", text], env=self.pooler.environment,
            capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def servers(self):
        """How many connections PostgreSQL has for this database."""
        return int(self.postgres.run(
            # Autovacuum works in a database too.
            f"select count(*) from pg_stat_activity where datname = '{self.name}' and backend_type = 'client backend'"))

    def drop(self):
        self.postgres.run(f"drop database {self.name} with (force)")

    def books_are_balanced(self):
        return self.query(
            "select array[coalesce(sum(delta), 0), coalesce(sum(delta), 0), coalesce(sum(delta), 0)] = array["
            " (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
            " (select sum(bbalance) from pgbench_branches)] from pgbench_history") == "t"


@pytest.fixture(scope="session")
def bench(pooler):
    bench = Bench(pooler)
    yield bench
    bench.drop()


def threads(protocol, clients):
    """How many threads serve so many clients that run transactions.

    pgbench waits for the answer to a Parse without serving its thread's other clients, who may hold the servers that
    this Parse needs: with a thread for each client nobody waits for himself.
    """
    return str(clients if protocol == "prepared" else 2)


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_transactions(bench, protocol):
    before = int(bench.query("select count(*) from pgbench_history"))
    output = bench.run("-n", "-c", "40", "-j", threads(protocol, 40), "-t", "15", "-M", protocol)
    assert "number of transactions actually processed: 600/600" in output
    assert int(bench.query("select count(*) from pgbench_history")) - before == 600
    assert bench.books_are_balanced()


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_reading(bench, protocol):
    output = bench.run("-n", "-S", "-c", "32", "-j", "2", "-t", "100", "-M", protocol)
    assert "number of transactions actually processed: 3200/3200" in output


@pytest.mark.parametrize("protocol", ["simple", "prepared"])
def test_a_connection_per_transaction(bench, protocol):
    output = bench.run("-n", "-S", "-C", "-c", "10", "-j", "2", "-t", "15", "-M", protocol)
    assert "number of transactions actually processed: 150/150" in output


def test_pipelines(bench, tmp_path):
    script = tmp_path / "pipeline.sql"
    script.write_text(
        "\\set a random(1, 200000)\n\\startpipeline\nbegin;\n"
        "update pgbench_accounts set filler = 'p' where aid = :a;\n"
        "select abalance from pgbench_accounts where aid = :a;\ncommit;\n\\endpipeline\n")
    for protocol in ("extended", "prepared"):
        output = bench.run("-n", "-f", str(script), "-c", "24", "-j", "2", "-t", "30", "-M", protocol)
        assert re.search(r"number of transactions actually processed: 720/720", output)


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_everybody_gets_his_own_answers(bench, protocol, tmp_path):
    script = tmp_path / "own.sql"
    script.write_text(OWN_ANSWER)
    output = bench.run("-n", "-f", str(script), "-c", "40", "-j", "2", "-t", "50", "-M", protocol)
    assert "number of transactions actually processed: 2000/2000" in output
    assert "aborted" not in output


@pytest.mark.one_way
def test_filling_the_tables_on_the_server_in_partitions(pooler):
    bench = Bench(pooler, scale=1)
    bench.run("-i", "-I", "dtGvpf", "--partitions=4", "-q")
    assert bench.query("select count(*) from pgbench_accounts") == "100000"
    output = bench.run("-n", "-N", "-c", "10", "-j", "2", "-t", "10")
    assert "number of transactions actually processed: 100/100" in output
    bench.drop()


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_scripts_that_fail_take_nobody_with_them(bench, protocol, tmp_path):
    script = tmp_path / "failing.sql"
    # Every second client fails, and pgbench gives it up.
    script.write_text("select 1 / (:client_id % 2);\n")
    output = bench.run("-n", "-f", str(script), "-c", "20", "-j", "2", "-t", "20", "-M", protocol, status=2)
    assert "number of transactions actually processed: 200/400" in output
    assert len(re.findall(r"client \d+ script 0 aborted in command 0 query 0: ERROR:  division by zero", output)) == 10
    assert bench.query("select 1") == "1"


def test_transactions_that_collide_are_tried_again(bench, tmp_path):
    script = tmp_path / "colliding.sql"
    script.write_text(
        "begin isolation level serializable;\n"
        "update pgbench_branches set bbalance = bbalance + 1 where bid = 1;\n"
        "update pgbench_branches set bbalance = bbalance - 1 where bid = 1;\ncommit;\n")
    output = bench.run("-n", "-f", str(script), "-c", "16", "-j", "2", "-t", "10", "--max-tries=10000")
    assert "number of failed transactions: 0" in output
    assert bench.books_are_balanced()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_clients_that_vanish_in_their_transactions(bench, number, tmp_path):
    script = tmp_path / "slow.sql"
    script.write_text("begin;\nupdate pgbench_accounts set abalance = abalance + 1 where aid = :client_id + 1;\n"
                      "\\sleep 1 s\nselect 1;\nrollback;\n")
    process = bench.start("-n", "-f", str(script), "-c", "8", "-j", "2", "-T", "60")
    until("transactions are open", lambda: int(bench.postgres.run(
        "select count(*) from pg_stat_activity where state = 'idle in transaction'"
        f" and datname = '{bench.name}'")) >= 4)
    process.send_signal(number)
    process.communicate()
    until("they are gone", lambda: bench.postgres.run(
        "select count(*) from pg_stat_activity where state like 'idle in transaction%'"
        f" and datname = '{bench.name}'") == "0")
    assert "processed: 100/100" in bench.run("-n", "-c", "10", "-j", "2", "-t", "10")
    assert bench.books_are_balanced()


@pytest.mark.transaction_mode
def test_five_thousand_clients_on_twenty_servers(way, postgres, tmp_path):
    script = tmp_path / "own.sql"
    script.write_text(OWN_ANSWER)
    # Workers have a share of the limit each, and the kernel gives them clients by chance.
    pooler = Pooler(postgres, *way, max_client_conn=8000, default_pool_size=20, auth_type="md5", query_wait_timeout=60)
    bench = Bench(pooler, scale=1)
    most, ended = [0], threading.Event()

    def watch():
        while not ended.wait(0.2):
            most[0] = max(most[0], bench.servers())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        output = bench.run("-n", "-f", str(script), "-c", "5000", "-j", "2", "-t", "4", "-M", "prepared")
    finally:
        ended.set()
        watching.join()
    assert "number of transactions actually processed: 20000/20000" in output
    assert "aborted" not in output
    assert 1 <= most[0] <= 20
    pooler.stop()
    bench.drop()


@pytest.mark.session_mode
@pytest.mark.pooler_only
def test_five_thousand_sessions_one_after_the_other_on_twenty_servers(way, postgres, tmp_path):
    script = tmp_path / "own.sql"
    script.write_text(OWN_ANSWER)
    pooler = Pooler(postgres, *way, default_pool_size=20, auth_type="md5", query_wait_timeout=60)
    bench = Bench(pooler, scale=1)
    output = bench.run("-n", "-f", str(script), "-C", "-c", "50", "-j", "50", "-t", "100", "-M", "extended")
    assert "number of transactions actually processed: 5000/5000" in output
    assert bench.servers() <= 20
    pooler.stop()
    bench.drop()
