"""Counting the candidate's own instructions per transaction, without the kernel's.

Epoll only: valgrind does not follow io_uring."""

import glob
import os
import re
import subprocess

import load
from pooler import Pooler
from processes import Failed

MODES = ["simple", "extended", "prepared", "transaction"]
CLIENTS = 20


def run(bench, references=()):
    """Prints instructions per transaction of each mode, and of each reference beside them."""
    for program in (bench.candidate, *references):
        _strip(program)
    with load.NullServer(bench.null_postgres) as server:
        for mode in MODES:
            counts = [_per_transaction(bench, server, mode, one) for one in (bench.candidate, *references)]
            others = "".join(
                f"; reference {count:,.0f}, ratio {counts[0] / count:.3f}" for count in counts[1:]
            )
            print(f"{mode:12}{counts[0]:10,.0f} instructions per transaction{others}", flush=True)


def run_one_pool(bench):
    """Prints instructions per transaction of two workers, beside those of one that knows no other and has half
    of the clients."""
    _strip(bench.candidate)
    with load.NullServer(bench.null_postgres) as server:
        for mode in MODES:
            counts = [
                _per_transaction(bench, server, mode, bench.candidate, workers, 2 * CLIENTS * workers)
                for workers in (1, 2)
            ]
            print(
                f"{mode:12}{counts[1]:10,.0f} instructions per transaction; alone {counts[0]:,.0f}, "
                f"ratio {counts[1] / counts[0]:.3f}",
                flush=True,
            )


def _strip(program):
    # Debian's valgrind gives up on debugging information that is newer than it.
    subprocess.run(["strip", "--strip-debug", program.path], check=True)


def _per_transaction(bench, server, mode, program, workers=1, clients=CLIENTS):
    """The difference of two runs, which leaves out starting, logging in and stopping."""
    short, long = (
        _count(bench, server, mode, seconds, program, workers, clients) for seconds in (0.5, 4)
    )
    return (long[0] - short[0]) / (long[1] - short[1])


def _count(bench, server, mode, seconds, program, workers, clients):
    settings = []
    if program.is_ours:
        settings = ["io_backend = epoll", "busy_poll = 0", f"workers = {workers}", "default_pool_size = 200"]
    wrapper = ["valgrind", "-q", "--tool=callgrind"]
    # In a file, as a process that changes its title overwrites its arguments.
    options = "--callgrind-out-file=callgrind.%p\n"
    name = f"callgrind-{mode}-{seconds}-{workers}"
    with Pooler(
        program,
        bench.folder,
        name,
        server.port,
        settings=settings,
        wrapper=wrapper,
        files={".valgrindrc": options},
    ) as pooler:
        figures = load.run(bench.load_generator, pooler, mode, clients, seconds, warm_up=0)
    total = 0
    for path in glob.glob(os.path.join(pooler.folder, "callgrind.*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
        total += int(match.group(1)) if match else 0
    if total == 0:
        raise Failed(f"callgrind wrote nothing; is valgrind installed? The log ends with:\n{pooler.log()}")
    return total, figures["transactions"]
