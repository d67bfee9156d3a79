"""Measures a pooler against Debian's PgBouncer, in turn, on one machine. See Scripts/bench."""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace

import callgrind
import credentials
import load
import programs
import report
import spread
from pooler import Pooler, Program
from postgres import RealServer
from processes import Failed, copy_program, cpu_seconds, everywhere, give_to_user, preferred, pss_bytes
from scenarios import SCENARIOS, STATISTICS


# Pairs of runs between two builds of one program before both are started anew.
SITTING = 3


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="Scripts/bench", description=__doc__)
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of: {names} (may be repeated)")
    parser.add_argument("--runs", type=int, help="pairs of runs per scenario (15; 3 when quick)")
    parser.add_argument("--seconds", type=float, help="length of a run (1; 0.5 when quick)")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that all works")
    parser.add_argument(
        "--candidate", metavar="PATH", help="the pooler to measure (pgsluice, built for release)"
    )
    parser.add_argument(
        "--floor", action="store_true", help="measure a bare forwarder of one client instead of a pooler"
    )
    parser.add_argument("--reference", metavar="PATH", help="the pooler to compare with (Debian's pgbouncer)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a candidate's setting"
    )
    parser.add_argument("--json", metavar="FILE", help="write every run's figures")
    parser.add_argument("--strict", action="store_true", help="a goal missed is a failure")
    parser.add_argument(
        "--nice", type=int, metavar="N", help="priority, -15 on a machine with other work (root)"
    )
    parser.add_argument(
        "--callgrind", action="store_true", help="only count the candidate's instructions, on epoll (also with --statistics, or --only one-pool)"
    )
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="compare with a build that counts nothing: what do counters and histograms cost?",
    )
    options = parser.parse_args()
    if options.floor:
        options.only = ["simple-1"]
    if options.statistics:
        options.only = options.only or ["simple", "extended", "transaction"]
    options.runs = options.runs or (3 if options.quick else 15)
    options.seconds = options.seconds or (0.5 if options.quick else 1)
    for name in options.only or []:
        if name not in [scenario.name for scenario in SCENARIOS]:
            parser.error(f"'{name}' is none of {names}")
    return options


class Bench:
    """The programs and the folder of one benchmark."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        measured = "Forwarder" if options.floor else "pgsluice"
        built = programs.build(
            ["NullPostgres", "LoadGenerator"] + ([] if options.candidate else [measured])
        )
        self.null_postgres = copy_program(os.path.join(built, "NullPostgres"), folder)
        self.load_generator = copy_program(os.path.join(built, "LoadGenerator"), folder)
        self.candidate = self._program(
            options.candidate or os.path.join(built, measured), "candidate", options.set
        )
        if options.statistics and not options.reference:
            options.reference = os.path.join(programs.build(["pgsluice"], without_statistics=True), "pgsluice")
        if options.reference:
            self.reference = self._program(options.reference, "reference", [])
        else:
            found = programs.pgbouncer()
            environment = programs.copy_libraries(found.environment, os.path.join(folder, "lib"))
            self.reference = self._program(found.path, "reference", [], environment)

    def _program(self, path, name, settings, environment=None):
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        give_to_user(folder)
        return Program(
            copy_program(path, folder), [setting.replace("=", " = ", 1) for setting in settings], environment
        )

    def poolers(self, stack, server_port, candidate=None, reference=None, **common):
        """Starts both; `candidate` and `reference` are what differs."""
        return [
            stack.enter_context(
                Pooler(program, self.folder, name, server_port, **{**common, **(special or {})})
            )
            for program, name, special in (
                (self.reference, "reference", reference),
                (self.candidate, "candidate", candidate),
            )
        ]

    def in_turn(self, poolers, measure, runs):
        """Pairs of figures; who goes first changes every time."""
        pairs = []
        for run in range(runs):
            order = [0, 1] if run % 2 == 0 else [1, 0]
            figures = [None, None]
            for index in order:
                figures[index] = measure(poolers[index])
            pairs.append(tuple(figures))
        return pairs

    def measure(self, scenario):
        """All pairs of one scenario."""
        return getattr(self, f"_{scenario.kind}")(scenario)

    def _load(self, scenario, more=None, **common):
        pairs = []
        while len(pairs) < self.options.runs:
            with ExitStack() as stack:
                server = stack.enter_context(load.NullServer(self.null_postgres))
                poolers = self.poolers(stack, server.port, **common)
                pairs += self._loaded(scenario, poolers, more)
        return pairs

    def _loaded(self, scenario, poolers, more=None):
        for pooler in poolers:
            load.run(self.load_generator, pooler, scenario.mode, scenario.clients, 0.3, 0.2, more=more)
        return self.in_turn(
            poolers,
            lambda pooler: load.run(
                self.load_generator,
                pooler,
                scenario.mode,
                scenario.clients,
                self.options.seconds,
                more=more,
            ),
            # What distinguishes two processes by chance, such as where their memory is, is as large as what
            # two builds of one program differ by: these are started again and again.
            SITTING if self.options.statistics else self.options.runs,
        )

    def _scram(self, scenario):
        more = {"password": credentials.PASSWORD}
        return self._load(scenario, more, secret=credentials.verifier())

    def _handshake(self, scenario):
        certificate = credentials.Certificate(self._own_folder())
        return self._load(scenario, {"tls": 1}, settings=certificate.settings())

    def _tls(self, scenario):
        """TLS between client and pooler, and between pooler and server."""
        certificate = credentials.Certificate(self._own_folder())
        return self._encrypted(scenario, certificate, load.NullServer(self.null_postgres, certificate))

    def _tls_postgres(self, scenario):
        certificate = credentials.Certificate(self._own_folder())
        return self._encrypted(scenario, certificate, RealServer(self._own_folder(), certificate))

    def _encrypted(self, scenario, certificate, server):
        with ExitStack() as stack:
            server = stack.enter_context(server)
            poolers = self.poolers(
                stack,
                server.port,
                database=server.database,
                server_tls="require",
                settings=certificate.settings(),
            )
            return self._loaded(scenario, poolers, {"tls": 1})

    def _tls_memory(self, scenario):
        certificate = credentials.Certificate(self._own_folder())
        return self._memory(scenario, {"tls": 1}, settings=certificate.settings())

    def _memory(self, scenario, more=None, **common):
        pairs = []
        for _ in range(min(self.options.runs, 3)):
            with ExitStack() as stack:
                server = stack.enter_context(load.NullServer(self.null_postgres))
                poolers = self.poolers(stack, server.port, **common)
                pairs += self.in_turn(
                    poolers, lambda pooler: self._memory_of(pooler, scenario.clients, more), 1
                )
        return pairs

    def _memory_of(self, pooler, clients, more=None):
        load.run(self.load_generator, pooler, "simple", 100, 1, more=more)
        time.sleep(1)
        before = pss_bytes(pooler.processes())
        with load.IdleClients(self.load_generator, pooler, clients, more):
            time.sleep(2)
            after = pss_bytes(pooler.processes())
        return {"bytes": (after - before) / clients, "waited": 0.0}

    def _idle(self, scenario):
        seconds = 10 if self.options.quick else 60
        with ExitStack() as stack:
            server = stack.enter_context(load.NullServer(self.null_postgres))
            poolers = self.poolers(stack, server.port)
            for pooler in poolers:
                load.run(self.load_generator, pooler, "simple", scenario.clients, 1)
                stack.enter_context(load.IdleClients(self.load_generator, pooler, scenario.clients))
            time.sleep(5)
            before = [cpu_seconds(pooler.processes()) for pooler in poolers]
            time.sleep(seconds)
            after = [cpu_seconds(pooler.processes()) for pooler in poolers]
            scale = 1000 * 60 / seconds
            return [tuple({"idle": (b - a) * scale, "waited": 0.0} for a, b in zip(before, after))]

    def _uneven(self, scenario):
        """Two workers beside two PgBouncers on one port, with as many servers in all; nine clients of ten
        come to the first."""
        counts = [scenario.clients * 9 // 10, scenario.clients - scenario.clients * 9 // 10]
        with everywhere(), ExitStack() as stack:
            server = self._server(stack, scenario)
            reference = spread.Group(
                stack,
                2,
                self.reference,
                self.folder,
                "reference",
                server.port,
                database=server.database,
                settings=["so_reuseport = 1"],
            )
            candidate = self._ours(stack, server, "candidate", workers=2, pool_size=40)
            return self._placed(scenario, [(reference, counts), (candidate, counts)])

    def _gathered(self, scenario):
        """One of four workers with all clients, beside four workers with a quarter each."""
        with everywhere(), ExitStack() as stack:
            server = self._server(stack, scenario)
            keeping = ["test_keep_clients = 1"]
            even = self._ours(stack, server, "even", workers=4, pool_size=20, settings=keeping)
            gathered = self._ours(stack, server, "gathered", workers=4, pool_size=20, settings=keeping)
            return self._placed(
                scenario, [(even, [scenario.clients // 4] * 4), (gathered, [scenario.clients, 0, 0, 0])]
            )

    def _one_pool(self, scenario):
        """Two workers, beside two instances of one worker with half of the clients each."""
        with ExitStack() as stack:
            server = stack.enter_context(load.NullServer(self.null_postgres))
            apart = [self._ours(stack, server, f"apart-{index}", 1, 200) for index in range(2)]
            together = [self._ours(stack, server, "together", 2, 200)]

            def measure(poolers, seconds=self.options.seconds):
                return load.run_all(self.load_generator, poolers, scenario.mode, scenario.clients, seconds)

            for poolers in (apart, together):
                measure(poolers, 0.3)
            return self.in_turn([apart, together], measure, self.options.runs)

    def _one_server(self, scenario, settings=(), certificate=None):
        """Four workers share one server, beside one worker that has it alone."""
        encryption = {"server_tls": "require" if certificate else "disable"}
        with everywhere(), ExitStack() as stack:
            server = stack.enter_context(RealServer(self._own_folder(), certificate))
            alone = self._ours(stack, server, "alone", 1, 1, **encryption)
            shared = self._ours(stack, server, "shared", 4, 1, settings, **encryption)

            def measure(pooler, seconds=self.options.seconds):
                return load.run(self.load_generator, pooler, scenario.mode, scenario.clients, seconds)

            for pooler in (alone, shared):
                measure(pooler, 0.3)
            return self.in_turn([alone, shared], measure, self.options.runs)

    def _one_server_lent(self, scenario):
        """The same where clients stay with the worker that the kernel has chosen."""
        return self._one_server(scenario, ["test_keep_clients = 1"])

    def _one_server_relayed(self, scenario):
        """The same where the one server is encrypted."""
        certificate = credentials.Certificate(self._own_folder())
        return self._one_server(scenario, ["test_keep_clients = 1"], certificate)

    def _server(self, stack, scenario):
        if scenario.kind == "uneven" and scenario.mode != "hold":
            return stack.enter_context(load.NullServer(self.null_postgres))
        return stack.enter_context(RealServer(self._own_folder()))

    def _ours(self, stack, server, name, workers, pool_size, settings=(), **others):
        settings = [f"workers = {workers}", f"default_pool_size = {pool_size}", *settings]
        pooler = Pooler(
            self.candidate,
            self.folder,
            name,
            server.port,
            database=server.database,
            settings=settings,
            **others,
        )
        return stack.enter_context(pooler)

    def _placed(self, scenario, poolers):
        """Pairs of runs of poolers with clients placed as their counts say."""
        ports = {pooler.port: spread.place(pooler, counts) for pooler, counts in poolers}

        def measure(pooler, seconds=self.options.seconds):
            before = spread.lends(pooler)
            figures = load.run(
                self.load_generator,
                pooler,
                scenario.mode,
                scenario.clients,
                seconds,
                warm_up=0,
                ports=ports[pooler.port],
            )
            lends = spread.lends(pooler) - before
            return {**figures, "lends": lends * 1000 / max(figures["transactions"], 1)}

        for pooler, _ in poolers:
            measure(pooler, 0.3)
        return self.in_turn([pooler for pooler, _ in poolers], measure, self.options.runs)

    def _own_folder(self):
        folder = tempfile.mkdtemp(dir=self.folder)
        os.chmod(folder, 0o755)
        give_to_user(folder)
        return folder

    def _pgbench(self, scenario):
        with ExitStack() as stack:
            server = stack.enter_context(RealServer(self._own_folder()))
            session = {"pool_mode": "session"} if scenario.mode == "prepared" else {}
            poolers = self.poolers(
                stack,
                server.port,
                database=server.database,
                reference=session,
                candidate={} if self.candidate.is_ours else session,
            )
            seconds = max(1, round(self.options.seconds))
            return self.in_turn(
                poolers,
                lambda pooler: server.pgbench(pooler, scenario.mode, scenario.clients, seconds),
                min(self.options.runs, 5),
            )


def header(bench):
    """What was measured where."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
                break
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
        congestion = file.read().strip()
    return [
        f"machine    {model}, {os.cpu_count()} processors, Linux {platform.release()}, TCP {congestion}",
        f"reference  {bench.reference.version}",
        f"candidate  {bench.candidate.version}"
        + (f" ({', '.join(bench.candidate.settings)})" if bench.candidate.settings else ""),
        f"runs       {bench.options.runs} pairs of {bench.options.seconds:g} s each; one worker; pinned",
    ]


def run(bench):
    """Measures, prints and returns (figures, whether anything failed, whether a goal was missed)."""
    options = bench.options
    chosen = [scenario for scenario in SCENARIOS if not options.only or scenario.name in options.only]
    figures, failed, missed, waited = {}, False, False, []
    print("\n".join(header(bench)), end="\n\n")
    print(report.heading(), flush=True)
    for scenario in chosen:
        try:
            pairs = bench.measure(scenario)
        except Failed as failure:
            failed = True
            print(f"{scenario.name}: FAILED: {failure}", flush=True)
            continue
        goals = replace(scenario, ratios=STATISTICS) if options.statistics else scenario
        rows = report.compare(goals, pairs)
        print("\n".join(report.lines(scenario, rows)), flush=True)
        missed = missed or any(row[-1] == "MISS" for row in rows)
        waited += [figure["waited"] for pair in pairs for figure in pair]
        figures[scenario.name] = pairs
    if waited and max(waited) > 0.05:
        print(
            f"\nOther work kept the poolers from their processor for up to {max(waited):.0%} of a run: "
            "the figures are noisy."
        )
    return figures, failed, missed


def measure_all(bench):
    """Does what the options ask for and returns the exit status."""
    options = bench.options
    if options.callgrind and options.only == ["one-pool"]:
        callgrind.run_one_pool(bench)
        return 0
    if options.callgrind:
        callgrind.run(bench, [bench.reference] if options.statistics else [])
        return 0
    figures, failed, missed = run(bench)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"header": header(bench), "runs": figures}, file, indent=1)
    return 1 if failed or (missed and options.strict) else 0


def main():
    """Runs the benchmark; 0 when all answers were right and no strict goal was missed."""
    options = arguments()
    folder = tempfile.mkdtemp(prefix="pgsluice-bench-")
    os.chmod(folder, 0o755)
    try:
        load.prepare_descriptors()
        bench = Bench(options, folder)
        with preferred(options.nice):
            return measure_all(bench)
    except Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
