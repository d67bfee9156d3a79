import CLinux
import Glibc

/// The network interfaces of this machine.
public enum NetworkInterfaces {
    /// An address of the machine and the mask of its network; as many bytes in both.
    public struct Address: Equatable, Sendable {
        public let bytes: [UInt8]
        public let mask: [UInt8]
    }

    /// Every IP address of every interface; empty when the system does not tell.
    public static var addresses: [Address] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var found: [Address] = []
        var next = unsafe list
        while let entry = unsafe next {
            if let address = unsafe bytes(entry.pointee.ifa_addr, nil),
                let mask = unsafe bytes(entry.pointee.ifa_netmask, entry.pointee.ifa_addr),
                address.count == mask.count
            {
                found.append(Address(bytes: address, mask: mask))
            }
            unsafe next = entry.pointee.ifa_next
        }
        return found
    }

    /// The bytes of an address, of the family of `sibling` if one is given.
    private static func bytes(
        _ address: UnsafeMutablePointer<sockaddr>?, _ sibling: UnsafeMutablePointer<sockaddr>?
    ) -> [UInt8]? {
        guard let address = unsafe address else { return nil }
        let family = unsafe Int32((sibling ?? address).pointee.sa_family)
        let raw = UnsafeRawPointer(address)
        if family == AF_INET { return unsafe Array(UnsafeRawBufferPointer(start: raw + 4, count: 4)) }
        guard family == AF_INET6 else { return nil }
        return unsafe Array(UnsafeRawBufferPointer(start: raw + 8, count: 16))
    }
}
