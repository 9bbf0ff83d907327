extension LinearRegex {
  struct Parser {
    private static let depthLimit = 50
    private static let repetitionLimit = 1000

    private let bytes: [UInt8]
    private var at = 0
    private var depth = 0
    private var foldsCase = false
    private var dotTakesNewline = false

    init(_ pattern: String) { self.bytes = Array(pattern.utf8) }

    mutating func parse() throws(Failure) -> Tree {
      guard self.bytes.count <= LinearRegex.patternLimit else {
        throw self.failure("the expression is longer than \(LinearRegex.patternLimit) bytes")
      }
      let tree = try self.choice()
      guard self.peek == nil else { throw self.failure("unmatched )") }
      return tree
    }

    private var peek: UInt8? { self.at < self.bytes.count ? self.bytes[self.at] : nil }

    private mutating func take() -> UInt8? {
      guard self.at < self.bytes.count else { return nil }
      self.at += 1
      return self.bytes[self.at - 1]
    }

    private mutating func take(_ text: String) -> Bool {
      guard self.bytes[self.at...].starts(with: text.utf8) else { return false }
      self.at += text.utf8.count
      return true
    }

    private func failure(_ message: String) -> Failure { Failure(message: message, offset: self.at) }

    private mutating func choice() throws(Failure) -> Tree {
      var branches = [try self.sequence()]
      while self.take("|") { branches.append(try self.sequence()) }
      return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence() throws(Failure) -> Tree {
      var parts: [Tree] = []
      while let byte = self.peek, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
        let part = try self.atom()
        parts.append(try self.repetitions(of: part))
      }
      return parts.isEmpty ? .empty : .sequence(parts)
    }

    private mutating func repetitions(of part: Tree) throws(Failure) -> Tree {
      let (least, most): (Int, Int?)
      switch self.peek {
      case UInt8(ascii: "*"): (least, most) = (0, nil)
      case UInt8(ascii: "+"): (least, most) = (1, nil)
      case UInt8(ascii: "?"): (least, most) = (0, 1)
      case UInt8(ascii: "{"):
        guard let bounds = try self.bounds() else { return part }
        (least, most) = bounds
        self.at -= 1
      default: return part
      }
      self.at += 1
      _ = self.take("?")
      if let byte = self.peek, byte == UInt8(ascii: "*") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "?") {
        throw self.failure("nothing to repeat")
      }
      return .repetition(part, least: least, most: most)
    }

    /// `{m}`, `{m,}`, `{m,n}`; nil, and nothing taken: the brace is a literal, as in RE2.
    private mutating func bounds() throws(Failure) -> (Int, Int?)? {
      let begin = self.at
      self.at += 1
      guard let least = self.number() else {
        self.at = begin
        return nil
      }
      var most: Int? = least
      if self.take(",") { most = self.number() }
      guard self.take("}") else {
        self.at = begin
        return nil
      }
      guard least <= Self.repetitionLimit, (most ?? least) <= Self.repetitionLimit, (most ?? least) >= least else {
        throw self.failure("repetition out of bounds (0 to \(Self.repetitionLimit), ascending)")
      }
      return (least, most)
    }

    private mutating func number() -> Int? {
      var value: Int?
      while let byte = self.peek, (0x30...0x39).contains(byte) {
        value = min((value ?? 0) * 10 + Int(byte - 0x30), 1_000_000)
        self.at += 1
      }
      return value
    }

    private mutating func atom() throws(Failure) -> Tree {
      guard let byte = self.take() else { return .empty }
      switch byte {
      case UInt8(ascii: "("): return try self.group()
      case UInt8(ascii: "["): return try self.bracket()
      case UInt8(ascii: "."):
        let newline: ByteSet = self.dotTakesNewline ? ByteSet() : ByteSet(0x0a...0x0a)
        return .choice([.set(newline.asciiComplement), .beyondASCII])
      case UInt8(ascii: "^"): return .begin
      case UInt8(ascii: "$"): return .end
      case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"): throw self.failure("nothing to repeat")
      case UInt8(ascii: "\\"): return try self.escape()
      case 0..<0x80: return self.literal(byte)
      default:
        // A character beyond ASCII is repeated as a whole.
        var parts: [Tree] = [.set(ByteSet(byte...byte))]
        while let next = self.peek, (0x80...0xbf).contains(next) {
          parts.append(.set(ByteSet(next...next)))
          self.at += 1
        }
        return .sequence(parts)
      }
    }

    private func literal(_ byte: UInt8) -> Tree {
      var set = ByteSet(byte...byte)
      if self.foldsCase { set.foldCase() }
      return .set(set)
    }

    private mutating func group() throws(Failure) -> Tree {
      self.depth += 1
      guard self.depth <= Self.depthLimit else {
        throw self.failure("groups nest deeper than \(Self.depthLimit)")
      }
      defer { self.depth -= 1 }
      let flags = (self.foldsCase, self.dotTakesNewline)
      if self.take("?") {
        if self.take("P<") || self.take("<") {
          guard self.peek.map({ $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: "!") }) == true else {
            throw self.failure("look-behind is not supported")
          }
          while let byte = self.take(), byte != UInt8(ascii: ">") {}
        } else if try !self.flags() {
          // `(?i)` holds to the end of the group around it.
          return .empty
        }
      }
      let tree = try self.choice()
      guard self.take(")") else { throw self.failure("missing )") }
      (self.foldsCase, self.dotTakesNewline) = flags
      return tree
    }

    /// False: `(?flags)`, without a group of its own.
    private mutating func flags() throws(Failure) -> Bool {
      var value = true
      while let byte = self.take() {
        switch byte {
        case UInt8(ascii: "-"): value = false
        case UInt8(ascii: "i"): self.foldsCase = value
        case UInt8(ascii: "s"): self.dotTakesNewline = value
        case UInt8(ascii: "U"): continue
        case UInt8(ascii: ":"): return true
        case UInt8(ascii: ")"): return false
        default: throw self.failure("this kind of group or flag is not supported")
        }
      }
      throw self.failure("missing )")
    }

    private mutating func escape() throws(Failure) -> Tree {
      guard let byte = self.take() else { throw self.failure("nothing after \\") }
      if let (set, isNegated) = Self.shorthand(byte) {
        return isNegated ? .choice([.set(set.asciiComplement), .beyondASCII]) : .set(set)
      }
      if byte == UInt8(ascii: "A") { return .begin }
      if byte == UInt8(ascii: "z") { return .end }
      return self.literal(try self.escaped(byte))
    }

    /// The byte that an escape stands for.
    private mutating func escaped(_ byte: UInt8) throws(Failure) -> UInt8 {
      switch byte {
      case UInt8(ascii: "n"): return 0x0a
      case UInt8(ascii: "r"): return 0x0d
      case UInt8(ascii: "t"): return 0x09
      case UInt8(ascii: "f"): return 0x0c
      case UInt8(ascii: "v"): return 0x0b
      case UInt8(ascii: "a"): return 0x07
      case UInt8(ascii: "x"):
        guard let high = self.take().flatMap(CanonicalPath.digit), let low = self.take().flatMap(CanonicalPath.digit),
          high < 8
        else { throw self.failure("\\x takes two hexadecimal digits up to 7F") }
        return high << 4 | low
      case 0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e, 0x20: return byte
      default: throw self.failure("this escape is not supported")
      }
    }

    private static func shorthand(_ byte: UInt8) -> (ByteSet, isNegated: Bool)? {
      var set = ByteSet()
      switch byte | 0x20 {
      case UInt8(ascii: "d"): set.insert(0x30...0x39)
      case UInt8(ascii: "w"): set = Self.word
      case UInt8(ascii: "s"):
        set.insert(0x09...0x0a)
        set.insert(0x0c...0x0d)
        set.insert(0x20...0x20)
      default: return nil
      }
      guard byte & 0x40 != 0 else { return nil }
      return (set, byte & 0x20 == 0)
    }

    private static var word: ByteSet {
      var set = ByteSet(0x30...0x39)
      set.insert(0x41...0x5a)
      set.insert(0x61...0x7a)
      set.insert(0x5f...0x5f)
      return set
    }

    private mutating func bracket() throws(Failure) -> Tree {
      let isNegated = self.take("^")
      var set = ByteSet()
      var takesBeyondASCII = false
      var isFirst = true
      while true {
        guard let byte = self.take() else { throw self.failure("missing ]") }
        if byte == UInt8(ascii: "]"), !isFirst { break }
        isFirst = false
        if byte == UInt8(ascii: "["), self.take(":") {
          let (named, negated) = try self.namedClass()
          set.formUnion(negated ? named.asciiComplement : named)
          takesBeyondASCII = takesBeyondASCII || negated
          continue
        }
        if byte == UInt8(ascii: "\\"), let next = self.peek, let (short, negated) = Self.shorthand(next) {
          self.at += 1
          set.formUnion(negated ? short.asciiComplement : short)
          takesBeyondASCII = takesBeyondASCII || negated
          continue
        }
        let low = try self.member(byte)
        guard self.peek == UInt8(ascii: "-"), self.at + 1 < self.bytes.count,
          self.bytes[self.at + 1] != UInt8(ascii: "]")
        else {
          set.insert(low...low)
          continue
        }
        self.at += 1
        guard let last = self.take() else { throw self.failure("missing ]") }
        let high = try self.member(last)
        guard low <= high else { throw self.failure("a range of the class descends") }
        set.insert(low...high)
      }
      if self.foldsCase { set.foldCase() }
      if isNegated { set = set.asciiComplement }
      return takesBeyondASCII != isNegated ? .choice([.set(set), .beyondASCII]) : .set(set)
    }

    private mutating func member(_ byte: UInt8) throws(Failure) -> UInt8 {
      guard byte < 0x80 else { throw self.failure("classes hold ASCII only") }
      guard byte == UInt8(ascii: "\\") else { return byte }
      guard let next = self.take() else { throw self.failure("nothing after \\") }
      return try self.escaped(next)
    }

    /// After `[:`.
    private mutating func namedClass() throws(Failure) -> (ByteSet, isNegated: Bool) {
      let isNegated = self.take("^")
      let ranges: [(String, [ClosedRange<UInt8>])] = [
        ("alpha", [0x41...0x5a, 0x61...0x7a]), ("digit", [0x30...0x39]),
        ("alnum", [0x30...0x39, 0x41...0x5a, 0x61...0x7a]),
        ("upper", [0x41...0x5a]), ("lower", [0x61...0x7a]), ("xdigit", [0x30...0x39, 0x41...0x46, 0x61...0x66]),
        ("word", [0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f...0x5f]), ("space", [0x09...0x0d, 0x20...0x20]),
        ("punct", [0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e]),
      ]
      for (name, members) in ranges where self.take(name + ":]") {
        var set = ByteSet()
        for range in members { set.insert(range) }
        return (set, isNegated)
      }
      throw self.failure("this class is not supported")
    }
  }
}
