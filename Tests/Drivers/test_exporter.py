"""An exporter for Prometheus that people run beside PgBouncer finds in our console what it looks for."""

import psycopg2
import pytest
from prometheus_pgbouncer_exporter.collector import PgbouncersMetricsCollector
from prometheus_pgbouncer_exporter.config import PgbouncerConfig

pytestmark = [pytest.mark.pooler_only, pytest.mark.one_way]


def values(pooler):
    """Values of all metrics by name, for database app or none."""
    config = PgbouncerConfig({"dsn": pooler.url.rsplit("/", 1)[0] + "/pgbouncer", "connect_timeout": 20})
    found = {}
    for family in PgbouncersMetricsCollector([config]).collect():
        for sample in family.samples:
            if sample.labels.get("database", "app") == "app":
                found[sample.name] = sample.value
    return found


def test_the_exporter_counts_what_the_client_does(pooler):
    with psycopg2.connect(pooler.dsn) as connection:
        connection.autocommit = True
        before = values(pooler)
        for _ in range(20):
            connection.cursor().execute("select 1")
        after = values(pooler)
    assert after["pgbouncer_stats_queries_total"] - before["pgbouncer_stats_queries_total"] >= 20
    assert after["pgbouncer_stats_received_bytes_total"] > before["pgbouncer_stats_received_bytes_total"]
    for name in [
        "pgbouncer_pools_client_active_connections", "pgbouncer_pools_client_maxwait_seconds",
        "pgbouncer_databases_database_pool_size", "pgbouncer_databases_database_current_connections",
        "pgbouncer_config_max_client_conn", "pgbouncer_config_max_user_connections",
    ]:
        assert name in after, name
