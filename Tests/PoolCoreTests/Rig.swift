import RigSupport
import Testing

typealias Message = RigSupport.Message
typealias SharedMemory = RigSupport.SharedMemory

/// A core with nothing around it, whose broken promises are failures of the test.
final class Rig: CoreRig {
    override func complain(_ fault: String) { Issue.record("\(fault)") }
}
