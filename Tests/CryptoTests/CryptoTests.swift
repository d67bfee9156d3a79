import Base
import Crypto
import Testing

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

private func unhex(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue!) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite struct MD5Tests {
    /// The test suite of RFC 1321, appendix A.5.
    @Test(arguments: [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "d174ab98d277d9f5a5611c2c9f419d9f"
        ),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a"
        ),
    ])
    func theVectorsOfTheStandardHold(text: String, digest: String) {
        let text = bytes(text)
        for split in 0...text.count {
            let (first, second) = (Array(text[..<split]), Array(text[split...]))
            let result = MD5.hexadecimal(first.rawSpan, second.rawSpan)
            #expect(String(decoding: result, as: UTF8.self) == digest)
        }
    }
}

@Suite struct SHA256Tests {
    /// FIPS 180-4 examples.
    @Test(arguments: [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func theVectorsOfTheStandardHold(text: String, digest: String) {
        let text = bytes(text)
        for split in 0...text.count {
            var hash = SHA256()
            hash.update(text.rawSpan.extracting(0..<split))
            hash.update(text.rawSpan.extracting(split..<text.count))
            let result = hash.finish()
            #expect(result.bytes == unhex(digest))
        }
    }
}

@Suite struct HMACTests {
    /// RFC 4231: short key, text key, key longer than a block.
    @Test func theVectorsOfTheStandardHold() {
        #expect(
            code([UInt8](repeating: 0x0B, count: 20), bytes("Hi There"))
                == unhex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
        #expect(
            code(bytes("Jefe"), bytes("what do ya want for nothing?"))
                == unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
        #expect(
            code(
                [UInt8](repeating: 0xAA, count: 131),
                bytes("Test Using Larger Than Block-Size Key - Hash Key First"))
                == unhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"))
    }

    @Test func oneKeyServesManyMessages() {
        var keyed = HMAC(key: bytes("key").rawSpan)
        keyed.update(bytes("one").rawSpan)
        let first = keyed.finish()
        keyed.update(bytes("two").rawSpan)
        let second = keyed.finish()
        #expect(first.bytes == code(bytes("key"), bytes("one")))
        #expect(second.bytes == code(bytes("key"), bytes("two")))
    }

    private func code(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        HMAC.code(key: key.rawSpan, message.rawSpan).bytes
    }
}

@Suite struct PBKDF2Tests {
    /// The first block of the vectors of RFC 7914, section 11, and the same inputs as RFC 6070 with SHA-256.
    @Test(arguments: [
        ("passwd", "salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
        ("Password", "NaCl", 80000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
        ("password", "salt", 2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
        ("password", "salt", 4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
    ])
    func theVectorsOfTheStandardHold(password: String, salt: String, iterations: Int, key: String) {
        let derived = PBKDF2.derive(
            password: bytes(password).rawSpan, salt: bytes(salt).rawSpan, iterations: iterations)
        #expect(derived.bytes == unhex(key))
    }

    @Test(arguments: [1, 7, 64, 99, 100, 101, 5000])
    func slicesOfAnySizeGiveTheSameKey(slice: Int) {
        let (password, salt) = (bytes("pencil"), bytes("salt"))
        var sliced = PBKDF2(password: password.rawSpan, salt: salt.rawSpan, iterations: 100)
        var stepCount = 1
        while !sliced.step(iterations: slice) { stepCount += 1 }
        #expect(stepCount == max(1, (99 + slice - 1) / slice))
        let key = sliced.key
        let whole = PBKDF2.derive(password: password.rawSpan, salt: salt.rawSpan, iterations: 100)
        #expect(key == whole)
    }
}

@Suite struct Base64Tests {
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func theVectorsOfTheStandardHold(plain: String, encoded: String) {
        #expect(encode(bytes(plain)) == bytes(encoded))
        #expect(decode(bytes(encoded)) == bytes(plain))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "====", "=Zg=", "Z===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm9v!A==",
        "Zg==Zg==",
        "\u{FF}AAA",
    ])
    func whatIsNoBase64IsRefused(text: String) {
        #expect(decode(bytes(text)) == nil)
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func bytesComeBackAndRandomTextNeverTraps(seed: UInt64) {
        var random = Random(seed: seed)
        let plain = (0..<random.below(70)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let encoded = encode(plain)
        #expect(decode(encoded) == plain)
        if let decoded = decode(plain) {
            #expect(encode(decoded) == plain, "only one text stands for given bytes")
        }
    }
}

private func encode(_ plain: [UInt8]) -> [UInt8] { Base64.encode(plain.rawSpan) }
private func decode(_ text: [UInt8]) -> [UInt8]? { Base64.decode(text.rawSpan) }

@Suite struct SecrecyTests {
    @Test func comparisonLooksAtEveryByte() {
        let left = (0..<40).map { UInt8($0) }
        #expect(equal(left, left))
        #expect(equal([], []))
        #expect(!equal(left, Array(left.dropLast())))
        for index in left.indices {
            var right = left
            right[index] ^= 0x80
            #expect(!equal(left, right))
        }
    }

    @Test func digestsCompareByTheirBytes() throws {
        let zeros = [UInt8](repeating: 0, count: 32)
        let zero = try #require(digest(zeros))
        for index in 0..<32 {
            var other = zeros
            other[index] = 1
            #expect(digest(other) != zero)
        }
        #expect(zero == Digest256())
        #expect(digest([1, 2]) == nil)
    }

    @Test func printingADigestShowsNothing() {
        let digest = SHA256.digest(bytes("secret").rawSpan)
        var dumped = ""
        dump(digest, to: &dumped)
        for text in ["\(digest)", String(reflecting: digest), dumped, "\([digest])"] {
            #expect(text.contains("Digest256(…)") && !text.contains("words"))
        }
    }

    @Test func zeroingLeavesNothing() {
        var digest = SHA256.digest(bytes("secret").rawSpan)
        digest.zero()
        #expect(digest == Digest256())
        var secret = bytes("secret")
        Zeroing.zero(&secret)
        #expect(secret.isEmpty)
    }

    private func digest(_ bytes: [UInt8]) -> Digest256? { Digest256(bytes.rawSpan) }

    private func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.rawSpan.equalsInConstantTime(right.rawSpan)
    }
}
