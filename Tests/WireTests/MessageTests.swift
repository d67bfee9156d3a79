import Base
import Testing
import Wire

/// One message as it goes over the wire.
private func written(_ write: (inout ByteBuffer) -> Void) -> [UInt8] {
    var buffer = ByteBuffer()
    write(&buffer)
    return buffer.bytes.array
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct ServerMessagesTests {
    @Test func authenticationRequestsAreReadAsTheyWereWritten() throws {
        #expect(try request { $0.appendAuthenticationOk() } == .ok)
        #expect(try request { $0.appendAuthenticationCleartext() } == .cleartext)
        #expect(try request { $0.appendAuthenticationMD5(salt: 0x01020304) } == .md5(salt: 0x01020304))
        #expect(
            try request { $0.appendAuthenticationSASL(mechanisms: ["SCRAM-SHA-256"]) }
                == .sasl(mechanisms: 4..<19))
        #expect(
            try request { $0.appendAuthenticationSASLContinue(bytes("r=").span.bytes) }
                == .saslContinue(data: 4..<6))
        #expect(
            try request { $0.appendAuthenticationSASLFinal(bytes("v=").span.bytes) }
                == .saslFinal(data: 4..<6))
    }

    @Test func anUnknownAuthenticationRequestIsNamed() throws {
        let body: [UInt8] = [0, 0, 0, 7]
        let request = try AuthenticationRequest.read(body.span.bytes)
        #expect(request == .unsupported(code: 7))
    }

    @Test func mechanismsAreFoundByTheirWholeName() {
        let list = bytes("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
        let whole = AuthenticationRequest.offers("SCRAM-SHA-256", in: list.span.bytes)
        let prefix = AuthenticationRequest.offers("SCRAM-SHA", in: list.span.bytes)
        let cutOff = AuthenticationRequest.offers("SCRAM-SHA-256", in: list.span.bytes.extracting(0..<25))
        #expect(whole && !prefix && !cutOff)
    }

    @Test func simpleMessagesHaveTheirDocumentedBytes() {
        #expect(written { $0.appendReadyForQuery(.inTransaction) } == bytes("Z\0\0\0\u{5}T"))
        #expect(written { $0.appendParseComplete() } == bytes("1\0\0\0\u{4}"))
        #expect(written { $0.appendCloseComplete() } == bytes("3\0\0\0\u{4}"))
        #expect(written { $0.appendCommandComplete("SHOW") } == bytes("C\0\0\0\u{9}SHOW\0"))
        #expect(written { $0.appendParameterStatus(name: "a", value: "bc") } == bytes("S\0\0\0\u{9}a\0bc\0"))
        #expect(
            written { $0.appendNegotiateProtocolVersion(newestMinor: 2, unsupportedNames: [bytes("_pq_.x")]) }
                == bytes("v\0\0\0\u{13}") + [0, 3, 0, 2, 0, 0, 0, 1] + bytes("_pq_.x\0"))
    }

    @Test func keyDataAreReadAsTheyWereWritten() throws {
        let message = written { $0.appendBackendKeyData(processID: -5, key: bytes("12345678").span.bytes) }
        let key = try BackendKeyData(message.span.bytes.extracting(5..<message.count))
        let (processID, secret) = (key.processID, key.key.array)
        #expect(processID == -5 && secret == bytes("12345678"))
    }

    @Test func rowsHaveTheirDocumentedBytes() {
        let row = written { buffer in
            let message = buffer.beginDataRow(columnCount: 3)
            buffer.appendColumn("ab")
            buffer.appendColumn(-17)
            buffer.appendColumnNull()
            buffer.endMessage(at: message)
        }
        let fields: [UInt8] = [
            0, 3, 0, 0, 0, 2, 0x61, 0x62, 0, 0, 0, 3, 0x2D, 0x31, 0x37, 255, 255, 255, 255,
        ]
        #expect(row == bytes("D\0\0\0\u{17}") + fields)
        let shape = written { buffer in
            let message = buffer.beginRowDescription(columnCount: 1)
            buffer.appendColumnDescription("n", .int8)
            buffer.endMessage(at: message)
        }
        let column: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 8, 255, 255, 255, 255, 0, 0]
        #expect(shape == bytes("T\0\0\0\u{1A}") + [0, 1] + bytes("n\0") + column)
    }

    @Test func aZeroByteInATextCannotShiftWhatFollows() {
        #expect(written { $0.appendCommandComplete("a\0b") } == bytes("C\0\0\0\u{8}a?b\0"))
    }

    private func request(_ write: (inout ByteBuffer) -> Void) throws -> AuthenticationRequest {
        let message = written(write)
        return try AuthenticationRequest.read(message.span.bytes.extracting(5..<message.count))
    }
}

@Suite struct ClientMessagesTests {
    @Test func messagesHaveTheirDocumentedBytes() {
        #expect(written { $0.appendQuery("x") } == bytes("Q\0\0\0\u{6}x\0"))
        #expect(written { $0.appendSync() } == bytes("S\0\0\0\u{4}"))
        #expect(written { $0.appendTerminate() } == bytes("X\0\0\0\u{4}"))
        #expect(
            written { $0.appendClose(.statement, name: bytes("s").span.bytes) } == bytes("C\0\0\0\u{7}Ss\0"))
        #expect(
            written { $0.appendParse(name: bytes("s").span.bytes, text: bytes("q").span.bytes, types: [23]) }
                == bytes("P\0\0\0\u{E}s\0q\0") + [0, 1, 0, 0, 0, 23])
        #expect(
            written { $0.appendSASLInitialResponse(mechanism: "M", bytes("n").span.bytes) }
                == bytes("p\0\0\0\u{B}M\0") + [0, 0, 0, 1] + bytes("n"))
    }
}

@Suite struct ErrorMessagesTests {
    @Test func anErrorOfOursIsReadBackWithAllItsFields() throws {
        let error = ClientError.login(.limit(.instance(limit: 7)))
        let message = written { $0.appendErrorResponse(error) }
        let fields = try ErrorFields(message.span.bytes.extracting(5..<message.count))
        let (severity, code, text) = (fields.severity.text, fields.sqlState, fields.message.text)
        let closes = fields.closesConnection
        #expect(severity == "FATAL" && code == .tooManyConnections && closes)
        #expect(text == "no more connections allowed (max_client_conn); the limit is 7")
    }

    @Test func aStatementsErrorLeavesTheConnectionOpen() {
        let error = ClientError.statement(.noSuchStatement(name: "s1"))
        #expect(!error.closesConnection && error.sqlState == SQLState("26000"))
        #expect(error.message == "prepared statement \"s1\" does not exist")
    }

    @Test func anOldServersSeverityIsEnough() throws {
        let body = bytes("SFATAL\0C57P03\0Mstarting up\0\0")
        let fields = try ErrorFields(body.span.bytes)
        let closes = fields.closesConnection
        #expect(closes)
    }

    @Test func everyPrefixOfAnErrorIsRefused() {
        let message = written { $0.appendErrorResponse(.error, .syntaxError, "m", detail: "d", hint: "h") }
        for end in 5..<message.count {
            let prefix = Array(message[5..<end])
            #expect(throws: WireError.self) { _ = try ErrorFields(prefix.span.bytes).sqlState }
        }
    }

    @Test func aStateHasFiveDigitsOrCapitals() {
        #expect(state("57P01") == .adminShutdown)
        for wrong in ["57p01", "57P0", "57P011", "57P0!", ""] {
            #expect(state(wrong) == nil)
        }
        #expect(SQLState.adminShutdown.text == "57P01")
    }

    private func state(_ text: String) -> SQLState? { SQLState(bytes(text).span.bytes) }

    @Test func textsBeginAsPgBouncersDo() {
        let header: [UInt8] = [0xAB, 0x10]
        let hexadecimal = StartupFault.hexadecimal(header.span.bytes)
        let texts: [(ClientError, String)] = [
            (.startup(.invalidHeader(hexadecimal: hexadecimal)), "bad packet header: 'ab10'"),
            (.startup(.unsupportedParameter(name: "k")), "unsupported startup parameter: k"),
            (.startup(.unsupportedOption(name: "k")), "unsupported startup parameter in options: k"),
            (.login(.noSuchDatabase(name: "x")), "no such database: x"),
            (.login(.authentication(.sasl, user: "u")), "SASL authentication failed"),
            (.login(.authentication(.trust, user: "u")), "\"trust\" authentication failed"),
            (
                .timeout(.queryWait(waitedSeconds: 120, database: "d", user: "u", poolSize: 20)),
                "query_wait_timeout"
            ),
            (.timeout(.query(limitSeconds: 1)), "query timeout"),
            (.timeout(.clientLoginServerDown(limitSeconds: 60)), "client_login_timeout (server down)"),
            (.server(.connectionLost), "server conn crashed?"),
            (.administrator(.disconnect), "admin forced disconnect"),
            (.violation(.malformed(messageName: "Parse")), "broken Parse packet"),
        ]
        for (error, text) in texts {
            #expect(error.message.hasPrefix(text))
            #expect(error.closesConnection)
        }
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func randomBodiesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        let body = randomBytes(&random, upTo: 60)
        _ = try? ErrorFields(body.span.bytes).message.array
        _ = try? ParameterStatus(body.span.bytes).value.array
        _ = try? BackendKeyData(body.span.bytes).key.array
        _ = try? AuthenticationRequest.read(body.span.bytes)
        _ = try? TransactionStatus.read(body.span.bytes)
        _ = AuthenticationRequest.offers("SCRAM-SHA-256", in: body.span.bytes)
        _ = StartupFault.hexadecimal(body.span.bytes)
        _ = SQLState(body.span.bytes)
    }
}
