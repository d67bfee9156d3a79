"""What is measured, and what it is to reach."""

from dataclasses import dataclass, field

# Metrics: name, unit and how to read it.
METRICS = {
    "cpu": "CPU µs per transaction",
    "busy": "busy % of the pooler's core",
    "tps": "transactions per second",
    "p50": "p50 µs",
    "p99": "p99 µs",
    "p999": "p99.9 µs",
    "longest": "longest wait µs",
    "lends": "lends per 1,000 transactions",
    "mean": "mean latency µs",
    "bytes": "bytes per client",
    "idle": "CPU ms in 60 s",
}


@dataclass(frozen=True)
class Scenario:
    """One line of the table. Goals: `ratios` of candidate to reference, or `limits`, not to be exceeded;
    `least`, ratios not to fall short of."""

    name: str
    title: str
    kind: str = "load"
    mode: str = "simple"
    clients: int = 100
    ratios: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    least: dict = field(default_factory=dict)


# Ours is to be ahead on every line.
AHEAD = {"p50": 1.0, "p99": 1.0, "p999": 1.0, "longest": 1.0}


# What counting may cost, against a build that counts nothing.
STATISTICS = {"cpu": 1.02}

SCENARIOS = [
    Scenario("simple", "simple query", ratios={"cpu": 0.80}),
    Scenario("extended", "extended query", mode="extended", ratios={"cpu": 0.80}),
    Scenario("prepared", "prepared statement", mode="prepared", ratios={"cpu": 0.85}),
    Scenario("transaction", "BEGIN, query, COMMIT", mode="transaction"),
    Scenario("connect", "connect, query, close", mode="connect", ratios={"cpu": 1.0}),
    Scenario("big", "1 MB result", mode="big", ratios={"cpu": 0.20}),
    Scenario("simple-1", "simple query", clients=1, ratios={"cpu": 1.0, "p50": 0.60}),
    Scenario("simple-1000", "simple query", clients=1000),
    Scenario("simple-5000", "simple query", clients=5000),
    Scenario("memory", "idle clients", kind="memory", clients=10_000, limits={"bytes": 1536}),
    Scenario("idle", "nothing to do", kind="idle", limits={"idle": 20}),
    # Nine of ten clients come to one of two workers, and to one of two PgBouncers on one port.
    Scenario(
        "uneven",
        "simple query, 2 workers, 90:10",
        kind="uneven",
        ratios={"cpu": 0.85, **AHEAD},
        least={"tps": 1.0},
    ),
    Scenario(
        "uneven-hold",
        "5 ms query, 2 workers, 90:10, PostgreSQL",
        kind="uneven",
        mode="hold",
        ratios={"cpu": 0.85, **AHEAD},
        least={"tps": 1.0},
    ),
    # The reference is the candidate itself with its clients evenly spread over four workers.
    Scenario(
        "gathered",
        "simple query, all on one of 4 workers, PostgreSQL",
        kind="gathered",
        clients=40,
        least={"tps": 0.9},
    ),
    Scenario(
        "gathered-hold",
        "5 ms query, all on one of 4 workers, PostgreSQL",
        kind="gathered",
        mode="hold",
        clients=40,
        least={"tps": 0.9},
    ),
    # The references are the candidate itself: as two instances that know nothing of each other, and with
    # one worker.
    Scenario("one-pool", "simple query, 2 workers against 2 instances", kind="one_pool", ratios={"cpu": 1.03}),
    Scenario(
        "one-server",
        "simple query, 4 workers, one server, PostgreSQL",
        kind="one_server",
        clients=200,
        least={"tps": 0.8},
    ),
    Scenario(
        "one-server-lent",
        "simple query, 4 workers, one server, no homes, PostgreSQL",
        kind="one_server_lent",
        clients=200,
        least={"tps": 0.8},
    ),
    # What TLS towards PostgreSQL adds to that: the session stays with one worker, and others reach it through that.
    Scenario(
        "one-server-relayed",
        "simple query, 4 workers, one TLS server, no homes",
        kind="one_server_relayed",
        clients=100,
    ),
    Scenario("scram", "SCRAM login, query, close", kind="scram", mode="connect", clients=20),
    Scenario("handshake", "TLS handshake, login, query, close", kind="handshake", mode="connect", clients=20),
    Scenario("tls", "simple query, TLS on both sides", kind="tls", ratios={"cpu": 0.85}),
    # PostgreSQL and the load generator need more than a processor: the pooler rests for half of the time.
    Scenario(
        "tls-postgres", "simple query, TLS on both sides, PostgreSQL", kind="tls_postgres", clients=20
    ),
    Scenario("tls-memory", "idle TLS clients", kind="tls_memory", clients=2000, ratios={"bytes": 0.7}),
    Scenario("pgbench-simple", "pgbench -S -M simple, PostgreSQL", kind="pgbench", mode="simple"),
    # Debian's PgBouncer knows no prepared statements in transaction mode, so it gets session mode here.
    Scenario(
        "pgbench-prepared", "pgbench -S -M prepared, PostgreSQL", kind="pgbench", mode="prepared", clients=20
    ),
]
