"""Looking at processes through /proc, and starting ones that cannot outlive us."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time


class Failed(Exception):
    """A step of the benchmark that did not work; the message is for people."""


_everywhere = False


@contextlib.contextmanager
def everywhere():
    """Meanwhile, whatever is started may run on every processor."""
    global _everywhere
    _everywhere = True
    try:
        yield
    finally:
        _everywhere = False


def cores():
    """The processors for the pooler, for the null server and for the load, as far apart as there are."""
    available = sorted(os.sched_getaffinity(0))
    if _everywhere:
        return dict.fromkeys(["pooler", "load", "server"], ",".join(map(str, available)))
    if len(available) < 2:
        raise Failed("at least two processors are needed: one for the pooler and one for its surroundings")
    return {
        "pooler": available[-1],
        "load": available[0],
        "server": available[1] if len(available) > 2 else available[0],
    }


def unprivileged_user():
    """The user to run servers as: PostgreSQL and PgBouncer refuse root. None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failed("neither of the users postgres and nobody exists; run as an unprivileged user")


def command(arguments, core):
    """The command line that runs `arguments` on one processor, unprivileged, ending when we do."""
    user = unprivileged_user()
    identity = []
    if user is not None:
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [
        "taskset",
        "-c",
        str(core),
        "setpriv",
        *identity,
        "--pdeathsig",
        "TERM",
        "--",
        *map(str, arguments),
    ]


SESSION_PRIORITY = "/proc/self/autogroup"


@contextlib.contextmanager
def preferred(niceness):
    """Meanwhile, how much this process and all it starts give way to others; below 0 needs root."""
    if niceness is None:
        yield
        return
    before = None
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        # Where the kernel shares the processors between sessions, the session's own value is what counts. It
        # outlives us, as the session belongs to whoever started us.
        if os.path.exists(SESSION_PRIORITY):
            with open(SESSION_PRIORITY, "r+", encoding="ascii") as file:
                before = file.read().split()[-1]
                file.write(str(niceness))
    except PermissionError as refusal:
        raise Failed(f"the priority {niceness} is refused: {refusal}") from None
    try:
        yield
    finally:
        if before is not None:
            with open(SESSION_PRIORITY, "w", encoding="ascii") as file:
                file.write(before)


def give_to_user(path):
    """Makes the unprivileged user the owner of a file or folder."""
    user = unprivileged_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def stop(process, first=signal.SIGTERM):
    """Ends a child: asks, then insists. Accepts one that has ended."""
    if process.poll() is not None:
        return
    process.send_signal(first)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tree(root):
    """The process ids of a process and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found


def cpu_seconds(processes):
    """Processor time, user and system, of all threads of some processes, ended and kernel ones too."""
    total = 0
    for process in processes:
        # The clock of a process's time: the complement of its id, and 2 for what the scheduler counts.
        total += time.clock_gettime_ns((~process << 3) | 2)
    return total / 1e9


def waited_seconds(processes):
    """How long threads of some processes were ready to run while something else had their processor."""
    total = 0
    for process in processes:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[1])
    return total / 1e9


def pss_bytes(processes):
    """Memory of some processes, shared pages counted by their share."""
    total = 0
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def copy_program(source, folder):
    """Copies a program to where the unprivileged user can run it."""
    target = os.path.join(folder, os.path.basename(source))
    if not os.path.exists(target):
        shutil.copy(source, target)
        os.chmod(target, 0o755)
    return target
