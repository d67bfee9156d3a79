import CShared

#if DEBUG || INVARIANTS
    /// What tests put in place of the ledger's memory operations, to run those of several workers in any
    /// order.
    protocol LedgerSteps: AnyObject {
        func load(_ place: UnsafeMutablePointer<UInt64>) -> UInt64
        func store(_ place: UnsafeMutablePointer<UInt64>, _ value: UInt64, isRelease: Bool)
        func change(_ place: UnsafeMutablePointer<UInt64>, set: UInt64, clear: UInt64)
        func fence()
        /// 1 when the holder had died, as the lock's functions.
        func takeLock() -> Int32
        func giveLock()
    }
#endif

/// The single steps everything in the ledger is made of. Only builds for tests can have something else done
/// in their place; of that nothing is left in others.
extension Ledger {
    /// As C tells it, which never says that there is none.
    typealias Place = UnsafeMutablePointer<UInt64>?

    @inline(__always)
    func load(_ place: Place) -> UInt64 {
        #if DEBUG || INVARIANTS
            if let steps { return unsafe steps.load(place!) }
        #endif
        return unsafe cshared_load(place)
    }

    @inline(__always)
    func loadAcquire(_ place: Place) -> UInt64 {
        #if DEBUG || INVARIANTS
            if let steps { return unsafe steps.load(place!) }
        #endif
        return unsafe cshared_load_acquire(place)
    }

    @inline(__always)
    func store(_ place: Place, _ value: UInt64) {
        #if DEBUG || INVARIANTS
            if let steps { return unsafe steps.store(place!, value, isRelease: false) }
        #endif
        unsafe cshared_store(place, value)
    }

    @inline(__always)
    func storeRelease(_ place: Place, _ value: UInt64) {
        #if DEBUG || INVARIANTS
            if let steps { return unsafe steps.store(place!, value, isRelease: true) }
        #endif
        unsafe cshared_store_release(place, value)
    }

    /// Adds to a number that nobody else writes at this time.
    @inline(__always)
    func add(_ place: Place, _ amount: UInt64) {
        unsafe store(place, load(place) + amount)
    }

    @inline(__always)
    func setBits(_ place: Place, _ bits: UInt64) {
        #if DEBUG || INVARIANTS
            if let steps { return unsafe steps.change(place!, set: bits, clear: 0) }
        #endif
        unsafe cshared_set_bits(place, bits)
    }

    @inline(__always)
    func clearBits(_ place: Place, _ bits: UInt64) {
        #if DEBUG || INVARIANTS
            if let steps { return unsafe steps.change(place!, set: 0, clear: bits) }
        #endif
        unsafe cshared_clear_bits(place, bits)
    }

    @inline(__always)
    func fence() {
        #if DEBUG || INVARIANTS
            if let steps { return steps.fence() }
        #endif
        cshared_fence()
    }

    /// Overwrites a whole record, word by word. With the lock.
    @inline(__always)
    func write<Record: BitwiseCopyable>(_ place: UnsafeMutablePointer<Record>, _ record: Record) {
        #if DEBUG || INVARIANTS
            if let steps {
                let words = MemoryLayout<Record>.size / 8
                unsafe place.withMemoryRebound(to: UInt64.self, capacity: words) { to in
                    unsafe withUnsafeBytes(of: record) { from in
                        for word in 0..<words {
                            let value = unsafe from.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
                            unsafe steps.store(to + word, value, isRelease: false)
                        }
                    }
                }
                return
            }
        #endif
        unsafe place.initialize(to: record)
    }

    /// 1 when the holder had died.
    @inline(__always)
    func takeLock() -> Int32 {
        #if DEBUG || INVARIANTS
            if let steps { return steps.takeLock() }
        #endif
        return unsafe cshared_lock_take(head)
    }

    /// 1 when the holder had died, -1 when it was not to be had in time.
    @inline(__always)
    func takeLock(within nanoseconds: UInt64) -> Int32 {
        #if DEBUG || INVARIANTS
            if let steps { return steps.takeLock() }
        #endif
        return unsafe cshared_lock_within(head, nanoseconds)
    }

    @inline(__always)
    func giveLock() {
        #if DEBUG || INVARIANTS
            if let steps { return steps.giveLock() }
        #endif
        unsafe cshared_lock_give(head)
    }
}
