"""Counting the candidate's own instructions per transaction, without the kernel's.

Epoll only: valgrind does not follow io_uring."""

import glob
import os
import re

import load
from pooler import Pooler
from processes import Failed

MODES = ["simple", "extended", "prepared", "transaction"]
CLIENTS = 20


def run(bench):
    """Prints instructions per transaction of each mode."""
    settings = ["io_backend = epoll", "busy_poll = 0"] if bench.candidate.is_ours else []
    with load.NullServer(bench.null_postgres) as server:
        for mode in MODES:
            # The difference of two runs leaves out starting, logging in and stopping.
            short, long = (_count(bench, server, mode, seconds, settings) for seconds in (0.5, 4))
            instructions = (long[0] - short[0]) / (long[1] - short[1])
            print(f"{mode:12}{instructions:10,.0f} instructions per transaction", flush=True)


def _count(bench, server, mode, seconds, settings):
    wrapper = ["valgrind", "-q", "--tool=callgrind"]
    # In a file, as a process that changes its title overwrites its arguments.
    options = "--callgrind-out-file=callgrind.%p\n"
    name = f"callgrind-{mode}-{seconds}"
    with Pooler(
        bench.candidate,
        bench.folder,
        name,
        server.port,
        settings=settings,
        wrapper=wrapper,
        files={".valgrindrc": options},
    ) as pooler:
        figures = load.run(bench.load_generator, pooler, mode, CLIENTS, seconds, warm_up=0)
    total = 0
    for path in glob.glob(os.path.join(pooler.folder, "callgrind.*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
        total += int(match.group(1)) if match else 0
    if total == 0:
        raise Failed(f"callgrind wrote nothing; is valgrind installed? The log ends with:\n{pooler.log()}")
    return total, figures["transactions"]
