import Glibc
import Testing

/// What no honest client sends. It ends that connection alone, with an error that says why.
@Suite struct BadInputTests {
    /// A well-behaved client beside, which must not notice anything.
    private func beside(_ setup: Setup, _ body: (Pooler) throws -> Void) async throws {
        try await withPooler(setup) { pooler throws in
            let isOver = Shared(false)
            let count = Shared(0)
            let honest = Thread {
                let client = try pooler.connect()
                while !isOver.current {
                    let number = count.with { count in
                        count += 1
                        return count
                    }
                    guard try client.query("select \(number)").value == "\(number)" else {
                        throw Failure("the honest client got a wrong answer")
                    }
                    usleep(1_000)
                }
            }
            defer { isOver.with { $0 = true } }
            do {
                try body(pooler)
            } catch {
                isOver.with { $0 = true }
                try? honest.join()
                throw error
            }
            let before = count.current
            try eventually("the honest client is served") { count.current > before + 1 }
            isOver.with { $0 = true }
            try honest.join()
        }
    }

    /// Everything up to the other side's close; a time-out says what was sent.
    private func end(of client: RawConnection, after what: String) throws -> [Message] {
        do {
            return try client.receiveToEnd(within: 5)
        } catch {
            Issue.record("\(what): \(error)")
            return []
        }
    }

    /// Sends bytes, and expects nothing but errors and the end.
    private func expectRefusal(
        _ pooler: Pooler, _ bytes: [UInt8], saying text: String? = nil, half: Bool = false
    ) throws {
        let client = try pooler.raw()
        try client.send(bytes)
        if half { shutdown(client.descriptor, Int32(SHUT_WR)) }
        let answer = try end(of: client, after: "\(bytes.prefix(40))")
        #expect(answer.allSatisfy { $0.type == "E" || $0.type == "v" }, "\(answer)")
        if let text {
            let message = answer.last?.fields["M"] ?? "nothing"
            #expect(message.contains(text), "\(message)")
            #expect(answer.last?.fields["S"] == "FATAL")
            #expect(answer.last?.fields["C"]?.count == 5)
        }
    }

    @Test(arguments: Setup.transaction)
    func startupPacketsThatAreNone(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            let user = [("user", "app"), ("database", "test")]
            let good = Bytes.startup(user)
            try expectRefusal(pooler, Array("GET / HTTP/1.0\r\n\r\n".utf8))
            try expectRefusal(pooler, [0, 0, 0, 0, 0, 0, 0, 0])
            try expectRefusal(pooler, [0, 0, 0, 7, 0, 3, 0, 0])
            try expectRefusal(pooler, [0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0])
            try expectRefusal(pooler, [0x80, 0, 0, 8, 0, 3, 0, 0])
            try expectRefusal(
                pooler, Bytes.startup(user, version: 0x20000), saying: "old V2 protocol not supported")
            try expectRefusal(pooler, Bytes.startup(user, version: 0x40000))
            try expectRefusal(pooler, Bytes.startup(user, version: 0), saying: "bad packet header")
            try expectRefusal(pooler, Bytes.startup([("database", "test")]), saying: "no username supplied")
            try expectRefusal(pooler, Bytes.startup([]), saying: "no username supplied")
            try expectRefusal(pooler, Bytes.int32(8) + Bytes.int32(0x30000))
            // No terminator, a name without a value, a value without an end.
            try expectRefusal(pooler, Bytes.int32(13) + Bytes.int32(0x30000) + Array("user\u{0}".utf8))
            try expectRefusal(
                pooler, Bytes.int32(17) + Bytes.int32(0x30000) + Array("user\u{0}app\u{0}".utf8))
            try expectRefusal(pooler, Bytes.int32(16) + Bytes.int32(0x30000) + Array("user\u{0}app".utf8))
            try expectRefusal(
                pooler, Bytes.startup([("user", String(repeating: "u", count: 5_000))]),
                saying: "username too long")
            try expectRefusal(pooler, Bytes.int32(70_000) + Bytes.int32(0x30000))
            for length in 1..<good.count { try expectRefusal(pooler, Array(good.prefix(length)), half: true) }
        }
    }

    @Test(arguments: Setup.transaction)
    func requestsForEncryptionAreDeclined(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            for code in [80_877_103, 80_877_104] {
                let client = try pooler.raw()
                try client.send(Bytes.int32(8) + Bytes.int32(code))
                #expect(try client.receiveByte() == "N")
                try client.logIn([("user", "app"), ("database", "test")])
                #expect(try client.query("select 1").map(\.type) == ["T", "D", "C", "Z"])
                // Bytes that came with the request may have been put there by somebody in between.
                try expectDeclined(
                    pooler, Bytes.int32(8) + Bytes.int32(code) + Bytes.startup([("user", "app")]))
            }
            let both = try pooler.raw()
            for code in [80_877_104, 80_877_103] {
                try both.send(Bytes.int32(8) + Bytes.int32(code))
                #expect(try both.receiveByte() == "N")
            }
            try both.logIn([("user", "app"), ("database", "test")])
        }
    }

    private func expectDeclined(_ pooler: Pooler, _ bytes: [UInt8]) throws {
        guard Options.isOurs else { return }
        let client = try pooler.raw()
        try client.send(bytes)
        var first = try client.receiveByte()
        if first == "N" { first = try client.receiveByte() }
        #expect(first == "E" || first == nil, "the login must not go on")
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func newerProtocolsAreNegotiated(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            let user = [("user", "app"), ("database", "test")]
            let future = try pooler.raw()
            try future.send(Bytes.startup(user + [("_pq_.novelty", "1")], version: 0x3270f))
            let messages = try future.receive(through: "Z")
            let negotiation = messages.first { $0.type == "v" }
            #expect(negotiation != nil)
            #expect(negotiation?.body.suffix(13).elementsEqual(Bytes.text("_pq_.novelty")) == true)

            let modern = try pooler.raw()
            try modern.logIn(user, version: 0x30002)
            #expect(modern.cancelKey.count >= 8)
            #expect(try modern.query("select 1").count == 4)
        }
    }

    @Test(arguments: Setup.transaction)
    func messagesBeforeTheLoginIsComplete(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            try expectRefusal(pooler, Bytes.query("select 1"))
            try expectRefusal(pooler, Bytes.message("p", Bytes.text("password")))
            try expectRefusal(pooler, Bytes.sync)
            try expectRefusal(pooler, [UInt8](repeating: 0x51, count: 1_000))
        }
    }

    @Test(arguments: Setup.transaction)
    func aSecondStartupPacketIsRefused(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(Bytes.startup([("user", "app"), ("database", "test")]))
            #expect(try client.receiveToEnd().allSatisfy { $0.type == "E" })
        }
    }

    @Test(arguments: Setup.transaction)
    func messageTypesAndLengthsThatAreNone(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            for type in 0...255 where !"QPBDECSHXFdcfp".unicodeScalars.contains(UnicodeScalar(UInt8(type))) {
                let client = try pooler.rawLogin()
                try client.send([UInt8(type)] + Bytes.int32(4) + [0, 0, 0])
                let answer = try end(of: client, after: "type \(type)")
                #expect(answer.allSatisfy { $0.type == "E" }, "type \(type): \(answer)")
            }
            for length in [0, 1, 3, -1, Int(Int32.min)] {
                for type in "QPBDECSHXF" {
                    let client = try pooler.rawLogin()
                    try client.send([type.asciiValue!] + Bytes.int32(length) + Array("select 1".utf8))
                    let answer = try end(of: client, after: "\(type) of length \(length)")
                    #expect(answer.allSatisfy { $0.type == "E" }, "\(type), length \(length): \(answer)")
                }
            }
        }
    }

    /// Messages whose inside does not fit: with PostgreSQL's error, or the pooler's, and never a stuck
    /// client.
    @Test(arguments: Setup.transaction)
    func messagesThatAreBrokenInside(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            let broken: [(Character, [UInt8])] = [
                ("P", []), ("P", [0x41]), ("P", Array("name".utf8)), ("P", Bytes.text("name")),
                ("P", Bytes.text("n") + Array("select 1".utf8)),
                ("P", Bytes.text("n") + Bytes.text("select 1")),
                ("P", Bytes.text("n") + Bytes.text("select 1") + Bytes.int16(5)),
                ("P", Bytes.text("n") + Bytes.text("select 1") + Bytes.int16(-1)),
                ("B", []), ("B", [0]), ("B", [0, 0]), ("B", Bytes.text("p") + Array("s".utf8)),
                ("B", [0, 0] + Bytes.int16(9)),
                ("B", [0, 0] + Bytes.int16(0) + Bytes.int16(1) + Bytes.int32(-5)),
                ("B", [0, 0] + Bytes.int16(0) + Bytes.int16(1) + Bytes.int32(1_000_000)),
                ("D", []), ("D", [0x53]), ("D", Array("Sname".utf8)), ("D", Bytes.text("Xname")),
                ("C", []), ("C", [0x53]), ("C", Array("Sname".utf8)), ("C", Bytes.text("Xname")),
                ("E", []), ("E", [0]), ("E", [0, 0, 0]), ("Q", []), ("Q", Array("select 1".utf8)),
                ("F", []), ("F", [0, 0, 5]), ("S", [1]), ("H", [1]),
            ]
            for (type, body) in broken {
                let client = try pooler.rawLogin()
                try client.send(
                    Bytes.message(type, body) + Bytes.sync + Bytes.query("select 'end'") + Bytes.terminate)
                var answer: [Message] = []
                while let message = try client.receive() { answer.append(message) }
                let types = answer.map(\.type)
                #expect(
                    types.contains("E") || types.filter { $0 == "Z" }.count >= 1 || types.isEmpty,
                    "\(type)(\(body)): \(types)")
            }
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func messagesLongerThanAllowedAreRefused(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["max_packet_size": "100000"])) { pooler throws in
            let client = try pooler.connect()
            let fits = String(repeating: "x", count: 90_000)
            #expect(try client.query("select length('\(fits)')").value == "90000")
            let raw = try pooler.rawLogin()
            try raw.send([0x51] + Bytes.int32(200_000) + [UInt8](repeating: 0x20, count: 1_000))
            let answer = try raw.receiveToEnd()
            #expect(answer.last?.type == "E")
            #expect(answer.last?.fields["M"]?.contains("max_packet_size") == true)
            #expect(try client.query("select 1").value == "1")
        }
    }

    /// Requests in an order that makes no sense get PostgreSQL's answers.
    @Test(arguments: Setup.transaction)
    func ordersThatMakeNoSense(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            let orders: [[UInt8]] = [
                Bytes.execute("") + Bytes.sync, Bytes.bind("", "") + Bytes.sync,
                Bytes.bind("p", "") + Bytes.sync,
                Bytes.sync + Bytes.sync + Bytes.sync, Bytes.flush + Bytes.flush + Bytes.sync,
                Bytes.describe("P", "none") + Bytes.sync, Bytes.close("P", "none") + Bytes.sync,
                Bytes.message("d", [1, 2, 3]) + Bytes.sync, Bytes.message("c") + Bytes.sync,
                Bytes.message("f", Bytes.text("no")) + Bytes.sync,
                Bytes.parse("", "select 1") + Bytes.query("select 2") + Bytes.sync,
            ]
            for order in orders {
                let client = try pooler.rawLogin()
                try client.send(order + Bytes.query("select 'end'"))
                var seen = ""
                while !seen.contains("end") {
                    guard let message = try client.receive() else { break }
                    if message.type == "D" { seen += String(decoding: message.body, as: UTF8.self) }
                }
                #expect(seen.contains("end"), "after \(order)")
            }
        }
    }

    /// Passwords of the wrong shape at the moment they are asked for.
    @Test(arguments: Setup.transaction, ["plain", "md5", "scram-sha-256"])
    func passwordsOfTheWrongShape(setup: Setup, type: String) async throws {
        let configuration = Configuration(settings: ["auth_type": type], secrets: ["app": "pw"])
        try await withPooler(setup, configuration) { pooler throws in
            let answers: [[UInt8]] = [
                Bytes.message("p"), Bytes.message("p", [0]), Bytes.message("p", Bytes.text("")),
                Bytes.message("p", Array("no end".utf8)), Bytes.message("p", Bytes.text("SCRAM-SHA-256")),
                Bytes.message("p", Bytes.text("SCRAM-SHA-256") + Bytes.int32(-2)),
                Bytes.message("p", Bytes.text("SCRAM-SHA-256") + Bytes.int32(900) + [1]),
                Bytes.message("p", Bytes.text("SCRAM-SHA-256-PLUS") + Bytes.int32(3) + [1, 2, 3]),
                Bytes.message("p", Bytes.text("SCRAM-SHA-256") + Bytes.int32(10) + Array("n,,n=,r=xx".utf8)),
                Bytes.message("p", [UInt8](repeating: 0xff, count: 2_000)),
                Bytes.query("select 1"), Bytes.sync, [0xff, 0xff, 0xff, 0xff, 0xff],
            ]
            for answer in answers {
                let client = try pooler.raw()
                try client.send(Bytes.startup([("user", "app"), ("database", "test")]))
                #expect(try client.receive()?.type == "R")
                try client.send(answer)
                // A well-formed first message of SCRAM is answered; nothing can follow but a wrong proof.
                var rest: [Message] = []
                if answer.suffix(10).elementsEqual("n,,n=,r=xx".utf8), let first = try client.receive() {
                    rest.append(first)
                    let proof = Bytes.message("p", Array("c=biws,r=xx,p=AAAA".utf8))
                    if first.type == "R" { try client.send(proof) }
                }
                rest += try end(of: client, after: "\(type): \(answer.prefix(40))")
                #expect(!rest.contains { $0.type == "Z" } && rest.last?.type != "R", "\(answer): \(rest)")
            }
        }
    }

    /// Bytes at random, in place of a login and after one.
    @Test(arguments: Setup.transaction)
    func bytesAtRandom(setup: Setup) async throws {
        try await beside(setup) { pooler throws in
            var state: UInt64 = 0x9e37_79b9_7f4a_7c15
            func next() -> UInt8 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                return UInt8(truncatingIfNeeded: state >> 24)
            }
            for round in 0..<200 {
                let client = round % 2 == 0 ? try pooler.raw() : try pooler.rawLogin()
                // Whether it is refused at once or goes on waiting for the rest of a message is not the
                // point.
                try? client.send((0..<(Int(next()) + 1)).map { _ in next() })
                if round % 3 == 0 { client.reset() } else { client.disconnect() }
            }
        }
    }
}
