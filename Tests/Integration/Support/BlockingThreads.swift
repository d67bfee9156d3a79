import Glibc

/// Runs tests on threads of its own: they block, and Swift's own threads, one per core, are too few to
/// block on.
final class BlockingThreads: TaskExecutor, @unchecked Sendable {
    static let shared = BlockingThreads(count: Options.parallelism)

    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let arrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [UnownedJob] = []

    init(count: Int) {
        pthread_mutex_init(lock, nil)
        pthread_cond_init(arrived, nil)
        for _ in 0..<count { Thread.start { self.work() } }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        pthread_mutex_lock(lock)
        jobs.append(job)
        pthread_mutex_unlock(lock)
        pthread_cond_signal(arrived)
    }

    private func work() {
        while true {
            pthread_mutex_lock(lock)
            while jobs.isEmpty { pthread_cond_wait(arrived, lock) }
            let job = jobs.removeFirst()
            pthread_mutex_unlock(lock)
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}

/// A thread of a test.
final class Thread: @unchecked Sendable {
    private var handle = pthread_t()
    private var failure: (any Error)?

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a thread that nobody waits for.
    static func start(_ body: @escaping @Sendable () -> Void) {
        var handle = pthread_t()
        create(&handle, body)
        pthread_detach(handle)
    }

    /// Starts a thread to be joined.
    init(_ body: @escaping @Sendable () throws -> Void) {
        Self.create(&handle) {
            do { try body() } catch { self.failure = error }
        }
    }

    /// Waits for the end of the thread and throws what it threw.
    func join() throws {
        pthread_join(handle, nil)
        if let failure { throw failure }
    }

    /// Runs the body in `count` threads at a time and waits for all. Throws the first failure.
    static func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
        // What failed first is the cause; what others then wait for in vain is not.
        let first = Shared<(any Error)?>(nil)
        let threads = (0..<count).map { index in
            Thread {
                do { try body(index) } catch { first.with { $0 = $0 ?? error } }
            }
        }
        for thread in threads { try thread.join() }
        if let error = first.current { throw error }
    }

    private static func create(_ handle: inout pthread_t, _ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(run))
        let result = pthread_create(
            &handle, nil,
            { argument in
                Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        precondition(result == 0, "no thread to be had")
    }
}

/// A value that several threads of a test share.
final class Shared<Value>: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    init(_ value: Value) {
        self.value = value
        pthread_mutex_init(lock, nil)
    }

    func with<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body(&value)
    }

    var current: Value { with { $0 } }
}
