"""Clients on chosen processes of a pooler that has several on one port."""

import os
import random
import socket
import struct
import time

from pooler import Pooler
from processes import Failed

# Below the ports that the kernel hands out by itself.
SOURCE_PORTS = range(10_000, 30_000)
# Of the ledger: what is in front of its transfers, and how many each worker has.
LEDGER_HEAD_BYTES = 640
TRANSFERS = 64


class Group:
    """Several poolers of one process each that listen on one port, as one."""

    def __init__(self, stack, count, program, folder, name, server_port, **options):
        first = stack.enter_context(Pooler(program, folder, f"{name}-0", server_port, **options))
        self.port = first.port
        self.poolers = [first] + [
            stack.enter_context(
                Pooler(program, folder, f"{name}-{index}", server_port, port=self.port, **options)
            )
            for index in range(1, count)
        ]
        self.process = first.process

    def processes(self):
        """All processes of all of them."""
        return [process for pooler in self.poolers for process in pooler.processes()]

    def workers(self):
        """The processes that accept clients."""
        return [pooler.process.pid for pooler in self.poolers]

    def log(self):
        """The end of what the first said."""
        return self.poolers[0].log()


def workers(pooler):
    """The processes that accept clients."""
    if isinstance(pooler, Group):
        return pooler.workers()
    found = []
    for process in pooler.processes():
        with open(f"/proc/{process}/comm", encoding="ascii") as file:
            if file.read().startswith("pgsluice-w"):
                found.append(process)
    return found


def lends(pooler):
    """How many servers the workers of a pooler have ever offered each other: the numbers in the slots of
    their transfers, which cshared.h describes. 0 for one that has no ledger."""
    with open(f"/proc/{pooler.process.pid}/maps", encoding="ascii") as file:
        mapped = [line for line in file if "memfd:pgsluice-segment" in line]
    if not mapped:
        return 0
    start = int(mapped[0].split("-")[0], 16)
    with open(f"/proc/{pooler.process.pid}/mem", "rb") as memory:
        memory.seek(start)
        header = struct.unpack("<10Q", memory.read(80))
        workers, ledger = header[5], header[8]
        memory.seek(start + ledger + LEDGER_HEAD_BYTES)
        slots = struct.unpack(f"<{workers * TRANSFERS * 2}Q", memory.read(workers * TRANSFERS * 16))
    return sum(state >> 8 for state in slots[::2])


def place(pooler, counts):
    """Source ports from which connections come to each of a pooler's processes, so many as `counts` says.

    The kernel chooses the process by a hash of both addresses: the same ports always lead to the same one.
    """
    chosen = [[] for _ in counts]
    processes = workers(pooler)
    deadline = time.monotonic() + 60
    while any(len(ports) < count for ports, count in zip(chosen, counts)):
        if time.monotonic() > deadline:
            raise Failed(f"clients do not come to all processes: {[len(ports) for ports in chosen]}")
        for port, process in _probe(pooler, 50).items():
            if process not in processes:
                continue
            ports = chosen[processes.index(process)]
            if len(ports) < counts[processes.index(process)] and port not in ports:
                ports.append(port)
    return [port for ports in chosen for port in ports]


def _probe(pooler, count):
    """Which process serves a connection from each of some ports."""
    connections = {}
    try:
        for port in random.sample(SOURCE_PORTS, count):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # A reset, so that the port is free again at once.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.settimeout(10)
            try:
                connection.bind(("127.0.0.1", port))
                connection.connect(("127.0.0.1", pooler.port))
            except OSError:
                connection.close()
                continue
            body = struct.pack("!i", 3 << 16) + b"user\0bench\0database\0bench\0\0"
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            connections[port] = connection
        for connection in connections.values():
            connection.recv(1)
        return _owners(pooler, list(connections))
    finally:
        for connection in connections.values():
            connection.close()


def _owners(pooler, ports):
    inodes = {}
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            local, remote = (int(words[index].split(":")[1], 16) for index in (1, 2))
            if local == pooler.port and remote in ports:
                inodes[f"socket:[{words[9]}]"] = remote
    owners = {}
    for process in workers(pooler):
        for name in os.listdir(f"/proc/{process}/fd"):
            try:
                target = os.readlink(f"/proc/{process}/fd/{name}")
            except OSError:
                continue
            if target in inodes:
                owners[inodes[target]] = process
    return owners
