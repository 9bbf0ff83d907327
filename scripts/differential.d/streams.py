"""Request streams for the differential run: what a client may send to make two parsers disagree.

A stream is the bytes of one connection. Every request that is meant to be one says in `X-Of` what its target is, and every
target bears the stream's tag, so that a request that was cut out of a body, or grew together with the next one, can be
told in a backend's log and in an answer. Nothing here sends `X-Request-Id`: the proxy adds it to each request that it sees.
"""
import random
import re

METHODS = ["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"]
ODD_METHODS = ["get", "G ET", "G\tET", "GE\0T", "", "CONNECT", "TRACE", "M-SEARCH", "GET:", "PRI", "\xe9"]
VERSIONS = ["HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/1.10", "http/1.1", "HTTP/1.1 ", "HTTP/ 1.1", "HTTP/11", "", "HTTP/1.1 x"]
LENGTHS = ["+{n}", "-{n}", " {n}", "{n} ", "0x{n}", "{n},{n}", "{n}, {n}", "{n},0", "{n};", "{n}\x0b", "0{n}", "{n}.0", "", "{n} 1",
           "18446744073709551616", "4294967296", "99999999999999999999", "\t{n}", "{n}\t", "{n}\r", "\xb2", "1e1", "{m}", "0"]
CODINGS = ["xchunked", " chunked", "chunked ", "\tchunked", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked, chunked",
           "\x0bchunked", "chunked\x0b", "CHUNKED", "Chunked", '"chunked"', "chunked;q=1", "identity", "chunked\r", "chun\r\n ked", "", ",chunked",
           "chunked,", "x\0chunked", "chunked\0"]
NAMES = ["{name} ", " {name}", "\t{name}", "{name}\t", "{name}\0", "\0{name}", "{name}\x0b", "{under}", "{name}:", "x\n{name}", "x\r{name}",
         "{name}\r", "({name})", "{name} x"]
SIZES = [" {s}", "{s} ", "0x{s}", "+{s}", "-{s}", "{s};a", "{s};a=b", '{s};a="b"', '{s};a="\n"', "{s};\n", "{s}\n;", "0{s}", "000000000000000{s}",
         "{s}\r", "{s}\t", "{s}\0", "{s}g", "1{z}{s}", "", "{s};a\rb", "{s} ;a", "{s},{s}", "{s};a=\xe9", "{m}"]
ENDS = ["\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", " \r\n", "\0\r\n", "\r\n ", "\x85"]
TARGETS = ["{t} ", "{t}\t", "{t}#f", "{t}\0", "{t}%00", "{t}\xe9", "http://a.test{t}", "http://u@a.test{t}", "//a.test{t}", "*", "a.test:80", "",
           "{t} {t}", "{t}?a=\"b\"", "{t}/../x", "{t}/%2e%2e/x", "{t}\\x", "http://a.test:80{t}", "http:/{t}", "{t}?\x7f"]
HOSTS = ["", "a.test, b.test", "a.test:80", "a.test:", "a.test:99999", "a test", "u@a.test", "[::1]", "[::1", "a.test/x", "a.test\0", "a_b.test", "\xe9.test"]
EXTRAS = ["Expect: 100-continue", "Expect: 200-ok", "Connection: close", "Connection: keep-alive", "Connection: Content-Length", "Connection: X-Of",
          "Connection: Transfer-Encoding", "Upgrade: websocket\r\nConnection: Upgrade", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
          "TE: trailers", "Trailer: X-Of", "X-Empty:", ": nothing", "no colon", "X-Fold: a\r\n b", "X-Fold: a\r\n\tb", "Keep-Alive: 1", "Proxy-Connection: keep-alive",
          "X-Ctl: a\x01b", "X-Nul: a\0b", "X-Bare: a\rb", "X-Line: a\nb", "X-High: \xff", "Accept-Encoding: gzip", "Range: bytes=0-1", "X-Long: " + "a" * 9000,
          "Host: b.test", "Content-Length: 0", "Transfer-Encoding: chunked", "Content-Length: 7", " X-Space: a", "\tX-Tab: a"]


# HAProxy refuses a longer name as if it were no name at all (2.6, a length of 8 bits), and its log then says nothing of the request.
LONG_NAME = re.compile(r"(?<=\n)([^\s:]{250})[^\s:]+(?=:)")


class Message:
    """A request in parts, so that one thing at a time can be made wrong."""

    def __init__(self, draw, target):
        self.method, self.target, self.version, self.end = draw.choice(METHODS), target, "HTTP/1.1", "\r\n"
        self.fields = [("Host", "a.test"), ("X-Of", target)]
        self.lead, self.body, self.chunks, self.trailer = "", "", None, ""
        if self.method in ("POST", "PUT", "PATCH") or draw.random() < 0.1:
            self.give_body(draw)

    def give_body(self, draw, text=None):
        text = text if text is not None else "b" * draw.choice([0, 1, 5, 20, 300, 5000])
        self.fields = [field for field in self.fields if field[0] not in ("Content-Length", "Transfer-Encoding")]
        if draw.random() < 0.5:
            self.chunks, self.body = None, text
            self.fields.append(("Content-Length", str(len(text))))
        else:
            cut = draw.randint(0, len(text))
            self.chunks = [(f"{len(part):x}", part, "\r\n") for part in (text[:cut], text[cut:]) if part]
            self.fields.append(("Transfer-Encoding", "chunked"))
            self.trailer = draw.choice(["", "", "X-T: a\r\n", "X-Of: /trailer\r\n", "Content-Length: 3\r\n"])

    def text(self):
        first = " ".join(part for part in (self.method, self.target, self.version) if part != "")
        head = self.lead + first + self.end + "".join(f"{name}: {value}{self.end}" if name else value + self.end for name, value in self.fields) + self.end
        if self.chunks is None:
            return head + self.body
        return head + "".join(f"{size}\r\n{part}{end}" for size, part, end in self.chunks) + "0\r\n" + self.trailer + "\r\n"


def set_field(message, name, value):
    message.fields = [(n, value if n == name else v) for n, v in message.fields]


def change_length(draw, message, hidden):
    message.give_body(draw, hidden)
    message.chunks, message.body = None, hidden
    message.fields = [field for field in message.fields if field[0] not in ("Content-Length", "Transfer-Encoding")]
    n, m = len(hidden), draw.choice([0, 1, max(0, len(hidden) - 5), len(hidden) + 5])
    value = draw.choice(LENGTHS).format(n=n, m=m)
    message.fields.append(("Content-Length", value))
    if draw.random() < 0.3:
        message.fields.append(("Content-Length", draw.choice([str(n), "0", str(m)])))


def change_coding(draw, message, hidden):
    message.give_body(draw, hidden)
    message.chunks = [(f"{len(hidden):x}", hidden, "\r\n")] if hidden else []
    message.fields = [field for field in message.fields if field[0] not in ("Content-Length", "Transfer-Encoding")]
    value = draw.choice(CODINGS) if draw.random() < 0.7 else "chunked"
    codings = [("Transfer-Encoding", value)]
    if draw.random() < 0.3:
        codings.append(("Transfer-Encoding", draw.choice(CODINGS + ["chunked"])))
    if draw.random() < 0.5:
        codings.append(("Content-Length", str(draw.choice([0, 3, 4, 6, len(hidden), len(hidden) + 20]))))
    draw.shuffle(codings)
    message.fields += codings
    if draw.random() < 0.2:
        message.version = "HTTP/1.0"


def change_name(draw, message, hidden):
    message.give_body(draw, hidden)
    index = draw.randrange(len(message.fields))
    if draw.random() < 0.8:
        index = len(message.fields) - 1
    name, value = message.fields[index]
    name = draw.choice(NAMES).format(name=name, under=name.replace("-", "_"))
    if draw.random() < 0.5:
        message.fields[index] = (name, value)
    else:
        message.fields.insert(draw.choice([index, index + 1]), (name, draw.choice([value, "0", "5", "chunked"])))


def change_chunks(draw, message, hidden):
    message.give_body(draw, hidden)
    message.fields = [field for field in message.fields if field[0] not in ("Content-Length", "Transfer-Encoding")]
    message.fields.append(("Transfer-Encoding", "chunked"))
    parts = [hidden[:7], hidden[7:]] if len(hidden) > 7 else [hidden or "b"]
    message.chunks = [(f"{len(part):x}", part, "\r\n") for part in parts]
    index = draw.randrange(len(message.chunks))
    size, part, end = message.chunks[index]
    what = draw.random()
    if what < 0.6:
        size = draw.choice(SIZES).format(s=size, z="0" * 16, m=f"{len(part) + draw.choice([-2, -1, 1, 2, 40]):x}".replace("-", ""))
    elif what < 0.85:
        end = draw.choice(ENDS + [""])
    else:
        message.trailer = draw.choice(["X-T: a\r\n b\r\n", "X-T\r\n", ": a\r\n", " X: a\r\n", "X-T: a\n", "a\0: b\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n"])
    message.chunks[index] = (size, part, end)


def change_line(draw, message, hidden):
    what = draw.randrange(5)
    if what == 0:
        message.method = draw.choice(ODD_METHODS)
    elif what == 1:
        message.version = draw.choice(VERSIONS)
    elif what == 2:
        message.target = draw.choice(TARGETS).format(t=message.target)
    elif what == 3:
        message.end = draw.choice(ENDS)
    else:
        message.lead = draw.choice(["\r\n", "\n", "\r\n\r\n", " ", "\0", "\t", "\r", "x\r\n", "\xef\xbb\xbf"])


def change_host(draw, message, hidden):
    if draw.random() < 0.2:
        message.fields = [field for field in message.fields if field[0] != "Host"]
    else:
        set_field(message, "Host", draw.choice(HOSTS))


def change_extra(draw, message, hidden):
    if draw.random() < 0.5:
        message.give_body(draw, hidden)
    for _ in range(draw.randint(1, 2)):
        message.fields.insert(draw.randint(0, len(message.fields)), ("", draw.choice(EXTRAS)))


CHANGES = [change_length, change_length, change_coding, change_coding, change_name, change_chunks, change_chunks, change_line, change_host, change_extra]


def garble(draw, text, tag):
    """Bytes changed anywhere but in the targets, by which requests are known again."""
    for _ in range(draw.randint(1, 4)):
        letters = list(text)
        kept = {at for found in re.finditer(re.escape(tag) + r"\w*", text) for at in range(found.start(), found.end() + 1)}
        at = draw.randrange(len(letters))
        if at in kept:
            continue
        letter = draw.choice(["\0", "\r", "\n", "\r\n", " ", "\t", ":", ",", ";", "\xff", "0", "a", "\x0b", "\x7f"])
        what = draw.randrange(3)
        if what == 0:
            letters[at] = letter
        elif what == 1:
            letters.insert(at, letter)
        elif len(letters) > 1:
            del letters[at]
        text = "".join(letters)
    return text


class Stream:
    """`data`: the bytes; `cuts`: where they are divided into writes; `tag`: what all of its targets begin with."""

    def __init__(self, seed, number):
        draw = random.Random(seed * 1_000_003 + number)
        self.tag = f"/s{number}-"
        texts = []
        count = draw.choice([1, 2, 2, 3, 4])
        wrong = draw.randrange(count) if draw.random() < 0.9 else -1
        for index in range(count):
            message = Message(draw, f"{self.tag}{index}")
            if index == wrong:
                hidden = self._hidden(draw)
                draw.choice(CHANGES)(draw, message, hidden)
                if draw.random() < 0.15:
                    draw.choice(CHANGES)(draw, message, hidden)
            text = message.text()
            if index == wrong and draw.random() < 0.1:
                text = LONG_NAME.sub(r"\1", garble(draw, text, self.tag))
            texts.append(text)
        self.data = "".join(texts).encode("latin-1")
        if draw.random() < 0.05:
            self.data = self.data[:draw.randrange(len(self.data) + 1)]
        pieces = draw.choice([0, 0, 0, 1, 3])
        self.cuts = sorted(draw.randrange(len(self.data) + 1) for _ in range(pieces))

    def _hidden(self, draw):
        """What a body may hold: a request, or the beginning of one that swallows what follows."""
        target = f"{self.tag}hidden"
        return draw.choice([
            "",
            f"GET {target} HTTP/1.1\r\nHost: a.test\r\nX-Of: {target}\r\n\r\n",
            f"GET {target} HTTP/1.1\r\nHost: a.test\r\nX-Of: {target}\r\nX-Rest: ",
            f"0\r\n\r\nGET {target} HTTP/1.1\r\nHost: a.test\r\nX-Of: {target}\r\n\r\n",
            f"0\r\n\r\nGET {target} HTTP/1.1\r\nHost: a.test\r\nX-Of: {target}\r\nX-Rest: ",
            f"5\r\nabcde\r\n0\r\n\r\nGET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n",
            f"\r\nGET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n",
        ])

    def writes(self):
        edges = [0, *self.cuts, len(self.data)]
        return [self.data[a:b] for a, b in zip(edges, edges[1:]) if b > a]
