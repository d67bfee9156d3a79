/// Every setting there is. The parser, the console, the example file and the manual are made from it.
public enum SettingTable {
    /// The largest number a count or limit accepts.
    static let maxCount = Int(Int32.max)

    /// The rows of `[pgbouncer]` in the order of `SHOW CONFIG`: PgBouncer's order, which is alphabetical
    /// but for `pool_mode` before `pool_idle_timeout`, then the settings PgBouncer does not have.
    static let settings: [SettingField<Settings>] = {
        inherited.sorted { sortKey($0.setting.name).lexicographicallyPrecedes(sortKey($1.setting.name)) }
            + workers + control + metrics + ownLogging + ownAuthentication + ending + strangers + testing
    }()

    /// What only tests may set (with `PGSLUICE_TEST=1` in the environment); documents and console are silent
    /// about it.
    static let testing: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .workers)
        return [
            row.boolean(
                "test_keep_clients", "0", \.keepsClients,
                "Clients stay with the worker that has accepted them.")
        ]
    }()

    /// The settings PgBouncer has too, grouped by heading, in the order in which a reader wants them.
    private static let inherited: [SettingField<Settings>] =
        listening + pooling + limits + timeouts + servers + authentication + protocols + console + logging
        + process + names + network + clientTLS + serverTLS + peering

    /// The rows of `[pgbouncer]` in the order in which documents describe them.
    static let documented: [Setting] =
        (workers + inherited + control + metrics + ownLogging + ownAuthentication + ending + strangers).map(
            \.setting)

    /// All rows of all sections.
    public static let all: [Setting] =
        settings.map(\.setting) + databases.map(\.setting) + users.map(\.setting) + peers.map(\.setting)

    /// The rows of one section, in order.
    public static func rows(of section: Setting.Section) -> [Setting] {
        all.filter { $0.section == section }
    }

    /// The row of `[pgbouncer]` with this name.
    public static func setting(_ name: String) -> Setting? {
        settingIndex(name).map { settings[$0].setting }
    }

    /// Where in `settings` the row with this name is.
    static func settingIndex(_ name: String) -> Int? { indices[name] }

    private static let indices: [String: Int] = {
        var indices: [String: Int] = [:]
        for (index, field) in settings.enumerated() {
            precondition(indices[field.setting.name] == nil, "no setting is in the table twice")
            indices[field.setting.name] = index
        }
        return indices
    }()

    private static func sortKey(_ name: String) -> String.UTF8View {
        // "pool_h" is where "pool_mode" has to be.
        (name == "pool_mode" ? "pool_h" : name).utf8
    }
}
