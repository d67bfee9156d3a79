import Metrics
import NIOCore
import NIOHTTP1

/// One connection: requests in, answers out. Everything that a client does is bounded in time.
final class RequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// How long a connection without a request is kept; Prometheus comes again after a minute or less.
    private static let idleLimit = TimeAmount.seconds(90)
    /// How long a request may take to arrive, and an answer to be made and read.
    private static let requestLimit = TimeAmount.seconds(10)
    private static let answerLimit = TimeAmount.seconds(30)

    private struct Answer {
        var status = HTTPResponseStatus.ok
        var type = "text/plain; charset=utf-8"
        var text: String
    }

    private let collector: Collector
    private var request: HTTPRequestHead?
    private var deadline: Scheduled<Void>?

    init(_ collector: Collector) { self.collector = collector }

    func channelActive(context: ChannelHandlerContext) {
        limit(RequestHandler.requestLimit, context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            request = head
            limit(RequestHandler.requestLimit, context)
        // Nothing that is served here takes a body.
        case .body: return
        case .end:
            guard let request else { return }
            self.request = nil
            limit(RequestHandler.answerLimit, context)
            serve(request, context)
        }
    }

    /// Closes the connection unless this is called again in time.
    private func limit(_ time: TimeAmount, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }

    private func serve(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard head.method == .GET || head.method == .HEAD else {
            return send(
                Answer(status: .methodNotAllowed, text: "only GET and HEAD are served\n"), to: head, context)
        }
        let path = head.uri.prefix { $0 != "?" }
        switch path {
        case "/metrics", "/readyz":
            collector.latest(on: context.eventLoop).assumeIsolated().whenComplete { result in
                let answer =
                    path == "/metrics"
                    ? Self.metrics(result, accept: head.headers["Accept"]) : Self.readiness(result)
                self.send(answer, to: head, context)
            }
        case "/healthz": send(Answer(text: "ok\n"), to: head, context)
        case "/": send(Answer(text: "pgsluice: /metrics /healthz /readyz\n"), to: head, context)
        case _:
            send(
                Answer(status: .notFound, text: "only /metrics, /healthz and /readyz are served\n"), to: head,
                context)
        }
    }

    private static func metrics(_ result: Result<Scrape, any Error>, accept: [String]) -> Answer {
        let format = TextFormat(accept: accept.joined(separator: ","))
        let families: [MetricFamily]
        switch result {
        case .success(let scrape): families = scrape.families
        case .failure(let error):
            Log.write("no metrics: \(error)")
            families = Scrape.familiesWithoutAnswer
        }
        return Answer(type: format.contentType, text: format.text(families))
    }

    private static func readiness(_ result: Result<Scrape, any Error>) -> Answer {
        switch result {
        case .success(let scrape):
            let (isReady, text) = scrape.readiness
            return Answer(status: isReady ? .ok : .serviceUnavailable, text: text + "\n")
        case .failure(let error): return Answer(status: .serviceUnavailable, text: "\(error)\n")
        }
    }

    private func send(_ answer: Answer, to request: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let body = context.channel.allocator.buffer(string: answer.text)
        var headers = HTTPHeaders([
            ("Content-Type", answer.type), ("Content-Length", String(body.readableBytes)),
        ])
        if !request.isKeepAlive { headers.add(name: "Connection", value: "close") }
        let head = HTTPResponseHead(version: request.version, status: answer.status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { result in
            guard case .success = result, request.isKeepAlive else { return context.close(promise: nil) }
            self.limit(RequestHandler.idleLimit, context)
        }
    }
}
