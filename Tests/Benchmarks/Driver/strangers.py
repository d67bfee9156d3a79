"""Floods a pooler with connections that never log in and logins that fail, all from one address, and looks whether
somebody from another address notices. See Scripts/flood."""

import argparse
import base64
import multiprocessing
import os
import secrets
import selectors
import socket
import struct
import sys
import tempfile
import time
from contextlib import ExitStack

from pooler import Pooler, Program, free_port
from processes import Failed, copy_program, everywhere, give_to_user, pss_bytes, tree
from postgres import RealServer

FLOOD = "127.0.0.2"
HONEST = "127.0.0.1"
LOGIN = struct.pack("!i", 196608) + b"user\0bench\0database\0bench\0\0"
LOGIN = struct.pack("!i", len(LOGIN) + 4) + LOGIN


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="Scripts/flood", description=__doc__)
    parser.add_argument("--half-open", type=int, default=15_000, metavar="N", help="connections that wait")
    parser.add_argument("--rate", type=int, default=2_000, metavar="N", help="wrong proofs a second")
    parser.add_argument("--seconds", type=float, default=10, help="how long proofs are sent")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patience", type=float, default=1, metavar="S", help="longest login of an honest client")
    parser.add_argument("--binary", default=os.environ.get("PGSLUICE_BINARY", ".build/release/pgsluice"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    return parser.parse_args()


class Ports:
    """Ports to connect from, one after the other: where most are taken the kernel would look for long."""

    def __init__(self, first, count):
        self.first, self.count, self.next = first, count, 0

    def bind(self, link):
        """Gives a socket the next port that is free."""
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for _ in range(self.count):
            port = self.first + self.next
            self.next = (self.next + 1) % self.count
            try:
                return link.bind((FLOOD, port))
            except OSError:
                continue
        raise Failed("there are no ports left")


def connect(port, source, timeout=None, ports=None):
    """A connection from an address of this machine."""
    link = socket.socket()
    link.settimeout(timeout)
    if ports:
        ports.bind(link)
    else:
        link.bind((source, 0))
    link.connect((HONEST, port))
    return link


def hold(port, ports, count, ready, over):
    """Holds connections that never log in: one half announces a long packet and sends none of it, the other gives
    a name and no more."""
    links = []
    for index in range(count):
        try:
            link = connect(port, FLOOD, 10, ports)
            link.sendall(b"\0\0\xff\xff" if index % 2 else LOGIN)
            links.append(link)
        except OSError:
            continue
        if index % 50 == 0:
            # Faster than they are accepted they would only fill the kernel's queue.
            time.sleep(0.005)
    ready.put(len(links))
    over.wait()
    alive = 0
    for link in links:
        link.setblocking(False)
        try:
            # What was answered to the name is there; an end is not.
            alive += all(piece != b"" for piece in pieces(link))
        except OSError:
            pass
    ready.put(alive)


def pieces(link):
    """What has come."""
    while True:
        try:
            piece = link.recv(4096)
        except BlockingIOError:
            return
        yield piece
        if not piece:
            return


class Attempt:
    """A login by SCRAM with a proof of random bytes, one message at a time."""

    def __init__(self, port, ports):
        self.link = socket.socket()
        self.link.setblocking(False)
        # Thousands of ports would wait for late packets else.
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ports.bind(self.link)
        self.link.connect_ex((HONEST, port))
        self.step = 0

    def go_on(self):
        """Takes an answer and sends what follows. True when the login is over; `refused` tells how."""
        if self.step == 0:
            self.link.sendall(LOGIN)
            self.step = 1
            return None
        answer = self.link.recv(4096)
        if answer[:1] != b"R":
            return code(answer)
        if self.step == 1:
            first = b"n,,n=,r=" + base64.b64encode(secrets.token_bytes(18))
            body = b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
        else:
            nonce = answer[9:].split(b",")[0]
            body = b"c=biws," + nonce + b",p=" + base64.b64encode(secrets.token_bytes(32))
        self.link.sendall(b"p" + struct.pack("!i", len(body) + 4) + body)
        self.step += 1
        return None


def code(answer):
    """The SQLSTATE of an error, or what else it was."""
    if not answer:
        return "closed"
    fields = answer[5:].split(b"\0")
    return next((field[1:].decode() for field in fields if field[:1] == b"C"), "other")


def fail_logins(port, ports, rate, seconds, results):
    """Sends wrong proofs at a rate."""
    poll = selectors.DefaultSelector()
    counts = {}
    begin = time.monotonic()
    started = 0
    running = 0
    while True:
        age = time.monotonic() - begin
        if age >= seconds:
            break
        while started < age * rate and running < 1000:
            attempt = Attempt(port, ports)
            poll.register(attempt.link, selectors.EVENT_WRITE, attempt)
            started += 1
            running += 1
        for key, _ in poll.select(0.005):
            attempt = key.data
            try:
                first = attempt.step == 0
                end = attempt.go_on()
            except OSError as error:
                first, end = False, type(error).__name__
            if first:
                poll.modify(attempt.link, selectors.EVENT_READ, attempt)
            if end is not None:
                counts[end] = counts.get(end, 0) + 1
                poll.unregister(attempt.link)
                attempt.link.close()
                running -= 1
    results.put(counts)


def log_in(port, source, patience):
    """An honest login; answers how long it took, and the message of the error if there was one."""
    begin = time.monotonic()
    with connect(port, source, patience) as link:
        link.sendall(LOGIN)
        scram = Scram()
        stream = b""
        while True:
            piece = link.recv(4096)
            if not piece:
                raise Failed(f"a client from {source} was left without an answer")
            stream += piece
            while len(stream) >= 5 and len(stream) > struct.unpack("!i", stream[1:5])[0]:
                size = struct.unpack("!i", stream[1:5])[0] + 1
                kind, body, stream = stream[:1], stream[5:size], stream[size:]
                if kind == b"E":
                    text = next((part[1:] for part in body.split(b"\0") if part[:1] == b"M"), b"")
                    return time.monotonic() - begin, text.decode()
                if kind == b"Z":
                    return time.monotonic() - begin, None
                if kind == b"R":
                    answer = scram.answer(body)
                    if answer:
                        link.sendall(b"p" + struct.pack("!i", len(answer) + 4) + answer)


class Scram:
    """The client's side of SCRAM-SHA-256 for the password `bench`."""

    def answer(self, body):
        """The answer to a request; none to the last ones."""
        import hashlib
        import hmac

        kind = struct.unpack("!i", body[:4])[0]
        if kind == 10:
            self.bare = b"n=,r=" + base64.b64encode(secrets.token_bytes(18))
            first = b"n,," + self.bare
            return b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
        if kind != 11:
            return None
        server = body[4:]
        nonce, salt, rounds = (part[2:] for part in server.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", b"bench", base64.b64decode(salt), int(rounds))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=biws,r=" + nonce
        signed = b",".join([self.bare, server, final])
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return final + b",p=" + base64.b64encode(proof)


def watch(port, seconds, patience):
    """Logs in from both addresses again and again, and looks at how that goes."""
    longest, honest, told = 0, 0, {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        took, error = log_in(port, HONEST, 10)
        if error:
            raise Failed(f"a client from {HONEST} was refused: {error}")
        longest = max(longest, took)
        honest += 1
        _, error = log_in(port, FLOOD, 10)
        told[error] = told.get(error, 0) + 1
        time.sleep(0.05)
    for error in told:
        if error and "limit" not in error:
            raise Failed(f"a client from {FLOOD} was told {error}")
    if longest > patience:
        raise Failed(f"a client from {HONEST} took {longest:.2f} s to log in")
    print(f"logins from {HONEST}: {honest}, the longest took {longest * 1000:.0f} ms")
    print(f"logins from {FLOOD}: " + ", ".join(f"{number} {error or 'in'}" for error, number in told.items()))


def flood(pooler, options):
    """The flood, and what it does to others."""
    # What the first ones cost is there whatever comes after them.
    warm_up = multiprocessing.Queue()
    fail_logins(pooler.port, Ports(10_000, 5_000), 200, 2, warm_up)
    log_in(pooler.port, HONEST, 10)
    before = pss_bytes(tree(pooler.process.pid))
    over = multiprocessing.Event()
    queue = multiprocessing.Queue()
    each = 5_000
    sizes = [min(each, options.half_open - start) for start in range(0, options.half_open, each)]
    started = time.monotonic()
    holders = [
        multiprocessing.Process(
            target=hold, args=(pooler.port, Ports(33_000 + each * index, each), size, queue, over), daemon=True
        )
        for index, size in enumerate(sizes)
    ]
    for holder in holders:
        holder.start()
    held = sum(queue.get(timeout=120) for _ in holders)
    print(f"{held} connections wait after {time.monotonic() - started:.1f} s")
    growth = (pss_bytes(tree(pooler.process.pid)) - before) / max(held, 1)
    print(f"memory of all processes: {growth / 1024:.2f} KB per connection")
    results = multiprocessing.Queue()
    makers = [
        multiprocessing.Process(
            target=fail_logins,
            args=(pooler.port, Ports(first, 5_000), options.rate / 2, options.seconds, results),
            daemon=True,
        )
        for first in (15_000, 20_000)
    ]
    for maker in makers:
        maker.start()
    watch(pooler.port, options.seconds, options.patience)
    counts = {}
    for _ in makers:
        for name, number in results.get(timeout=30).items():
            counts[name] = counts.get(name, 0) + number
    total = sum(counts.values())
    print(f"failed logins: {total / options.seconds:.0f} a second: {counts}")
    over.set()
    alive = sum(queue.get(timeout=60) for _ in holders)
    print(f"of those that wait, {alive} are still there")
    growth = (pss_bytes(tree(pooler.process.pid)) - before) / max(held, 1)
    print(f"memory of all processes in the end: {growth / 1024:.2f} KB per connection")
    if growth > 8192:
        raise Failed("a connection that waits costs more than 8 KB")
    if total / options.seconds < options.rate / 2:
        raise Failed("fewer than half of the wrong proofs were answered")


def main():
    """Runs the flood; the status is 0 when nobody noticed."""
    options = arguments()
    with ExitStack() as stack:
        stack.enter_context(everywhere())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsluice-flood-"))
        give_to_user(folder)
        os.chmod(folder, 0o755)
        server = stack.enter_context(RealServer(folder))
        program = Program(copy_program(options.binary, folder))
        program.settings = []
        settings = {
            "workers": options.workers,
            "auth_type": "scram-sha-256",
            "max_login_conn": options.half_open + 4_000,
            "client_login_step_timeout": 60,
            "client_login_timeout": 120,
            **dict(setting.split("=", 1) for setting in options.set),
        }
        pooler = stack.enter_context(
            Pooler(
                program,
                folder,
                "flood",
                server.port,
                database=server.database,
                port=free_port(),
                settings=[f"{name} = {value}" for name, value in settings.items()],
                files={"userlist.txt": '"bench" "bench"\n'},
            )
        )
        flood(pooler, options)
    print("1 passed, 0 failed")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(failure)
        print("0 passed, 1 failed")
        sys.exit(1)
