#!/usr/bin/env python3
"""Compares the simulated PostgreSQL with a real one.

The simulator's oracle is only as good as its idea of PostgreSQL. This has `Simulate` make conversations of a client
from seeds, with the answers it expects, holds them with a real server, and shows where that answers differently.

    createuser -s u0 && createdb -O u0 r0
    python3 Tests/Simulation/compare.py --port 5432 --seeds 1 100

Compared are the types of all messages and their contents, of errors and notices severity, SQLSTATE and text, of row
descriptions the names of the columns.
"""

import argparse
import socket
import struct
import subprocess
import sys


class Server:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(5)
        parameters = b"user\0u0\0database\0r0\0DateStyle\0ISO, MDY\0TimeZone\0UTC\0\0"
        self.socket.sendall(struct.pack("!II", len(parameters) + 8, 3 << 16) + parameters)
        self.wait()
        self.send(b"Q", b"set client_min_messages to error\0")
        self.wait()
        self.send(b"Q", b"create table if not exists t(x text)\0")
        self.wait()
        self.send(b"Q", b"reset client_min_messages\0")
        self.wait()

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def wait(self):
        kind = b""
        while kind != b"Z":
            kind, body = self.receive()
            if kind == b"E":
                sys.exit(f"the server refuses: {body!r}")

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("the server has closed the connection")
            data += part
        return data

    def receive(self):
        kind, length = struct.unpack("!cI", self.exactly(5))
        return kind, self.exactly(length - 4)


def meaning(kind, body):
    """What of a message is compared."""
    if kind in b"EN":
        fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
        return kind, fields.get(b"V"), fields.get(b"C"), fields.get(b"M")
    if kind == b"T":
        names, offset = [], 2
        for _ in range(struct.unpack("!H", body[:2])[0]):
            end = body.index(b"\0", offset)
            names.append(body[offset:end])
            offset = end + 19
        return kind, tuple(names)
    return kind, body


def holds(lines, port):
    """Whether the server answers a conversation as expected; tells the first difference."""
    server, expected, log = Server(port), [], []
    for line in lines:
        data = bytes.fromhex(line[2:])
        kind, body = data[:1], data[5:]
        if line[0] == ">":
            if kind == b"X":
                break
            log.append(f"client {kind!r} {body[:60]!r}")
            server.send(kind, body)
            continue
        expected.append((kind, body))
        if kind not in b"ZGEN":
            continue
        # These the server sends at once, and what is in front of them with them.
        for wanted in expected:
            try:
                got = server.receive()
            except OSError as error:
                got = (b"?", str(error).encode())
            log.append(f"server {got[0]!r} {got[1][:60]!r}")
            if meaning(*got) != meaning(*wanted):
                print("\n".join(log[-15:]))
                print(f"expected {meaning(*wanted)}")
                return False
        expected = []
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 50), metavar=("FIRST", "LAST"))
    parser.add_argument("--simulate", default=".build/debug/Simulate")
    options = parser.parse_args()
    differences = 0
    for seed in range(options.seeds[0], options.seeds[1] + 1):
        command = [options.simulate, "--conversation", "--seed", str(seed)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        if not holds(lines, options.port):
            print(f"seed {seed} differs")
            differences += 1
    print(f"{options.seeds[1] - options.seeds[0] + 1} conversations, {differences} differ")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
