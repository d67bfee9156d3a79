import COpenSSL
import Glibc

/// Seals records of TLS 1.3 as somebody does who has the keys, whatever is in them (RFC 8446, 5.2 and 7).
struct RecordSealer {
    private var secret: [UInt8]
    private var key: [UInt8] = []
    private var vector: [UInt8] = []
    private var sequence: UInt64 = 0

    /// One that begins with the first record under a traffic secret.
    init(secret: [UInt8]) {
        self.secret = secret
        derive()
    }

    private mutating func derive() {
        key = RecordSealer.expand(secret, "key", 16)
        vector = RecordSealer.expand(secret, "iv", 12)
        sequence = 0
    }

    /// Goes on with the keys that follow a KeyUpdate.
    mutating func update() {
        secret = RecordSealer.expand(secret, "traffic upd", 32)
        derive()
    }

    /// HKDF-Expand-Label of SHA-256, up to one block.
    private static func expand(_ secret: [UInt8], _ label: String, _ count: Int) -> [UInt8] {
        let name = Array("tls13 \(label)".utf8)
        let info = [0, UInt8(count), UInt8(name.count)] + name + [0, 1]
        var code = [UInt8](repeating: 0, count: 32)
        var byteCount: UInt32 = 0
        HMAC(EVP_sha256(), secret, Int32(secret.count), info, info.count, &code, &byteCount)
        return Array(code.prefix(count))
    }

    /// A record of this inner type, with zeros behind it.
    mutating func seal(_ type: UInt8, _ body: [UInt8], padding: Int = 0) -> [UInt8] {
        let plain = body + [type] + [UInt8](repeating: 0, count: padding)
        let count = plain.count + 16
        let header: [UInt8] = [
            23, 3, 3, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count),
        ]
        var nonce = vector
        for index in 0..<8 { nonce[11 - index] ^= UInt8(truncatingIfNeeded: sequence >> (8 * UInt64(index))) }
        sequence += 1
        var sealed = [UInt8](repeating: 0, count: plain.count)
        var tag = [UInt8](repeating: 0, count: 16)
        var part: Int32 = 0
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nil, key, nonce)
        EVP_EncryptUpdate(context, nil, &part, header, Int32(header.count))
        EVP_EncryptUpdate(context, &sealed, &part, plain, Int32(plain.count))
        EVP_EncryptFinal_ex(context, nil, &part)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag)
        return header + sealed + tag
    }
}
