/// A setting together with the place in `Target` its value goes to.
struct SettingField<Target>: Sendable {
    /// The row of the table.
    var setting: Setting
    /// Puts a value that was read by the setting's kind into the target.
    let store: @Sendable (inout Target, SettingValue) -> Void

    /// The same setting, applied by a restart only.
    var startupOnly: SettingField {
        var field = self
        field.setting.isReloadable = false
        return field
    }

    /// The same setting, marked as one that servers depend on.
    var replacingServers: SettingField {
        var field = self
        field.setting.replacesServers = true
        return field
    }

    /// The same setting, marked as accepted and without effect in this release.
    var notYet: SettingField {
        var field = self
        field.setting.support = .notYet
        return field
    }

    /// The same setting, marked as accepted and never with an effect.
    var noEffect: SettingField {
        var field = self
        field.setting.support = .noEffect
        return field
    }
}

/// Makes the rows of one heading; each method is one way of reading a value.
struct SettingRows<Target> {
    /// Where a value of this type goes.
    typealias Path<Value> = any WritableKeyPath<Target, Value> & Sendable

    /// The section of all rows made.
    let section: Setting.Section
    /// The heading of all rows made.
    let group: Setting.Group

    private func field(
        _ name: String, _ kind: SettingKind, _ unit: Setting.Unit, _ defaultText: String?, _ meaning: String,
        _ store: @escaping @Sendable (inout Target, SettingValue) -> Void
    ) -> SettingField<Target> {
        let setting = Setting(
            name: name, section: section, group: group, kind: kind, unit: unit, defaultText: defaultText,
            meaning: meaning)
        return SettingField(setting: setting, store: store)
    }

    /// Text; unset is empty.
    func text(
        _ name: String, _ defaultText: String?, _ path: Path<String>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .text, .none, defaultText, meaning) { target, value in
            if case .text(let text) = value {
                target[keyPath: path] = text
            } else {
                target[keyPath: path] = ""
            }
        }
    }

    /// Text; unset and empty are `nil`.
    func optionalText(
        _ name: String, _ defaultText: String?, _ path: Path<String?>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .text, .none, defaultText, meaning) { target, value in
            if case .text(let text) = value, !text.isEmpty {
                target[keyPath: path] = text
            } else {
                target[keyPath: path] = nil
            }
        }
    }

    /// Text of a setting that has no field because nothing reads it in this release.
    func unread(
        _ name: String, _ defaultText: String?, kind: SettingKind = .text, unit: Setting.Unit = .none,
        _ meaning: String
    ) -> SettingField<Target> {
        field(name, kind, unit, defaultText, meaning) { _, _ in }
    }

    /// A whole number.
    func integer(
        _ name: String, _ defaultText: String?, _ range: ClosedRange<Int>, _ unit: Setting.Unit,
        _ path: Path<Int>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .integer(range), unit, defaultText, meaning) { target, value in
            if case .integer(let number) = value {
                target[keyPath: path] = number
            } else {
                target[keyPath: path] = 0
            }
        }
    }

    /// A whole number that fits 32 bits; negative ones, and 0 where `zeroIsUnset`, leave it `nil`.
    func optionalCount(
        _ name: String, zeroIsUnset: Bool = false, _ path: Path<UInt32?>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .integer(-1...SettingTable.maxCount), .connections, nil, meaning) { target, value in
            guard case .integer(let number) = value, number >= (zeroIsUnset ? 1 : 0) else {
                return target[keyPath: path] = nil
            }
            target[keyPath: path] = UInt32(number)
        }
    }

    /// A boolean.
    func boolean(
        _ name: String, _ defaultText: String, _ path: Path<Bool>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .boolean, .none, defaultText, meaning) { target, value in
            if case .boolean(let isOn) = value { target[keyPath: path] = isOn }
        }
    }

    /// A time.
    func seconds(
        _ name: String, _ defaultText: String, _ path: Path<UInt64>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .seconds, .seconds, defaultText, meaning) { target, value in
            if case .nanoseconds(let nanoseconds) = value { target[keyPath: path] = nanoseconds }
        }
    }

    /// A time in whole seconds.
    func wholeSeconds(
        _ name: String, _ defaultText: String, _ range: ClosedRange<Int>, _ path: Path<UInt64>,
        _ meaning: String
    ) -> SettingField<Target> {
        field(name, .integer(range), .seconds, defaultText, meaning) { target, value in
            if case .integer(let number) = value { target[keyPath: path] = UInt64(number) * 1_000_000_000 }
        }
    }

    /// A time without default; 0 leaves it `nil` where `zeroIsUnset`.
    func optionalSeconds(
        _ name: String, zeroIsUnset: Bool, _ path: Path<UInt64?>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .seconds, .seconds, nil, meaning) { target, value in
            guard case .nanoseconds(let nanoseconds) = value, nanoseconds > 0 || !zeroIsUnset else {
                return target[keyPath: path] = nil
            }
            target[keyPath: path] = nanoseconds
        }
    }

    /// One word of an enumeration.
    func choice<Choice: NamedChoice>(
        _ name: String, _ defaultText: String, _ path: Path<Choice>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .choice(Choice.words), .none, defaultText, meaning) { target, value in
            if case .choice(let index) = value { target[keyPath: path] = Array(Choice.allCases)[index] }
        }
    }

    /// One word of an enumeration, without default.
    func optionalChoice<Choice: NamedChoice>(
        _ name: String, _ path: Path<Choice?>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .choice(Choice.words), .none, nil, meaning) { target, value in
            if case .choice(let index) = value { target[keyPath: path] = Array(Choice.allCases)[index] }
        }
    }

    /// Words between commas.
    func list(
        _ name: String, _ defaultText: String, _ path: Path<[String]>, _ meaning: String
    ) -> SettingField<Target> {
        field(name, .list, .none, defaultText, meaning) { target, value in
            if case .list(let words) = value { target[keyPath: path] = words }
        }
    }

    /// A value whose reading and place are the row's own affair.
    func custom(
        _ name: String, _ kind: SettingKind, _ unit: Setting.Unit, _ defaultText: String?, _ meaning: String,
        _ store: @escaping @Sendable (inout Target, SettingValue) -> Void
    ) -> SettingField<Target> {
        field(name, kind, unit, defaultText, meaning, store)
    }
}
