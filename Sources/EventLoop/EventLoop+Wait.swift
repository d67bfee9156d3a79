internal import CURing

extension EventLoop {
    /// Submits what is queued and waits until something completes or the time is over.
    ///
    /// The completions of the wait before are gone afterwards. Returning without any is normal.
    /// - Parameters:
    ///   - timeoutNanoseconds: how long to wait at most; 0 does not wait, `nil` waits for ever.
    ///   - busyPollNanoseconds: how long to look before sleeping, while that has lately been worth it; 0
    ///     for never.
    /// - Returns: how many completions there are.
    @discardableResult
    public mutating func wait(timeoutNanoseconds: UInt64?, busyPollNanoseconds: UInt64 = 0) -> Int {
        switch backend {
        case .ioUring: waitForRing(timeoutNanoseconds, busyPollNanoseconds)
        case .epoll: waitForPoller(timeoutNanoseconds, busyPollNanoseconds)
        }
        deliver()
        nowNanoseconds = loop_clock()
        return deliveredCount
    }

    // MARK: io_uring

    private mutating func waitForRing(_ timeout: UInt64?, _ budget: UInt64) {
        let isReady = unsafe gathered.count > 0 || uring_ready(ring.ring) > 0
        if isReady || timeout == 0 {
            // Something is there already: submit, take along what is ready, and do not wait.
            enter(0, nil)
        } else if budget == 0 {
            enter(1, timeout)
        } else {
            let limit = min(spinner.look(budget: budget), timeout ?? .max)
            if limit > 0 { lookAtRing(timeout, limit) } else { sleepInRing(timeout, budget) }
        }
        reap()
    }

    private mutating func sleepInRing(_ timeout: UInt64?, _ budget: UInt64) {
        let measures = spinner.measures()
        if measures {
            // The work of submitting is no part of the price of sleeping.
            if unsafe uring_queued(ring.ring) > 0 { enter(0, nil) }
            if unsafe uring_ready(ring.ring) > 0 { return }
        }
        let used = measures ? loop_processor_time() : 0
        let start = loop_clock()
        enter(1, timeout)
        spinner.slept(nanoseconds: loop_clock() &- start, budget: budget)
        if measures { spinner.measured(cost: loop_processor_time() &- used) }
    }

    private mutating func lookAtRing(_ timeout: UInt64?, _ limit: UInt64) {
        if unsafe uring_queued(ring.ring) > 0 { enter(0, nil) }
        // What completes while it is submitted says nothing about how long the next message takes.
        if unsafe uring_ready(ring.ring) > 0 { return }
        let start = loop_clock()
        var elapsed: UInt64 = 0
        repeat {
            if unsafe uring_has_deferred(ring.ring) { enter(0, nil) }
            if unsafe uring_ready(ring.ring) > 0 {
                counters.spinHitCount &+= 1
                return spinner.found()
            }
            for _ in 0..<8 { uring_pause() }
            elapsed = loop_clock() &- start
        } while elapsed < limit
        counters.spinMissCount &+= 1
        spinner.missed()
        if let timeout { enter(1, timeout > elapsed ? timeout &- elapsed : 0) } else { enter(1, nil) }
    }

    private mutating func enter(_ minimum: UInt32, _ timeout: UInt64?) {
        let limit: Int64 = timeout.map { Int64(min($0, UInt64(Int64.max))) } ?? -1
        check(entered: unsafe uring_enter(ring.ring, minimum, limit))
    }

    /// Sorts out the result of entering the kernel.
    mutating func check(entered result: Int32) {
        guard result < 0 else { return }
        switch -result {
        case Failure.timedOut, Failure.interrupted: break
        case Failure.again, Failure.busy, Failure.noMemory:
            // What was not taken stays queued for the next turn.
            counters.kernelBusyCount &+= 1
            loop_rest()
        case Failure.badRequest: preconditionFailure("the kernel lost completions for want of memory")
        case let number: failEnter(number)
        }
    }

    /// Only a mistake of ours leads here: a bad descriptor, address or argument.
    @inline(never)
    private func failEnter(_ number: Int32) -> Never {
        preconditionFailure("io_uring_enter failed with error \(number)")
    }

    /// Copies the ring's completions out and takes care of the loop's own.
    mutating func reap() {
        let count = unsafe uring_ready(ring.ring)
        var index: UInt32 = 0
        while index < count {
            let entry = unsafe uring_completion(ring.ring, index)
            let tag = unsafe entry.pointee.user_data
            if OwnTag.isOwn(tag) {
                unsafe handleOwn(tag, entry.pointee.res)
            } else {
                unsafe append(tag, entry.pointee.res, entry.pointee.flags)
            }
            index &+= 1
        }
        unsafe uring_advance(ring.ring, count)
        if hasSharedListeners, !watchesPoller {
            poller.harvest(milliseconds: 0, &gathered, &buffers)
            watchPoller()
        }
    }

    @inline(__always)
    private mutating func append(_ tag: UInt64, _ result: Int32, _ kernelFlags: UInt32) {
        let flags = UInt16(truncatingIfNeeded: kernelFlags & CompletionFlag.all)
        if flags & CompletionFlag.buffer != 0 {
            let buffer = BufferID(raw: UInt16(truncatingIfNeeded: kernelFlags >> 16))
            buffers.received(buffer.index)
            gathered.append(Completion(tag: tag, result: result, flags: flags, buffer: buffer))
        } else if OwnTag.isBulk(tag) {
            let index = Int(tag & 0xFFFF)
            let callersTag = unsafe bulkTags[index]
            unsafe bulkTags[index] = 0
            bulkArmedCount &-= 1
            gathered.append(
                Completion(
                    tag: callersTag, result: result, flags: flags | CompletionFlag.buffer,
                    buffer: .large(index)))
        } else {
            gathered.append(Completion(tag: tag, result: result, flags: flags))
        }
    }

    @inline(never)
    private mutating func handleOwn(_ tag: UInt64, _ result: Int32) {
        switch tag {
        case OwnTag.sharedListeners: watchesPoller = false
        case OwnTag.close: precondition(result != -Failure.badDescriptor, "a descriptor is closed once")
        case _: break
        }
    }

    // MARK: epoll

    private mutating func waitForPoller(_ timeout: UInt64?, _ budget: UInt64) {
        // Sends that were done at once are handed over first: asking the kernel in between would cost a
        // call per turn. Every other time, or those who can be read would starve.
        if gathered.count > 0, !skippedKernel, timeout != 0 {
            skippedKernel = true
            return
        }
        skippedKernel = false
        if gathered.count > 0 || poller.hasListed || timeout == 0 {
            poller.harvest(milliseconds: 0, &gathered, &buffers)
        } else if budget == 0 {
            poller.harvest(milliseconds: milliseconds(timeout), &gathered, &buffers)
        } else {
            let limit = min(spinner.look(budget: budget), timeout ?? .max)
            if limit > 0 { lookAtPoller(timeout, limit) } else { sleepInPoller(timeout, budget) }
        }
    }

    private mutating func sleepInPoller(_ timeout: UInt64?, _ budget: UInt64) {
        let measures = spinner.measures()
        let used = measures ? loop_processor_time() : 0
        let start = loop_clock()
        poller.harvest(milliseconds: milliseconds(timeout), &gathered, &buffers)
        spinner.slept(nanoseconds: loop_clock() &- start, budget: budget)
        if measures { spinner.measured(cost: loop_processor_time() &- used) }
    }

    private mutating func lookAtPoller(_ timeout: UInt64?, _ limit: UInt64) {
        let start = loop_clock()
        var elapsed: UInt64 = 0
        repeat {
            poller.harvest(milliseconds: 0, &gathered, &buffers)
            if gathered.count > 0 {
                counters.spinHitCount &+= 1
                return spinner.found()
            }
            for _ in 0..<8 { uring_pause() }
            elapsed = loop_clock() &- start
        } while elapsed < limit
        counters.spinMissCount &+= 1
        spinner.missed()
        let rest = timeout.map { $0 > elapsed ? $0 &- elapsed : 0 }
        poller.harvest(milliseconds: milliseconds(rest), &gathered, &buffers)
    }

    /// Rounded up: waking early would only mean waiting again.
    private func milliseconds(_ nanoseconds: UInt64?) -> Int32 {
        guard let nanoseconds else { return -1 }
        return Int32(min(nanoseconds / 1_000_000 &+ (nanoseconds % 1_000_000 > 0 ? 1 : 0), UInt64(Int32.max)))
    }
}
