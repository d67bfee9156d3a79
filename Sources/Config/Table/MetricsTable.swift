/// Settings about metrics, which a process of their own serves.
extension SettingTable {
    static let metrics: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .console)
        return [
            row.text(
                "metrics_listen", "", \.metricsListen,
                """
                Address and port, such as 127.0.0.1:9127, at which pgsluice-web serves metrics for \
                Prometheus (/metrics) and says how we are (/healthz, /readyz), without a password. Needs \
                the control socket. Empty is off.
                """),
            row.boolean(
                "metrics_pgbouncer_names", "1", \.metricsHavePgBouncerNames,
                "Give metrics also the names of pgbouncer_exporter, so that its dashboards go on working."),
        ]
    }()
}
