"""Starting poolers with one and the same configuration."""

import os
import socket
import subprocess
import time

from processes import Failed, command, cores, give_to_user, stop, tree

INI = """\
[databases]
bench = host=127.0.0.1 port={server_port} dbname={server_database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth_type}
auth_file = {folder}/userlist.txt
pool_mode = {pool_mode}
default_pool_size = 20
max_client_conn = 15000
server_tls_sslmode = {server_tls}
log_connections = 0
log_disconnections = 0
"""


def free_port():
    """A TCP port nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A pooler's executable."""

    def __init__(self, path, settings=(), environment=None):
        self.path = path
        # Clients stay where they are put only in tests.
        self.environment = {**os.environ, **(environment or {}), "PGSLUICE_TEST": "1"}
        text = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, env=self.environment
        )
        lines = (text.stdout + text.stderr).strip().splitlines()
        self.version = lines[0] if lines else "unknown version"
        self.is_ours = "pgsluice" in self.version
        self.settings = list(settings) + (["workers = 1"] if self.is_ours else [])


class Pooler:
    """A running pooler."""

    def __init__(
        self,
        program,
        folder,
        name,
        server_port,
        *,
        database="bench",
        pool_mode="transaction",
        port=None,
        secret="",
        server_tls="disable",
        wrapper=(),
        settings=(),
        files=None,
    ):
        self.program = program
        self.port = port or free_port()
        self.folder = os.path.join(folder, f"{name}-{self.port}")
        os.mkdir(self.folder)
        give_to_user(self.folder)
        ini = INI.format(
            server_port=server_port,
            server_database=database,
            port=self.port,
            folder=self.folder,
            pool_mode=pool_mode,
            auth_type="scram-sha-256" if secret else "trust",
            server_tls=server_tls,
        )
        self._write("userlist.txt", f'"bench" "{secret}"\n')
        for file, text in (files or {}).items():
            self._write(file, text)
        path = self._write("pooler.ini", ini + "\n".join([*program.settings, *settings, ""]))
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command([*wrapper, program.path, path], cores()["pooler"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=program.environment,
                cwd=self.folder,
            )
        self._wait_until_it_listens()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def processes(self):
        """All its processes."""
        return tree(self.process.pid)

    def log(self):
        """The end of what it said."""
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-15:])

    def _wait_until_it_listens(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        stop(self.process)
        raise Failed(f"{self.program.path} does not listen; its log ends with:\n{self.log()}")

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        give_to_user(path)
        return path
