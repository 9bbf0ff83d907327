extension LinearRegex {
  indirect enum Tree {
    case empty
    case set(ByteSet)
    /// Any character beyond ASCII.
    case beyondASCII
    case sequence([Tree])
    case choice([Tree])
    /// `most` nil: without end.
    case repetition(Tree, least: Int, most: Int?)
    case begin
    case end
  }

  /// From the end to the beginning: each part is given where to go on.
  struct Compiler {
    private(set) var program: [Instruction] = []
    /// Parts looked at: nested repetitions of nothing make no instructions and still take time.
    private var steps = 0

    mutating func append(_ instruction: Instruction) -> Int {
      self.program.append(instruction)
      return self.program.count - 1
    }

    mutating func compile(_ tree: Tree, next: Int) throws(Failure) -> Int {
      self.steps += 1
      guard self.program.count < LinearRegex.sizeLimit, self.steps < 10 * LinearRegex.sizeLimit else {
        throw Failure(message: "the expression is too large (\(LinearRegex.sizeLimit) instructions)", offset: 0)
      }
      switch tree {
      case .empty: return next
      case .set(let set): return self.append(.byte(set, next: next))
      case .begin: return self.append(.begin(next: next))
      case .end: return self.append(.end(next: next))
      case .beyondASCII: return self.characters(next: next)
      case .sequence(let parts):
        var at = next
        for part in parts.reversed() { at = try self.compile(part, next: at) }
        return at
      case .choice(let parts):
        var at: Int?
        for part in parts.reversed() {
          let branch = try self.compile(part, next: next)
          at = if let other = at { self.append(.split(branch, other)) } else { branch }
        }
        return at ?? next
      case .repetition(let part, let least, let most):
        var at = next
        if let most {
          for _ in 0..<max(0, most - least) { at = self.append(.split(try self.compile(part, next: at), next)) }
        } else {
          at = self.append(.match)
          self.program[at] = .split(try self.compile(part, next: at), next)
        }
        for _ in 0..<least { at = try self.compile(part, next: at) }
        return at
      }
    }

    private mutating func characters(next: Int) -> Int {
      let continuation = ByteSet(0x80...0xbf)
      let last = self.append(.byte(continuation, next: next))
      let middle = self.append(.byte(continuation, next: last))
      let first = self.append(.byte(continuation, next: middle))
      let two = self.append(.byte(ByteSet(0xc2...0xdf), next: last))
      let three = self.append(.byte(ByteSet(0xe0...0xef), next: middle))
      let four = self.append(.byte(ByteSet(0xf0...0xf4), next: first))
      return self.append(.split(two, self.append(.split(three, four))))
    }
  }
}
