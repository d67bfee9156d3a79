/// One message as a test looks at it.
public struct Message: Equatable {
    public var type: Character
    public var body: [UInt8]
    public init(type: Character, body: [UInt8]) {
        self.type = type
        self.body = body
    }

    public var text: String { String(decoding: body, as: UTF8.self) }

    /// A field of an ErrorResponse or NoticeResponse.
    public func field(_ code: Character) -> String? {
        for part in body.split(separator: 0) where part.first == code.asciiValue {
            return String(decoding: part.dropFirst(), as: UTF8.self)
        }
        return nil
    }
}
