"""A private PostgreSQL, for runs that want a real one."""

import glob
import os
import re
import signal
import subprocess
import time

from pooler import free_port
from processes import Failed, command, cores, cpu_seconds, give_to_user, stop


def programs():
    """The folder of the newest PostgreSQL's programs."""
    found = sorted(
        glob.glob("/usr/lib/postgresql/*/bin"),
        key=lambda path: int(re.sub(r"\D", "", path.split("/")[4]) or 0),
    )
    if not found:
        raise Failed("PostgreSQL is not installed; run Scripts/install-dependencies")
    return found[-1]


class RealServer:
    """A PostgreSQL that trusts everybody, keeps nothing for long, and has pgbench's tables."""

    database = "postgres"

    def __init__(self, folder, certificate=None):
        """With a certificate, who wants TLS gets it."""
        self.bin = programs()
        self.port = free_port()
        self.folder = os.path.join(folder, "postgres")
        os.mkdir(self.folder)
        give_to_user(self.folder)
        data = os.path.join(self.folder, "data")
        self._run(
            ["initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
            "shared_buffers": "64MB",
            "autovacuum": "off",
        }
        if certificate:
            settings |= {"ssl": "on", "ssl_cert_file": certificate.path, "ssl_key_file": certificate.key_path}
        words = [f"{self.bin}/postgres", "-D", data]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command(words, cores()["server"]), stdout=log, stderr=log, cwd=self.folder
            )
        for _ in range(100):
            if self._run(["pg_isready", "-q", *self._where(self.port)], check=False) == 0:
                break
            time.sleep(0.1)
        self._run(["pgbench", "-i", "-q", "-s", "1", *self._where(self.port), self.database])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process, signal.SIGINT)

    def pgbench(self, pooler, protocol, clients, seconds):
        """Runs pgbench's read-only transactions through a pooler; figures as the load generator's."""
        watched = pooler.processes()
        words = [
            f"{self.bin}/pgbench",
            "-n",
            "-S",
            "-M",
            protocol,
            "-c",
            clients,
            "-T",
            seconds,
            *self._where(pooler.port),
            "bench",
        ]
        before = cpu_seconds(watched)
        done = subprocess.run(
            command(words, cores()["load"]), capture_output=True, text=True, check=False, cwd=self.folder
        )
        used = cpu_seconds(watched) - before
        match = re.search(r"actually processed: (\d+)", done.stdout)
        rate = re.search(r"tps = ([\d.]+)", done.stdout)
        latency = re.search(r"latency average = ([\d.]+) ms", done.stdout)
        if done.returncode != 0 or not (match and rate and latency):
            raise Failed(f"pgbench: {done.stderr.strip()}")
        return {
            "cpu": used * 1e6 / int(match.group(1)),
            "busy": used * 100 / seconds,
            "tps": float(rate.group(1)),
            "mean": float(latency.group(1)) * 1000,
            "waited": 0.0,
        }

    def _where(self, port):
        return ["-h", "127.0.0.1", "-p", str(port), "-U", "bench"]

    def _run(self, words, check=True):
        done = subprocess.run(
            command([f"{self.bin}/{words[0]}", *words[1:]], cores()["server"]),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        if check and done.returncode != 0:
            raise Failed(f"{words[0]}: {done.stderr.strip()}")
        return done.returncode
