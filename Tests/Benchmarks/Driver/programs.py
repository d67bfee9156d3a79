"""Getting the programs: ours from the compiler, PgBouncer from Debian."""

import glob
import os
import shutil
import subprocess

from pooler import Program
from processes import Failed

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
CACHE = os.path.join(ROOT, ".build", "benchmark")


def build(products, without_statistics=False):
    """Builds executables for release, or such that count nothing, and returns the folder they are in."""
    swift = ["swift", "build", "-c", "release", "--static-swift-stdlib", "--package-path", ROOT]
    if without_statistics:
        folder = os.path.join(ROOT, ".build", "no-statistics")
        swift += ["--scratch-path", folder, "-Xswiftc", "-DNO_STATISTICS"]
    for product in products:
        print(f"building {product}{' without statistics' if without_statistics else ''} ...", flush=True)
        done = subprocess.run(
            [*swift, "--product", product],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if "error:" in line] or [done.stdout]
            raise Failed(f"{product} does not build:\n" + "\n".join(errors[:10]))
    shown = subprocess.run([*swift, "--show-bin-path"], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def pgbouncer():
    """Debian's PgBouncer: the installed one, or one unpacked here, as installing would start a service."""
    installed = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if installed:
        return Program(installed)
    path = os.path.join(CACHE, "root/usr/sbin/pgbouncer")
    if not os.path.exists(path):
        _unpack("pgbouncer")
    environment = _library_path()
    if "not found" in _libraries(path, environment):
        _unpack("libevent-2.1-7")
        _unpack("libc-ares2")
        environment = _library_path()
    missing = [line.strip() for line in _libraries(path, environment).splitlines() if "not found" in line]
    if missing:
        raise Failed("PgBouncer cannot run here: " + "; ".join(missing))
    return Program(path, environment=environment)


def _unpack(package):
    print(f"fetching {package} from Debian (unpacked under .build, not installed) ...", flush=True)
    os.makedirs(CACHE, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", "-q", package], cwd=CACHE, capture_output=True, text=True, check=False
    )
    files = glob.glob(os.path.join(CACHE, f"{package}_*.deb"))
    if fetched.returncode != 0 or not files:
        raise Failed(
            f"cannot download {package}: {fetched.stderr.strip()}\n"
            "try `apt-get update`, or name a PgBouncer with --reference PATH"
        )
    subprocess.run(["dpkg-deb", "-x", files[-1], os.path.join(CACHE, "root")], check=True)


def _library_path():
    """What must be in the environment for the unpacked PgBouncer to find the unpacked libraries."""
    folders = glob.glob(os.path.join(CACHE, "root/usr/lib/*-linux-gnu"))
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def copy_libraries(environment, folder):
    """Copies the libraries that an environment names to where the unprivileged user can read them."""
    folders = [path for path in environment.get("LD_LIBRARY_PATH", "").split(":") if path.startswith(CACHE)]
    if not folders:
        return environment
    for path in folders:
        shutil.copytree(path, folder, dirs_exist_ok=True)
    return {**environment, "LD_LIBRARY_PATH": folder}


def _libraries(path, environment):
    return subprocess.run(
        ["ldd", path], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    ).stdout
