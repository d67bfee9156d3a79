import Auth
import Base
import Testing
import Wire

/// Secrets as PostgreSQL 15 made them, by `CREATE ROLE … PASSWORD`.
private enum Made {
    static let anna =
        "SCRAM-SHA-256$4096:xaIWaAMXjur+v7gg8Kth/A==$XoCLmQq1i0ZFUGJO2MgPTO0SFzC/p/FixpAlMz1Vd2U="
        + ":XsaFjmRW7adQNIrsfKMyIITDCcFxbq0IONGtTovcBX4="
    static let rene =
        "SCRAM-SHA-256$4096:UDPLFiMdfuh59uUPv/Phcg==$M9tRkiNJWojtcCPj8Pk8r54RKTGHZsH1a2isXrzMyFQ="
        + ":dPGVIo/sbXthO40Y2gK7DlUiv1hgvMQ2BSlNfIt9rds="
    static let bert = "md5e7de58d11d0939bb8a144a268b994873"
    static let password = "correct horse battery"
}

@Suite struct StoredSecretTests {
    @Test func theFormOfASecretIsRecognised() throws {
        #expect(StoredSecret([]) == .none)
        #expect(StoredSecret(bytes("hello")) == .plain(bytes("hello")))
        #expect(StoredSecret(bytes(Made.bert)) == .md5(bytes(Made.bert)))
        guard case .scram(let verifier) = StoredSecret(bytes(Made.anna)) else {
            Issue.record("PostgreSQL's own text is a verifier")
            return
        }
        #expect(verifier.iterations == 4096 && verifier.text == bytes(Made.anna))
    }

    @Test(arguments: [
        "md5", "md5E7DE58D11D0939BB8A144A268B994873", "md5e7de58d11d0939bb8a144a268b99487",
        "md5e7de58d11d0939bb8a144a268b9948733", "md5g7de58d11d0939bb8a144a268b994873", "SCRAM-SHA-256$",
        "SCRAM-SHA-256$0:QQ==$AAAA:AAAA", "SCRAM-SHA-256$4096:QQ==$AAAA:AAAA",
    ])
    func whatOnlyLooksLikeASecretIsAPlainPassword(text: String) {
        #expect(StoredSecret(bytes(text)) == .plain(bytes(text)))
    }

    @Test func everyCutOfAVerifierIsNone() {
        let text = bytes(Made.anna)
        for end in 0..<text.count {
            if case .scram = StoredSecret(Array(text[..<end])) { Issue.record("cut to \(end)") }
        }
    }

    @Test func aPasswordInClearFitsWhatPostgresMadeOfIt() {
        #expect(fits(Made.anna, Made.password, user: "anna"))
        #expect(!fits(Made.anna, "Correct horse battery", user: "anna"))
        #expect(fits(Made.rene, "pässwörd", user: "rené"))
        #expect(fits(Made.bert, Made.password, user: "bert"))
        #expect(!fits(Made.bert, Made.password, user: "Bert"))
        #expect(fits("hello", "hello", user: "x"))
        #expect(!fits("hello", "hello ", user: "x"))
    }

    @Test(arguments: ["", "hello", Made.anna, Made.bert])
    func anEmptyPasswordNeverFits(stored: String) {
        #expect(!fits(stored, "", user: "bert"))
    }

    @Test func theSecretItselfIsNoPassword() {
        #expect(!fits(Made.anna, Made.anna, user: "anna"))
        #expect(!fits(Made.bert, Made.bert, user: "bert"))
    }

    /// The answer, worked out by another program: md5(md5hex(password + user) + salt).
    @Test func anMD5AnswerIsTheOneThatPostgresExpects() {
        let salt: UInt32 = 0x0102_0304
        let fromText = StoredSecret(bytes(Made.bert)).md5Response(user: bytes("bert"), salt: salt)
        let fromPlain = StoredSecret(bytes(Made.password)).md5Response(user: bytes("bert"), salt: salt)
        #expect(fromText == fromPlain)
        #expect(fromText == bytes("md5a6362e5bde52a246f5df77d58967feb7"))
    }

    @Test func anMD5AnswerIsCheckedWithItsSalt() throws {
        let secret = StoredSecret(bytes(Made.bert))
        let response = try #require(secret.md5Response(user: bytes("bert"), salt: 7))
        #expect(answers(secret, response, salt: 7))
        #expect(answers(StoredSecret(bytes(Made.password)), response, salt: 7))
        #expect(!answers(secret, response, salt: 8))
        #expect(!answers(secret, Array(response.dropLast()), salt: 7))
        #expect(!answers(secret, [], salt: 7))
        #expect(!answers(.none, response, salt: 7))
        #expect(!answers(StoredSecret(bytes(Made.anna)), response, salt: 7))
    }

    @Test func noSecretIsEverPrinted() {
        let verifier = verifier("hunter2")
        let keys = ScramKeys(clientKey: verifier.storedKey, serverKey: verifier.serverKey)
        let values: [Any] = [
            StoredSecret.plain(bytes("hunter2")), StoredSecret(bytes(Made.bert)), verifier, keys,
            ScramClient(credential: .password(bytes("hunter2")), nonce: nonce(1)),
            ScramClient.Credential.password(bytes("hunter2")),
            ScramServer(verifier: verifier, nonce: nonce(2), isMock: false),
        ]
        for value in values {
            var dumped = ""
            dump(value, to: &dumped)
            for text in ["\(value)", String(reflecting: value), dumped] {
                #expect(text.hasSuffix("(…)") || text.hasSuffix("(…)\n"))
                #expect(text.count < 40)
            }
        }
    }

    private func fits(_ stored: String, _ password: String, user: String) -> Bool {
        StoredSecret(bytes(stored)).matches(password: bytes(password).rawSpan, user: bytes(user))
    }

    private func answers(_ secret: StoredSecret, _ response: [UInt8], salt: UInt32) -> Bool {
        secret.matches(md5Response: response.rawSpan, user: bytes("bert"), salt: salt)
    }
}

@Suite struct ScramVerifierTests {
    @Test func aMockHasTheSameSaltEveryTimeAndAnotherForOthers() {
        let mock = ScramVerifier(mockFor: bytes("nobody"), secret: bytes("instance"))
        #expect(mock == ScramVerifier(mockFor: bytes("nobody"), secret: bytes("instance")))
        #expect(mock.salt.count == 16 && mock.iterations == 4096)
        #expect(mock.salt != ScramVerifier(mockFor: bytes("nobody2"), secret: bytes("instance")).salt)
        #expect(mock.salt != ScramVerifier(mockFor: bytes("nobody"), secret: bytes("instance2")).salt)
        #expect(mock.storedKey != mock.serverKey)
    }

    @Test func aMockAndAVerifierOfOursCannotBeToldApartByTheirSalt() {
        let salt = ScramVerifier.salt(for: bytes("anna"), secret: bytes("instance"))
        #expect(salt == ScramVerifier(mockFor: bytes("anna"), secret: bytes("instance")).salt)
    }

    @Test func keysTravelAsBytes() throws {
        let verifier = verifier("x")
        let keys = ScramKeys(clientKey: verifier.storedKey, serverKey: verifier.serverKey)
        #expect(read(keys.bytes) == keys)
        #expect(read(Array(keys.bytes.dropLast())) == nil)
    }

    private func read(_ bytes: [UInt8]) -> ScramKeys? { ScramKeys(bytes.rawSpan) }
}

@Suite struct UserListTests {
    @Test func linesBecomeUsers() {
        let list = UserList.parse(
            bytes(
                """
                ; a comment
                "anna" "secret"

                  "bert""x" "" trailing words
                "carl" , "md5e7de58d11d0939bb8a144a268b994873" "more"\r
                "dora" "say ""hi""; # all of it"
                """))
        #expect(list.diagnostics.isEmpty)
        #expect(list.entries.map(\.name) == ["anna", "bert\"x", "carl", "dora"].map(bytes))
        #expect(list.entries.map(\.line) == [2, 4, 5, 6])
        #expect(
            list.entries.map(\.secret) == [
                .plain(bytes("secret")), .none, .md5(bytes("md5e7de58d11d0939bb8a144a268b994873")),
                .plain(bytes("say \"hi\"; # all of it")),
            ])
    }

    @Test(arguments: [
        "anna \"x\"", "\"anna", "\"anna\"", "\"anna\" x", "\"anna\" \"x", "# comment", "\"a\0b\" \"c\"",
    ])
    func aBrokenLineIsNamedAndTheRestIsRead(line: String) {
        let list = UserList.parse(bytes("\"x\" \"1\"\n\(line)\n\"y\" \"2\"\n"))
        #expect(list.entries.map(\.name) == [bytes("x"), bytes("y")])
        #expect(list.diagnostics.map(\.line) == [2])
        #expect(list.diagnostics.map(\.problem) == [.broken])
    }

    @Test func namesAndSecretsHaveLimits() {
        let longName = String(repeating: "n", count: 128)
        let longSecret = String(repeating: "s", count: 2048)
        let list = UserList.parse(bytes("\"\(longName)\" \"x\"\n\"a\" \"\(longSecret)\"\n\"\" \"x\""))
        #expect(list.entries.isEmpty)
        #expect(list.diagnostics.map(\.problem) == [.nameTooLong, .secretTooLong, .emptyName])
        #expect(list.diagnostics.allSatisfy { $0.problem.isError })
    }

    @Test func theLastOfTwoLinesCounts() {
        let list = UserList.parse(bytes("\"a\" \"1\"\n\"b\" \"2\"\n\"a\" \"3\"\n\"a\" \"4\""))
        #expect(list.entries.map(\.name) == [bytes("b"), bytes("a")])
        #expect(list.entries.last?.secret == .plain(bytes("4")))
        #expect(
            list.diagnostics.map(\.problem) == [
                .duplicateName(earlierLine: 1), .duplicateName(earlierLine: 3),
            ])
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func randomFilesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        let alphabet = bytes("\"\"\" a;\n\r\0md5")
        let file = (0..<random.below(80)).map { _ in alphabet[random.below(alphabet.count)] }
        let list = UserList.parse(file)
        #expect(list.entries.allSatisfy { !$0.name.isEmpty })
    }
}

@Suite struct PasswordMessageTests {
    @Test func aPasswordIsOneTextAndNothingElse() {
        #expect(password(bytes("secret\0")) == bytes("secret"))
        #expect(password([0]) == [])
        for wrong in ["", "secret", "sec\0ret\0"] { #expect(password(bytes(wrong)) == nil) }
    }

    @Test func everyCutOfAnInitialResponseIsRefused() {
        let body = initialResponse(bytes("n,,n=,r=abc"))
        for end in 0..<body.count {
            let cut = Array(body[..<end])
            #expect(throws: WireError.self) { _ = try SASLInitialResponse(cut.rawSpan).hasData }
        }
        #expect(throws: WireError.invalidLength) {
            let negative = bytes("M\0") + [255, 255, 255, 254]
            _ = try SASLInitialResponse(negative.rawSpan).hasData
        }
    }

    private func password(_ body: [UInt8]) -> [UInt8]? { PasswordMessage.password(in: body.rawSpan)?.array }
}
