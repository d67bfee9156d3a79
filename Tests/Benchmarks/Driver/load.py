"""The programs around a pooler: the null server and the load generator."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from processes import Failed, command, cores, stop, waited_seconds


class NullServer:
    """A running NullPostgres."""

    database = "bench"

    def __init__(self, program, certificate=None):
        words = [program]
        if certificate:
            words += ["--certificate", certificate.path, "--key", certificate.key_path]
        self.process = subprocess.Popen(command(words, cores()["server"]), stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening "):
            raise Failed("NullPostgres does not start")
        self.port = int(line.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)


def _arguments(program, pooler, mode, clients, more):
    options = {
        "mode": mode,
        "port": pooler.port,
        "clients": clients,
        "processes": 1 + clients // 18_000,
        **more,
    }
    words = [program]
    for name, value in options.items():
        words += [f"--{name}", value]
    return command(words, cores()["load"])


def run(program, pooler, mode, clients, seconds, warm_up=0.3, ports=(), more=None):
    """Loads a pooler, from `ports` if there are any, and returns the load generator's figures, with `cpu` of the
    pooler and `waited` added: the share of the time in which other work kept the pooler from its processor.
    `more` are further options of the load generator."""
    watched = pooler.processes()
    more = {"seconds": seconds, "warm-up": warm_up, "cpu-of": ",".join(map(str, watched)), **(more or {})}
    if ports:
        more["source-ports"] = ",".join(map(str, ports))
    before = waited_seconds(watched)
    started = time.monotonic()
    done = subprocess.run(
        _arguments(program, pooler, mode, clients, more), capture_output=True, text=True, check=False
    )
    if pooler.process.poll() is not None:
        raise Failed(f"the pooler ended during {mode}; its log ends with:\n{pooler.log()}")
    if not done.stdout.strip():
        raise Failed(f"{mode}: {done.stderr.strip()}\nthe pooler's log ends with:\n{pooler.log()}")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    if done.returncode != 0:
        raise Failed(f"{mode}: {figures['errors']} errors: {done.stderr.strip()}")
    figures["busy"] = figures["cpu"] * figures["tps"] / 1e4
    figures["waited"] = (waited_seconds(watched) - before) / (time.monotonic() - started)
    return figures


def run_all(program, poolers, mode, clients, seconds):
    """Loads several poolers at a time, with as many of the clients each, and returns figures as of one."""
    with ThreadPoolExecutor(len(poolers)) as threads:
        runs = list(
            threads.map(lambda pooler: run(program, pooler, mode, clients // len(poolers), seconds), poolers)
        )
    rate = sum(figures["tps"] for figures in runs)
    return {
        "cpu": sum(figures["cpu"] * figures["tps"] for figures in runs) / rate,
        "busy": sum(figures["busy"] for figures in runs),
        "tps": rate,
        "waited": max(figures["waited"] for figures in runs),
    }


class IdleClients:
    """Clients that have run one query and now do nothing."""

    def __init__(self, program, pooler, clients, more=None):
        self.process = subprocess.Popen(
            _arguments(program, pooler, "idle", clients, more or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(1 + clients // 18_000):
            if not self.process.stdout.readline():
                raise Failed(f"idle clients: {self.process.stderr.read().strip()}\n{pooler.log()}")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.process.stdin.close()
        status = self.process.wait()
        if status != 0 and failure is None:
            raise Failed(f"idle clients: {self.process.stderr.read().strip()}")
        self.process.stdout.close()
        self.process.stderr.close()


def prepare_descriptors():
    """Lets us and everybody we start open as many descriptors as the machine allows."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 16_000:
        raise Failed(f"the limit of open files is {hard}; 16,000 are needed (ulimit -Hn)")
    return os.cpu_count()
