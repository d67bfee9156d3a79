/// One number out of two; not to be undone by the same again.
@inline(__always)
func mixed(_ one: UInt64, _ other: UInt64) -> UInt64 {
    var value = (one ^ (other &* 0x9E37_79B9_7F4A_7C15)) &+ 0x632B_E59B_D9B4_E019
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
}
