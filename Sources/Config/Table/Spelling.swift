/// Finds what a mistyped word was meant to be.
enum Spelling {
    /// `; did you mean "word"?` for the nearest of `words`, or nothing when none is near.
    static func suggestion(for typed: String, among words: [String]) -> String {
        guard let word = nearest(to: typed, among: words) else { return "" }
        return "; did you mean \"\(word)\"?"
    }

    /// The word with the fewest insertions, deletions, replacements and swaps of neighbours away from
    /// `typed`, if that is at most a third of its length (2 for short ones). The first one wins a tie.
    static func nearest(to typed: String, among words: [String]) -> String? {
        let letters = Array(SettingKind.lowercased(typed).utf8.prefix(64))
        var best: (word: String, distance: Int)?
        for word in words {
            let target = Array(word.utf8)
            let limit = max(2, target.count / 3)
            let distance = distance(letters, target)
            if distance <= limit, distance < target.count, distance < best?.distance ?? .max {
                best = (word, distance)
            }
        }
        return best?.word
    }

    /// Optimal string alignment distance, O(a × b).
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforePrevious = [Int](repeating: 0, count: b.count + 1)
        var previous = Array(0...b.count)
        var current = previous
        for i in a.indices {
            current[0] = i + 1
            for j in b.indices {
                let replaced = previous[j] + (a[i] == b[j] ? 0 : 1)
                current[j + 1] = min(replaced, previous[j + 1] + 1, current[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    current[j + 1] = min(current[j + 1], beforePrevious[j - 1] + 1)
                }
            }
            (beforePrevious, previous, current) = (previous, current, beforePrevious)
        }
        return previous[b.count]
    }
}
