import CLinux
import Glibc

/// Asks the system for the addresses of a host. Waits as long as the system does: for helper processes
/// only.
public enum NameLookup {
    /// Why a name has no addresses.
    public struct Failure: Error, Equatable, CustomStringConvertible {
        /// Whether the answer is that there is no such name, rather than that nobody could be asked.
        public let isNoSuchName: Bool
        /// In the words of the C library.
        public let description: String
    }

    /// The addresses of `host` in the order the system prefers, each once; at least one.
    public static func addresses(of host: String) throws(Failure) -> [ResolvedAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_family = AF_UNSPEC
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, nil, &hints, &list)
        guard result == 0 else {
            let text =
                result == EAI_SYSTEM ? Errno.last.description : unsafe String(cString: gai_strerror(result))
            throw Failure(isNoSuchName: result == EAI_NONAME, description: text)
        }
        defer { unsafe freeaddrinfo(list) }
        var found: [ResolvedAddress] = []
        var next = unsafe list
        while let entry = unsafe next {
            if let host = unsafe address(entry.pointee), !found.contains(host) { found.append(host) }
            unsafe next = entry.pointee.ai_next
        }
        guard !found.isEmpty else { throw Failure(isNoSuchName: true, description: "no addresses") }
        return found
    }

    private static func address(_ entry: addrinfo) -> ResolvedAddress? {
        guard let raw = unsafe UnsafeRawPointer(entry.ai_addr) else { return nil }
        if unsafe entry.ai_family == AF_INET {
            return unsafe .ipv4(Array(UnsafeRawBufferPointer(start: raw + 4, count: 4)))
        }
        guard unsafe entry.ai_family == AF_INET6 else { return nil }
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: raw + 8, count: 16))
        return unsafe .ipv6(bytes, scope: raw.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    }
}
