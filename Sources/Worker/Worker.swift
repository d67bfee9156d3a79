import Auth
import Base
import Config
import EventLoop
import PoolCore
import SharedState
public import System
import TLS

/// A worker process, from the fork to its end.
public enum Worker {
    /// Serves clients until the supervisor says that it is over. This is what the supervisor is handed.
    public static func run(_ context: consuming WorkerContext) -> Never {
        guard
            let segment = try? unsafe Segment.attach(
                memory: context.segment, byteCount: context.segmentByteCount)
        else { Process.exitNow(70) }
        let block = segment.worker(context.index)
        let ring = block.logRing
        let image: ConfigurationImage
        let configuration: Configuration
        do {
            image = try ConfigurationImage(decoding: context.configurationImage)
            let start = try ConfigurationImage(decoding: context.startImage)
            guard let newest = Configuration.parse(image).configuration,
                let first = Configuration.parse(start).configuration
            else { Process.exitNow(78) }
            configuration = ConfigurationDifference(from: first, to: newest).effective
        } catch { Process.exitNow(78) }
        let channels = WorkerChannels(
            index: context.index, incarnation: context.incarnation, isOpen: context.isOpen,
            listeners: context.listeners,
            control: context.control, inbox: context.inbox, inboxSenders: context.inboxSenders,
            resolver: context.resolver, supervisorWake: context.supervisorWake)
        let loop: EventLoop
        do throws(EventLoopError) {
            loop = try EventLoop(preference(configuration.settings.ioBackend))
        } catch {
            ring.append(
                .fatal, realtimeMicroseconds: Clock.realNanoseconds / 1000, pid: Process.id,
                text: "cannot set up the event loop: \(error)")
            Descriptors.signal(event: context.supervisorWake)
            Process.exitNow(71)
        }
        let contexts: TLSContexts
        do throws(TLSError) { contexts = try TLSContexts(configuration) } catch {
            ring.append(
                .fatal, realtimeMicroseconds: Clock.realNanoseconds / 1000, pid: Process.id,
                text: "TLS setup failed: \(error)")
            Descriptors.signal(event: context.supervisorWake)
            Process.exitNow(78)
        }
        let zone = LocalTime(realNanoseconds: Clock.realNanoseconds)
        let core = PoolCore(
            configuration: configuration, userList: image.userList(of: configuration),
            rules: image.rules(of: configuration),
            identity: WorkerIdentity(
                index: context.index, incarnation: context.incarnation, epoch: context.epoch,
                timeZoneOffsetSeconds: Int(zone.offsetSeconds), timeZoneName: zone.zone),
            capacities: Capacities(logins: descriptorShare), segment: segment, seed: SecureRandom.number())
        let choice = loop.choice
        var worker = WorkerLoop(
            core: core, loop: loop, context: channels, configuration: configuration, contexts: contexts,
            ring: ring, block: block)
        worker.begin(choice: choice, paused: context.startsPaused)
        worker.run()
        Process.exitNow(0)
    }

    /// How many connections of strangers there may be: half of what may be open, or nobody could be served
    /// beside them.
    private static var descriptorShare: Int {
        guard let limit = try? Limits.descriptors() else { return .max }
        return Int(clamping: limit.soft / 2)
    }

    private static func preference(_ backend: IOBackend) -> EventLoop.Preference {
        switch backend {
        case .auto: .automatic
        case .ioUring: .ioUring
        case .epoll: .epoll
        }
    }
}

extension WorkerLoop {
    /// Reports for duty, in the state the instance is in.
    mutating func begin(choice: String, paused: Bool) {
        setTime()
        log(.log, "worker \(context.index) ready, I/O by \(choice)")
        if paused { tell(.order(Order(epoch: 0, kind: .pause))) }
        report(.ready)
    }
}
