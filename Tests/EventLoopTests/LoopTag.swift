import EventLoop

/// The testing library has a `Tag` too.
typealias LoopTag = Tag
