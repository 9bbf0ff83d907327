/// A regular expression that is matched in time linear in the text: RE2's syntax without what whole-string matching does not need.
///
/// Understood: literals, `.`, classes with ASCII (`[a-z]`, `[^/]`, `[[:alpha:]]`, `\d \w \s` and their negations), groups of every kind
/// (none captures), alternation, `? * +` and `{m,n}` up to 1,000, lazy or not, `^ $ \A \z`, the flags `i` and `s`, `\xHH`. All
/// else is refused with the place where it stands. The text is UTF-8: `.` takes a whole character.
///
/// The expression becomes an automaton of bytes. Where it has few states it is a table, one lookup a byte; else its states are followed
/// side by side (Thompson). Neither goes back in the text.
package struct LinearRegex: Sendable {
  package static let patternLimit = 1024
  /// Instructions of the automaton. It bounds what one byte of text costs.
  package static let sizeLimit = 2000
  /// States of the table.
  static let tableLimit = 256

  package struct Failure: Error, Equatable, Sendable {
    package var message: String
    /// Bytes into the pattern.
    package var offset: Int
  }

  enum Instruction: Sendable {
    case byte(ByteSet, next: Int)
    case split(Int, Int)
    case begin(next: Int)
    case end(next: Int)
    case match
  }

  let program: [Instruction]
  let start: Int
  let table: Table?

  package init(_ pattern: String) throws(Failure) {
    var parser = Parser(pattern)
    let tree = try parser.parse()
    var compiler = Compiler()
    let match = compiler.append(.match)
    self.start = try compiler.compile(tree, next: match)
    self.program = compiler.program
    self.table = Table(self.program, start: self.start)
  }

  /// Where a match stands; text may come in pieces.
  package struct Run {
    fileprivate(set) var state = 0
    fileprivate(set) var threads: [Int] = []
    fileprivate(set) var marks: [Bool] = []
    fileprivate(set) var isAtStart = true
  }

  package func run() -> Run {
    var run = Run()
    if self.table == nil {
      run.marks = Array(repeating: false, count: self.program.count)
      run.threads = Self.closure([self.start], of: self.program, isAtStart: true, isAtEnd: false, marks: &run.marks)
    }
    return run
  }

  package func feed(_ byte: UInt8, to run: inout Run) {
    if let table = self.table {
      run.state = table.next(run.state, byte)
      return
    }
    var reached: [Int] = []
    for thread in run.threads {
      if case .byte(let set, let next) = self.program[thread], set.contains(byte) { reached.append(next) }
    }
    run.isAtStart = false
    run.threads = Self.closure(reached, of: self.program, isAtStart: false, isAtEnd: false, marks: &run.marks)
  }

  /// True if the text so far is the whole of it and matches.
  package func accepts(_ run: Run) -> Bool {
    if let table = self.table { return table.accepts[run.state] }
    var marks = run.marks
    return Self.isMatch(run.threads, of: self.program, isAtStart: run.isAtStart, marks: &marks)
  }

  /// The whole text.
  package func matches(_ text: Span<UInt8>) -> Bool {
    var run = self.run()
    for i in text.indices {
      self.feed(text[i], to: &run)
      if self.table == nil ? run.threads.isEmpty : run.state == Table.dead { return false }
    }
    return self.accepts(run)
  }

  package func matches(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return self.matches(bytes.span)
  }

  /// What is reached without a byte, in ascending order. `marks` are all false, before and after.
  static func closure(
    _ from: [Int], of program: [Instruction], isAtStart: Bool, isAtEnd: Bool, marks: inout [Bool]
  ) -> [Int] {
    var stack = from
    var seen: [Int] = []
    var kept: [Int] = []
    while let at = stack.popLast() {
      if marks[at] { continue }
      marks[at] = true
      seen.append(at)
      switch program[at] {
      case .byte, .match: kept.append(at)
      case .split(let a, let b):
        stack.append(b)
        stack.append(a)
      case .begin(let next): if isAtStart { stack.append(next) }
      case .end(let next): if isAtEnd { stack.append(next) } else { kept.append(at) }
      }
    }
    for at in seen { marks[at] = false }
    kept.sort()
    return kept
  }

  static func isMatch(_ states: [Int], of program: [Instruction], isAtStart: Bool, marks: inout [Bool]) -> Bool {
    self.closure(states, of: program, isAtStart: isAtStart, isAtEnd: true, marks: &marks).contains {
      if case .match = program[$0] { true } else { false }
    }
  }
}

extension LinearRegex {
  struct ByteSet: Hashable, Sendable {
    private var words: InlineArray<4, UInt64> = .init(repeating: 0)

    init() {}

    init(_ range: ClosedRange<UInt8>) { self.insert(range) }

    func contains(_ byte: UInt8) -> Bool { self.words[Int(byte >> 6)] & (1 << UInt64(byte & 63)) != 0 }

    mutating func insert(_ range: ClosedRange<UInt8>) {
      for byte in range { self.words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }
    }

    mutating func formUnion(_ other: ByteSet) {
      for i in 0..<4 { self.words[i] |= other.words[i] }
    }

    /// Letters in both cases.
    mutating func foldCase() {
      for letter in UInt8(0x61)...0x7a where self.contains(letter) || self.contains(letter - 0x20) {
        self.insert(letter...letter)
        self.insert(letter - 0x20...letter - 0x20)
      }
    }

    /// The ASCII bytes that are not in the set.
    var asciiComplement: ByteSet {
      var result = ByteSet()
      for byte in UInt8(0)...0x7f where !self.contains(byte) { result.insert(byte...byte) }
      return result
    }

    static func == (a: ByteSet, b: ByteSet) -> Bool { (0..<4).allSatisfy { a.words[$0] == b.words[$0] } }

    func hash(into hasher: inout Hasher) {
      for i in 0..<4 { hasher.combine(self.words[i]) }
    }
  }

  /// The automaton made deterministic, if that takes few states.
  struct Table: Sendable {
    static let dead = 1
    private let classes: [UInt8]
    private let classCount: Int
    private let transitions: [UInt16]
    let accepts: [Bool]

    func next(_ state: Int, _ byte: UInt8) -> Int {
      Int(self.transitions[state * self.classCount + Int(self.classes[Int(byte)])])
    }

    /// State 0 is the start, 1 the one that nothing leads out of.
    init?(_ program: [Instruction], start: Int) {
      let (classes, representatives) = Self.classes(of: program)
      var marks = Array(repeating: false, count: program.count)
      var sets = [
        LinearRegex.closure([start], of: program, isAtStart: true, isAtEnd: false, marks: &marks), [],
      ]
      var numbers: [[Int]: Int] = [[]: Self.dead]
      var transitions: [UInt16] = []
      var accepts: [Bool] = []
      var state = 0
      while state < sets.count {
        let set = sets[state]
        accepts.append(LinearRegex.isMatch(set, of: program, isAtStart: state == 0, marks: &marks))
        for byte in representatives {
          var reached: [Int] = []
          for at in set {
            if case .byte(let bytes, let next) = program[at], bytes.contains(byte) { reached.append(next) }
          }
          let target = LinearRegex.closure(reached, of: program, isAtStart: false, isAtEnd: false, marks: &marks)
          if let known = numbers[target] {
            transitions.append(UInt16(known))
          } else {
            guard sets.count < LinearRegex.tableLimit else { return nil }
            numbers[target] = sets.count
            transitions.append(UInt16(sets.count))
            sets.append(target)
          }
        }
        state += 1
      }
      self.classes = classes
      self.classCount = representatives.count
      self.transitions = transitions
      self.accepts = accepts
    }

    /// Bytes that no instruction tells apart are one class.
    private static func classes(of program: [Instruction]) -> (of: [UInt8], representatives: [UInt8]) {
      var classes = [Int](repeating: 0, count: 256)
      var sets: Set<ByteSet> = []
      for case .byte(let set, _) in program where sets.insert(set).inserted {
        var numbers: [Int: Int] = [:]
        for byte in 0..<256 {
          let key = classes[byte] * 2 + (set.contains(UInt8(byte)) ? 1 : 0)
          let number = numbers[key] ?? numbers.count
          numbers[key] = number
          classes[byte] = number
        }
      }
      var representatives: [UInt8] = []
      var known: [Int: UInt8] = [:]
      let dense = (0..<256).map { byte -> UInt8 in
        if let number = known[classes[byte]] { return number }
        let number = UInt8(representatives.count)
        known[classes[byte]] = number
        representatives.append(UInt8(byte))
        return number
      }
      return (dense, representatives)
    }
  }
}
