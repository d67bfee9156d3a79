"""Reloads, pauses, restarts and killed workers under load: nobody may notice, and every transaction is counted.

pgbench works in transaction mode through four workers all the while. Run by `Scripts/soak`, and in a short form by
`test_soak.py`.
"""

import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from postgres import PATIENCE, Pooler, Postgres, free_port, make_folder, write

CLIENTS = 8
WORKERS = 4
SCRIPT = """\\set id random(1, 100)
begin;
select count(*) from generate_series(1, :id);
commit;
"""


def until(what, condition):
    """Waits until a condition holds, and returns what it gave."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {PATIENCE} s: {what}")
        time.sleep(0.01)
    return result


class Certificates:
    """Two self-signed certificates for one place, and what they can be made into: a broken file."""

    def __init__(self):
        folder = make_folder()
        self.path, self.key_path = folder / "server.crt", folder / "server.key"
        self.texts = []
        for _ in range(2):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                 "-subj", "/CN=localhost", "-keyout", self.key_path, "-out", self.path], check=True, capture_output=True)
            self.texts.append((self.path.read_text(), self.key_path.read_text()))
        self.use(0)

    def use(self, number):
        """Puts one of the two in place."""
        write(self.path, self.texts[number][0])
        write(self.key_path, self.texts[number][1])
        self.key_path.chmod(0o600)

    def spoil(self):
        """The certificate is cut off; its key stays."""
        write(self.path, self.path.read_text()[:200])


class Instance:
    """The pooler under test, its console and its metrics."""

    def __init__(self, postgres, backend, certificates=None):
        """With certificates, all connections to it and from it are encrypted, and HBA rules say who may log in."""
        self.folder = make_folder()
        self.metrics_port = free_port()
        self.certificates = certificates
        self.rules = self.folder / "hba.conf"
        write(self.rules, "hostssl all all 127.0.0.1/32 scram-sha-256\n")
        encryption = {
            "client_tls_sslmode": "require", "client_tls_cert_file": certificates.path,
            "client_tls_key_file": certificates.key_path, "server_tls_sslmode": "require",
            "auth_type": "hba", "auth_hba_file": self.rules,
        } if certificates else {}
        self.pooler = Pooler(
            postgres, backend, WORKERS, "transaction", control_dir=str(self.folder / "control"),
            metrics_listen=f"127.0.0.1:{self.metrics_port}", log_connections=0, log_disconnections=0, **encryption)
        self.program = self.pooler.program
        self.file = self.program.file
        self.settings = self.file.read_text()
        self.psql = None

    def console(self, command):
        """Gives a command on the control socket; returns its rows, or raises its error.

        One psql for all commands: to start one for each takes a processor for longer than the stalls that are
        looked for. A restart may end it.
        """
        if self.psql is None or self.psql.poll() is not None:
            self.psql = subprocess.Popen(
                ["psql", "-X", "-A", "-F", "\t", "-P", "footer=off",
                 "-h", str(self.folder / "control"), "-p", str(self.pooler.port), "-U", "app", "-d", "pgbouncer"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.psql.stdin.write(f"{command};\n\\echo :end\n")
        self.psql.stdin.flush()
        lines = []
        while (line := self.psql.stdout.readline()) != ":end\n":
            if not line:
                raise RuntimeError("".join(lines))
            lines.append(line)
        if lines and re.match("(psql: error|ERROR|FATAL)", lines[0]):
            raise RuntimeError("".join(lines).strip())
        rows = [line.rstrip("\n").split("\t") for line in lines]
        return [dict(zip(rows[0], row)) for row in rows[1:]]

    def counted(self):
        """How many transactions of clients the console has counted."""
        return sum(int(row["xact_count"]) for row in self.console("SHOW STATS_TOTALS") if row["database"] == "app")

    def measured(self):
        """The same as the metrics have it."""
        text = until("metrics", self.metrics)
        found = re.findall(r'^pgsluice_transactions_total\{[^}]*database="app"[^}]*\} (\S+)$', text, re.MULTILINE)
        return int(sum(float(number) for number in found))

    def metrics(self):
        """What /metrics says; None while nothing listens there, as in the first moments."""
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10).read().decode()
        except urllib.error.URLError:
            return None

    def workers(self):
        """Those that serve, and those that leave."""
        found = collections.defaultdict(list)
        for row in self.console("SHOW WORKERS"):
            found[row["state"]].append(int(row["pid"] or 0))
        return found

    def is_settled(self):
        workers = self.workers()
        return set(workers) == {"ready"} and len(workers["ready"]) == WORKERS

    def stop(self):
        if self.psql:
            self.psql.kill()
            self.psql.wait()
        self.pooler.program.stop()


class Bench:
    """A pgbench that works until it is told to stop."""

    def __init__(self, instance, clients, name, more=()):
        self.folder = make_folder()
        self.script = self.folder / "script.sql"
        write(self.script, SCRIPT)
        self.script.chmod(0o644)
        self.prefix = self.folder / name
        # Ours, so that we write its log.
        self.folder.chmod(0o777)
        environment = dict(
            os.environ, PGPASSWORD=instance.pooler.password, PGSSLMODE="require" if instance.certificates else "disable")
        self.process = subprocess.Popen(
            ["pgbench", "-n", "-M", "extended", "-c", str(clients), "-j", str(min(clients, 2)), "-T", "36000", "-l", *more,
             f"--log-prefix={self.prefix}", "-f", str(self.script), "-h", "127.0.0.1",
             "-p", str(instance.pooler.port), "-U", instance.pooler.user, "app"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder)

    def is_at_work(self):
        return any(path.stat().st_size > 0 for path in self.folder.glob(f"{self.prefix.name}.*"))

    def is_over(self):
        return self.process.poll() is not None

    def stop(self):
        """Has it end as if its time were over; returns what it says."""
        if not self.is_over():
            self.process.send_signal(signal.SIGALRM)
        try:
            return self.process.communicate(timeout=PATIENCE)[0]
        finally:
            self.process.kill()
            self.process.wait()

    def longest(self, begin):
        """The longest transaction that was not over at this time (the seconds of `time.time()`), in milliseconds."""
        longest = 0
        for path in self.folder.glob(f"{self.prefix.name}.*"):
            for line in path.read_text().splitlines():
                _, _, microseconds, _, end, fraction = line.split()[:6]
                if int(end) + int(fraction) / 1e6 >= begin:
                    longest = max(longest, int(microseconds) / 1000)
        return longest


def processed(text):
    found = re.search(r"number of transactions actually processed: (\d+)", text)
    return int(found.group(1)) if found else 0


class Soak:
    """One run over all phases; `report` is told what happened."""

    def __init__(self, instance, report=print):
        self.instance, self.report = instance, report

    def undisturbed(self, name, times, step):
        """Does something again and again under load; no transaction and no connection may be lost."""
        before, measured = self.instance.counted(), self.instance.measured()
        benches = [Bench(self.instance, CLIENTS, name)]
        if self.instance.certificates:
            # Handshakes all the while.
            benches.append(Bench(self.instance, 1, f"{name}-again", ["-C"]))
        try:
            # Whose login to PostgreSQL the first transactions wait for has nothing to do with what is measured.
            until("pgbench is at work", benches[0].is_at_work)
            begin = time.time()
            for number in range(times):
                # Between two of them the clients get something done.
                count = self.instance.counted()
                step(number)
                until("the clients go on", lambda: self.instance.counted() > count + CLIENTS
                      or any(bench.is_over() for bench in benches))
                for bench in benches:
                    assert not bench.is_over(), bench.stop()[-3000:]
            if not self.instance.certificates:
                until("everybody has settled", self.instance.is_settled)
        finally:
            texts = [bench.stop() for bench in benches]
        for bench, text in zip(benches, texts):
            assert bench.process.returncode == 0 and "aborted" not in text, text[-3000:]
            failed = re.search(r"number of failed transactions: (\d+)", text)
            assert failed is None or failed.group(1) == "0", text[-3000:]
        # Encrypted clients keep their worker until they leave.
        until("everybody has settled", self.instance.is_settled)
        count = sum(processed(text) for text in texts)
        until("every transaction is counted", lambda: self.instance.counted() - before >= count)
        assert self.instance.counted() - before == count, (self.instance.counted() - before, count)
        until("the metrics say the same", lambda: self.instance.measured() - measured >= count)
        assert self.instance.measured() - measured == count, (self.instance.measured() - measured, count)
        longest = benches[0].longest(begin)
        self.report(f"{name}: {times} times, {count} transactions, none lost, the longest {longest:.0f} ms")
        return longest

    def reload(self, number):
        """Good configurations and broken ones, in turn."""
        certificates = self.instance.certificates
        if number % 2 == 0:
            write(self.instance.file, self.instance.settings + f"query_wait_timeout = {100 + number}\n")
            if certificates:
                certificates.use(number // 2 % 2)
                write(self.instance.rules, f"hostssl all all 127.0.0.0/{8 + number % 24} scram-sha-256\n")
            self.instance.console("RELOAD")
        elif certificates and number % 4 == 1:
            certificates.spoil()
            self.refused_reload("the certificate cannot be used")
            certificates.use(0)
        else:
            write(self.instance.file, self.instance.settings + "pool_mode = nonsense\n")
            self.refused_reload("pool_mode")
            write(self.instance.file, self.instance.settings)

    def refused_reload(self, reason):
        """Reloads what is broken; the refusal has to name the reason."""
        try:
            self.instance.console("RELOAD")
        except RuntimeError as error:
            assert reason in str(error), error
            return
        raise AssertionError("a broken configuration has been taken")

    def pause(self, _):
        self.instance.console("PAUSE")
        self.instance.console("RESUME")

    def restart(self, _):
        old = self.instance.workers()["ready"]
        if not self.instance.certificates:
            self.instance.console("RESTART")
            until("the old workers have left", lambda: self.instance.is_settled()
                  and not set(old) & set(self.instance.workers()["ready"]))
            return
        # Encrypted clients stay with the old workers, which is why another restart has to be forced.
        self.instance.console("RESTART FORCE")
        until("the new workers are there", lambda: len(self.instance.workers()["ready"]) == WORKERS
              and not set(old) & set(self.instance.workers()["ready"]))

    def kill(self, times):
        """Kills workers; what is counted differs by at most one transaction for each client that was cut off."""
        before, cut, count = self.instance.counted(), 0, 0
        benches = [Bench(self.instance, 1, f"kill{number}") for number in range(CLIENTS)]
        try:
            for number in range(times):
                until("everybody is at work", lambda: all(bench.is_at_work() for bench in benches))
                workers = until("all workers are there", lambda: self.instance.is_settled() and self.instance.workers())
                os.kill(workers["ready"][number % WORKERS], signal.SIGKILL)
                until("the worker is replaced", lambda: self.instance.is_settled()
                      and workers["ready"] != self.instance.workers()["ready"])
                for place, bench in enumerate(benches):
                    if bench.is_over():
                        count += processed(bench.stop())
                        cut += 1
                        benches[place] = Bench(self.instance, 1, f"kill{number}-{place}")
        finally:
            texts = [bench.stop() for bench in benches]
        cut += sum("aborted" in text for text in texts)
        count += sum(processed(text) for text in texts)
        until("every transaction is counted", lambda: self.instance.counted() - before >= count - cut)
        difference = self.instance.counted() - before - count
        assert abs(difference) <= cut, (difference, cut)
        self.report(f"killed workers: {times}, {count} transactions, {cut} clients cut off, "
                    f"{difference:+d} transactions counted")

    def run(self, reloads, pauses, restarts, kills):
        """All phases; returns the longest stall of each that nobody may notice, in milliseconds."""
        stalls = {
            "reload": self.undisturbed("reloads", reloads, self.reload),
            "pause": self.undisturbed("pauses", pauses, self.pause),
            "restart": self.undisturbed("restarts", restarts, self.restart),
        }
        self.kill(kills)
        return stalls


def main():
    parser = argparse.ArgumentParser(prog="Scripts/soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of everything")
    parser.add_argument("--backend", default="io_uring", choices=["io_uring", "epoll"])
    parser.add_argument("--tls", action="store_true",
                        help="encrypt both sides; reloads change certificates and HBA rules")
    parser.add_argument("--strict", action="store_true",
                        help="fail when a client has waited longer than 50 ms in a reload or 250 ms in a restart")
    options = parser.parse_args()
    certificates = Certificates() if options.tls else None
    postgres = Postgres({
        "ssl": "on", "ssl_cert_file": certificates.path, "ssl_key_file": certificates.key_path,
    } if certificates else None)
    try:
        instance = Instance(postgres, options.backend, certificates)
        try:
            counts = (10, 3, 3, 3) if options.short else (100, 20, 20, 20)
            stalls = Soak(instance).run(*counts)
        finally:
            instance.stop()
    finally:
        postgres.stop()
    if options.strict and (stalls["reload"] > 50 or stalls["restart"] > 250):
        sys.exit(f"too long: {stalls}")


if __name__ == "__main__":
    main()
