"""PostgreSQL and the pooler, as the driver tests start and stop them."""

import atexit
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 30.0


def account():
    """The unprivileged account that servers run under when the tests run as root, else None."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither postgres nor nobody exists; run Scripts/install-dependencies")


def make_folder():
    """A temporary folder that the unprivileged account owns; it is removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgsluice-drivers."))
    folder.chmod(0o755)
    if account():
        os.chown(folder, account().pw_uid, account().pw_gid)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write(path, text):
    """Writes a file for the unprivileged account."""
    path.write_text(text)
    path.chmod(0o600)
    if account():
        os.chown(path, account().pw_uid, account().pw_gid)


def free_port():
    """A port of the loopback interface, below those that the kernel hands out itself."""
    start = 11000 + os.getpid() * 31 % 8000
    for port in range(start, 20000):
        if port in free_port.given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        free_port.given.add(port)
        return port
    raise RuntimeError("no free port")


free_port.given = set()


class Server:
    """A program that runs as the unprivileged account until it is stopped."""

    def __init__(self, command, log, environment=None):
        self.log_path = log
        options = {} if environment is None else {"env": environment}
        if account():
            options |= {"user": account().pw_uid, "group": account().pw_gid, "extra_groups": []}
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                start_new_session=True, **options)
        atexit.register(self._kill)

    def _kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_port(self, port):
        """Waits until something accepts connections on the port."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode}: {self.log}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"does not accept connections: {self.log}") from None
                time.sleep(0.02)

    def stop(self, number):
        """Signals and waits; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"did not stop: {self.log[-4000:]}") from None


class Postgres:
    """A private cluster with the role `app` and the database `app`, trusted on the loopback interface.

    Only roles made by `role()` need a password.
    """

    def __init__(self, others=None):
        """Settings in `others` join those that the tests usually have."""
        folder = make_folder()
        tools = os.environ.get("PG_BIN") or str(sorted(
            pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))[-1])
        self.port = free_port()
        options = {"user": account().pw_uid, "group": account().pw_gid, "extra_groups": []} if account() else {}
        subprocess.run(
            [f"{tools}/initdb", f"--pgdata={folder}/data", "--username=app", "--auth=trust", "--no-sync",
             "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **options)
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder,
            "fsync": "off", "synchronous_commit": "off", "max_connections": 400, "max_prepared_transactions": 20,
            "deadlock_timeout": "100ms", **(others or {}),
        }
        write(folder / "data/pg_hba.conf", "".join(f"host all {who} 127.0.0.1/32 {how}\n" for who, how in [
            ("+by_md5", "md5"), ("+by_scram", "scram-sha-256"), ("all", "trust")]))
        command = [f"{tools}/postgres", "-D", f"{folder}/data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.server = Server(command, folder / "log")
        self.server.wait_for_port(self.port)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.run("create database app", "create role by_md5", "create role by_scram")
                return
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def role(self, name, password, method):
        """Makes a role that must log in with its password, by `md5` or by `scram`."""
        self.run(f"set password_encryption = '{'md5' if method == 'md5' else 'scram-sha-256'}';"
                 f"create role {name} login password '{password}' in role by_{method}")

    def run(self, *commands, database="postgres"):
        """Runs commands of SQL past the pooler and returns what they print."""
        command = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                   "-U", "app", "-d", database]
        for text in commands:
            command += ["-c", text]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise RuntimeError(f"{result.stderr} {self.server.log[-2000:]}")
        return result.stdout.strip()

    def stop(self):
        self.server.stop(signal.SIGINT)


class Program:
    """A running pgsluice, with a configuration that is given as text or in the environment."""

    def __init__(self, port, text=None, users="", environment=None):
        """The text names the folder of its files as `{folder}`, the user list there being userlist.txt."""
        folder = make_folder()
        source = pathlib.Path(os.environ.get("PGSLUICE_BINARY", ROOT / ".build/release/pgsluice"))
        if not source.exists():
            raise RuntimeError(f"{source} does not exist; run swift build -c release --product pgsluice")
        binary = folder / "pgsluice"
        for name in ("pgsluice", "pgsluice-web"):
            # The program that serves the metrics is looked for beside the other.
            if name == "pgsluice" or (source.parent / name).exists():
                shutil.copy(source if name == "pgsluice" else source.parent / name, folder / name)
                (folder / name).chmod(0o755)
        write(folder / "userlist.txt", users)
        command = [binary]
        if text is not None:
            self.file = folder / "pgsluice.ini"
            write(self.file, text.replace("{folder}", str(folder)))
            command.append(self.file)
        self.port = port
        self.server = Server(command, folder / "log", environment)
        self.server.wait_for_port(port)

    @property
    def log(self):
        return self.server.log

    @property
    def process(self):
        return self.server.process.pid

    def stop(self):
        """Stops the program and says what is wrong with how it ended."""
        log = self.server.log
        status = self.server.stop(signal.SIGQUIT)
        assert status == 0, f"exit status {status}: {log[-4000:]}"
        bad = re.search(r"Fatal error|Illegal instruction|firewall|nobody asked for", log)
        assert bad is None, f"the log speaks of {bad.group()}: {log[-4000:]}"


class Pooler:
    """The program under test, in front of a Postgres, or nothing at all in between (`direct`)."""

    database = "app"
    user = "app"
    password = "secret"
    host = "127.0.0.1"

    def __init__(self, postgres, backend, workers, mode, **others):
        """Settings in `others` replace or join those that the tests usually have."""
        self.backend, self.workers, self.mode = backend, workers, mode
        self.postgres = postgres
        if backend == "direct":
            self.port, self.program = postgres.port, None
            return
        self.port = free_port()
        # A session keeps its server, so each worker needs enough for all clients of a test: the kernel may give
        # them all to one worker, and a worker has its share of the limit only.
        size = 40 * workers if mode == "session" else 8
        settings = {
            "listen_addr": self.host, "listen_port": self.port, "unix_socket_dir": "",
            "auth_type": "scram-sha-256", "auth_file": "{folder}/userlist.txt", "admin_users": "app",
            "pool_mode": mode, "max_client_conn": 500, "default_pool_size": size,
            "max_prepared_statements": 50, "server_login_retry": 1, "query_wait_timeout": 30,
            "workers": workers, "io_backend": backend, **others,
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={postgres.port}", "", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self.program = Program(self.port, "\n".join(lines) + "\n", f'"{self.user}" "{self.password}"\n')

    def __str__(self):
        if self.program is None:
            return "direct"
        return f"{self.backend}-{self.workers}-{self.mode}"

    @property
    def pools_transactions(self):
        """Whether a server is shared between transactions, so that sessions keep nothing on it."""
        return self.mode == "transaction"

    @property
    def url(self):
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def dsn(self):
        return (f"host={self.host} port={self.port} dbname={self.database} user={self.user} "
                f"password={self.password} sslmode=disable connect_timeout=20")

    @property
    def environment(self):
        """What libpq's own tools need to know in their environment."""
        return {"PATH": "/usr/bin:/bin", "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user,
                "PGPASSWORD": self.password, "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "20"}

    def stop(self):
        if self.program is not None:
            self.program.stop()
