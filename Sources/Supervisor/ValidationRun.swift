import System

/// A configuration being checked in a child of its own.
struct ValidationRun {
    /// After this a check is given up.
    static let limitNanoseconds: UInt64 = 30_000_000_000
    /// The most that a check may come to; certificates and user lists are in it.
    static let resultByteLimit = 256 << 20

    /// The child.
    let process: Int32
    /// Becomes readable when the child has ended.
    let endSignal: Int32
    /// When to give up, monotonic.
    let deadlineNanoseconds: UInt64
    /// What is checked.
    let request: ValidationRequest
    private let result: Int32

    /// Starts checking.
    static func start(
        _ request: ValidationRequest, title: ProcessTitle?, _ validator: ValidatorEntry
    ) throws(SystemError) -> ValidationRun {
        let result = try SharedMemory.create("pgsluice-configuration", byteCount: 0)
        let endSignal: Int32
        let childEnd: Int32
        do { (endSignal, childEnd) = try Descriptors.pipe() } catch {
            Descriptors.close(result)
            throw error
        }
        defer { Descriptors.close(childEnd) }
        let child: Int32
        do throws(SystemError) {
            child = try ChildProcess.start(
                shortName: "pgsluice-check", description: "configuration check", title: title,
                keeping: [result, childEnd]
            ) {
                let outcome = validator(request)
                do { try Descriptors.writeAll(result, outcome.encoded()) } catch { Process.exitNow(1) }
                Process.exitNow(0)
            }
        } catch {
            Descriptors.close(result)
            Descriptors.close(endSignal)
            throw error
        }
        return ValidationRun(
            process: child, endSignal: endSignal,
            deadlineNanoseconds: Clock.monotonicNanoseconds + limitNanoseconds, request: request,
            result: result
        )
    }

    /// What the check came to, when the child has ended in this way. Gives the descriptors back.
    func finish(_ ending: Process.Ending) -> ValidationOutcome {
        defer {
            Descriptors.close(result)
            Descriptors.close(endSignal)
        }
        guard ending.isSuccess else {
            return ValidationOutcome(
                failure: "\(request.description): the check of the configuration \(ending)")
        }
        do throws(SystemError) {
            let bytes = try SharedMemory.contents(of: result, limit: ValidationRun.resultByteLimit)
            if let outcome = ValidationOutcome(bytes) { return outcome }
            return ValidationOutcome(failure: "\(request.description): the check left no result")
        } catch {
            return ValidationOutcome(failure: "\(request.description): \(error)")
        }
    }

    /// Ends a child that takes too long; `finish` follows when it has ended.
    func abandon() { Process.send(Signals.kill, to: process) }

    /// Checks and waits for the outcome: for the start, when nothing else is to be done.
    static func run(_ request: ValidationRequest, _ validator: ValidatorEntry) -> ValidationOutcome {
        let run: ValidationRun
        do { run = try start(request, title: nil, validator) } catch {
            return ValidationOutcome(failure: "cannot check the configuration: \(error)")
        }
        let milliseconds = Int32(limitNanoseconds / 1_000_000)
        let ready = Poll.wait([Poll.Interest(run.endSignal, .read)], milliseconds: milliseconds)
        if !ready[0].canRead { run.abandon() }
        return run.finish(Process.wait(for: run.process) ?? .exited(code: 1))
    }
}
