"""Requests, byte by byte, and what RFC 9110 and RFC 9112 have a server make of them.

`accepted` is what a conforming server may do, as a set of statuses; `OK` stands for the response
of an application that echoes the body it has received, OPEN and CLOSED for the connection after
it. Where an RFC leaves a choice ("SHOULD", "MAY"), every choice is accepted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

OK = 200
BAD = frozenset({400})
HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FOLLOW_UP = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nfollow-up"


@dataclass(frozen=True)
class Case:
    """`sent` is one request, unless `responses` says more.

    `body` is what the application has to have received when the status is 200. `follows` says
    whether a further request on the connection has to get a response (True), must not (False),
    or may (None).
    """

    id: str
    section: str
    sent: bytes
    accepted: frozenset[int] = frozenset({OK})
    body: bytes | None = b""
    follows: bool | None = None
    group: str = field(default="")


def good(name: str, section: str, sent: bytes, body: bytes = b"", *, follows: bool = True) -> Case:
    return Case(name, section, sent, frozenset({OK}), body, follows)


def bad(name: str, section: str, sent: bytes, *statuses: int) -> Case:
    """One that has to be refused, and the connection closed or kept in step."""
    return Case(name, section, sent, frozenset(statuses) or BAD)


def either(name: str, section: str, sent: bytes, *statuses: int) -> Case:
    """Both accepting and refusing conform."""
    return Case(name, section, sent, frozenset({OK, *(statuses or (400,))}), None)


def _request_lines() -> Iterator[Case]:
    s = "9112 3"
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        length = b"" if method in ("GET", "TRACE") else b"Content-Length: 0\r\n"
        yield good(
            f"method {method}",
            "9110 9",
            method.encode() + b" / HTTP/1.1\r\n" + HOST + length + b"\r\n",
        )
    yield Case("unknown method", "9110 9.1", b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n",
               frozenset({OK, 400, 405, 501}), None)  # fmt: skip
    yield Case("lower-case method", "9110 9.1", b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
               frozenset({OK, 400, 405, 501}), None)  # fmt: skip
    for name, line in {
        "method with a separator": b"GE(T / HTTP/1.1",
        "method with a control character": b"GE\x01T / HTTP/1.1",
        "no method": b" / HTTP/1.1",
        "only a method": b"GET",
        "no target": b"GET HTTP/1.1",
        "no HTTP-name": b"GET / 1.1",
        "HTTP-name in lower case": b"GET / http/1.1",
        "another protocol": b"GET / FTP/1.1",
        "no version": b"GET / HTTP/",
        "one digit": b"GET / HTTP/1",
        "letters as version": b"GET / HTTP/x.y",
        "two digits minor": b"GET / HTTP/1.10",
        "two digits major": b"GET / HTTP/11.1",
        "comma in version": b"GET / HTTP/1,1",
        "space in version": b"GET / HTTP/1. 1",
        "text behind the version": b"GET / HTTP/1.1 x",
        "NUL in the target": b"GET /\0 HTTP/1.1",
        "control character in the target": b"GET /\x07 HTTP/1.1",
        "DEL in the target": b"GET /\x7f HTTP/1.1",
        "space in the target": b"GET /a b HTTP/1.1",
        "fragment": b"GET /#a HTTP/1.1",
        "bare CR in the line": b"GET /\rHTTP/1.1",
        "NUL in the method": b"G\0ET / HTTP/1.1",
    }.items():
        yield bad(name, s, line + b"\r\n" + HOST + b"\r\n", 400, 405, 501)
    yield either("non-ASCII target", s, b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n")
    yield either("two spaces", s, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n")
    yield either("two spaces before the version", s, b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n")
    yield either("a tab as separator", s, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n")
    yield either("space behind the version", s, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n")
    yield either("bare LF as line end", "9112 2.2", b"GET / HTTP/1.1\n" + HOST + b"\r\n")
    yield good("an empty line before", "9112 2.2", b"\r\n" + GET + b"\r\n")
    yield either("three empty lines before", "9112 2.2", b"\r\n" * 3 + GET + b"\r\n")
    yield bad("white space before", "9112 2.2", b" " + GET + b"\r\n")
    yield bad("bare CR before", "9112 2.2", b"\r" + GET + b"\r\n")


def _versions() -> Iterator[Case]:
    s = "9110 2.5"
    yield good("HTTP/1.1", s, GET + b"\r\n")
    yield good("HTTP/1.0", s, b"GET / HTTP/1.0\r\n\r\n", follows=False)
    yield good("HTTP/1.0 with a body", s, b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", b"ab",
               follows=False)  # fmt: skip
    yield either("HTTP/1.2", s, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 400, 505)
    yield either("HTTP/1.9", s, b"GET / HTTP/1.9\r\n" + HOST + b"\r\n", 400, 505)
    for version in (b"0.9", b"2.0", b"3.0", b"9.9", b"0.0"):
        yield bad(f"HTTP/{version.decode()}", "9110 15.6.6",
                  b"GET / HTTP/" + version + b"\r\n" + HOST + b"\r\n", 400, 505)  # fmt: skip
    yield bad("HTTP/0.9 request", "9112 3", b"GET /\r\n\r\n", 400, 505)
    yield bad("HTTP/2 preface", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 405, 501, 505)


def _targets() -> Iterator[Case]:
    def get(target: bytes, host: bytes = HOST, method: bytes = b"GET") -> bytes:
        return method + b" " + target + b" HTTP/1.1\r\n" + host + b"\r\n"

    for name, target in {
        "root": b"/", "path": b"/a/b", "query": b"/?a=b", "empty query": b"/?", "escapes": b"/%41%2f",
        "sub-delims": b"/!$&'()*+,;=:@-._~", "question marks": b"/?a?b/c", "two slashes": b"//a",
        "dots": b"/../a",
    }.items():  # fmt: skip
        yield good(f"origin-form, {name}", "9112 3.2.1", get(target))
    for name, target in {
        "path": b"http://localhost/", "port": b"http://localhost:80/", "no path": b"http://localhost",
        "query": b"http://localhost/?a", "query without path": b"http://localhost?a",
        "upper case": b"HTTP://LOCALHOST/", "IPv6": b"http://[::1]/",
    }.items():  # fmt: skip
        yield good(f"absolute-form, {name}", "9112 3.2.2", get(target))
    yield good("absolute-form, another Host", "9112 3.2.2",
               get(b"http://localhost/", b"Host: other.example\r\n"))  # fmt: skip
    yield bad("absolute-form, no Host", "9112 3.2", get(b"http://localhost/", b""))
    yield bad("absolute-form, no host", "9110 4.2.1", get(b"http:///a"))
    yield either("absolute-form, userinfo", "9110 4.2.4", get(b"http://a@localhost/"))
    yield bad("absolute-form, bad port", "9110 4.2.1", get(b"http://localhost:x/"))
    yield either("absolute-form, another scheme", "9110 7.4", get(b"ftp://localhost/"), 400, 421)
    yield good("asterisk-form", "9112 3.2.4", get(b"*", method=b"OPTIONS"))
    yield bad("asterisk-form for GET", "9112 3.2.4", get(b"*"), 400, 404)
    yield bad("authority-form for GET", "9112 3.2.3", get(b"localhost:80"))
    yield bad("relative path", "9112 3.2", get(b"a/b"))
    yield bad("query only", "9112 3.2", get(b"?a"))
    yield Case("CONNECT", "9110 9.3.6", get(b"localhost:80", method=b"CONNECT"),
               frozenset({400, 404, 405, 501}), None)  # fmt: skip
    yield Case("a target of 8,000 bytes", "9112 3", get(b"/" + b"a" * 7999))
    yield bad("a target of 70,000 bytes", "9112 3", get(b"/" + b"a" * 70_000), 414, 400)


def _fields() -> Iterator[Case]:
    s = "9112 5"
    for name, line in {
        "no value": b"X:", "no space": b"X:a", "tab before": b"X:\ta", "tabs around": b"X: \t a \t ",
        "obs-text": b"X: \xe9\xff", "colons": b"X: a:b:c", "quotes": b'X: "a\\"b"', "commas": b"X: a, b,, c",
        "all tchars": b"!#$%&'*+-.^_`|~09aZ: a", "twice": b"X: a\r\nx: b", "a long one": b"X: " + b"a" * 8000,
        "a tab inside": b"X: a\tb", "a hundred": b"\r\n".join(b"X%d: a" % n for n in range(100)),
    }.items():  # fmt: skip
        yield good(f"field, {name}", s, GET + line + b"\r\n\r\n")
    yield good(
        "trailing tab of Content-Length", "9110 5.5", POST + b"Content-Length: 2\t\r\n\r\nab", b"ab"
    )
    yield good(
        "trailing spaces of Content-Length",
        "9110 5.5",
        POST + b"Content-Length: 2  \r\n\r\nab",
        b"ab",
    )
    yield good("name in any case", "9110 5.1", POST + b"cOnTeNt-LeNgTh: 2\r\n\r\nab", b"ab")
    for name, line in {
        "space before the colon": b"X : a", "tab before the colon": b"X\t: a", "no name": b": a",
        "no colon": b"X", "space in the name": b"X Y: a", "NUL in the name": b"X\0: a",
        "NUL in the value": b"X: a\0b", "bare CR in the value": b"X: a\rb", "bare CR at the end": b"X: a\r",
        "non-ASCII in the name": b"X\xe9: a", "bracket in the name": b"X[]: a", "quote in the name": b'"X": a',
        "slash in the name": b"X/Y: a", "control character in the name": b"X\x01: a",
        "at sign in the name": b"X@: a", "comma in the name": b"X,Y: a", "semicolon in the name": b"X;: a",
        "white space before the first": b" X: a",
    }.items():  # fmt: skip
        section = "9112 5.1" if "colon" in name else "9110 5.5" if "value" in name else "9110 5.1"
        place = b"GET / HTTP/1.1\r\n" + line + b"\r\n" + HOST + b"\r\n"
        yield bad(name, section, place)
    for name, line in {
        "obs-fold with a space": b"X: a\r\n b", "obs-fold with a tab": b"X: a\r\n\tb",
        "obs-fold of nothing": b"X: a\r\n ", "bare LF as line end": b"X: a\nY: b",
        "control character in the value": b"X: a\x01b", "DEL in the value": b"X: a\x7fb",
    }.items():  # fmt: skip
        yield either(f"field, {name}", "9112 5.2", GET + line + b"\r\n\r\n")
    yield either("bare LF ends the head", "9112 2.2", GET + b"\n")
    yield bad(
        "a field of 100,000 bytes",
        "9110 5.4",
        GET + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        431,
        400,
    )
    yield bad("20,000 fields", "9110 5.4", GET + b"X: a\r\n" * 20_000 + b"\r\n", 431, 400)


def _hosts() -> Iterator[Case]:
    def get(*lines: bytes, version: bytes = b"1.1") -> bytes:
        return (
            b"GET / HTTP/"
            + version
            + b"\r\n"
            + b"".join(b"%b\r\n" % line for line in lines)
            + b"\r\n"
        )

    s = "9112 3.2"
    for host in (b"localhost", b"localhost:80", b"localhost:", b"LOCALHOST", b"127.0.0.1", b"127.0.0.1:1",
                 b"[::1]", b"[::1]:80"):  # fmt: skip
        yield good(f"Host {host.decode()}", s, get(b"Host: " + host))
    yield bad("no Host", s, get())
    yield bad("no Host, with others", s, get(b"X: a"))
    yield bad("Host twice", s, get(b"Host: localhost", b"Host: localhost"))
    yield bad("Host twice, differing", s, get(b"Host: localhost", b"Host: b"))
    for name, host in {
        "space": b"a b", "path": b"a/b", "userinfo": b"u@a", "scheme": b"http://a", "port in letters": b"a:b",
        "two ports": b"a:1:2", "list": b"localhost, localhost", "bare IPv6": b"::1", "open bracket": b"[::1",
        "text behind a bracket": b"[::1]a", "query": b"a?b", "fragment": b"a#b", "bad escape": b"a%zz",
        "backslash": b"a\\b", "angle bracket": b"<a>", "quote": b'"a"', "non-ASCII": b"\xe9",
    }.items():  # fmt: skip
        yield bad(f"Host, {name}", s, get(b"Host: " + host))
    yield good("no Host in HTTP/1.0", s, get(version=b"1.0"), follows=False)


def _lengths() -> Iterator[Case]:
    s = "9112 6.3"

    def post(value: bytes, body: bytes = b"ab", more: bytes = b"") -> bytes:
        return POST + more + b"Content-Length: " + value + b"\r\n\r\n" + body

    yield good("length 2", s, post(b"2"), b"ab")
    yield good("length 0", s, post(b"0", b""))
    yield good("leading zeros", s, post(b"0002"), b"ab")
    yield good("no length, no body", s, POST + b"\r\n")
    yield good("body of a GET", "9110 9.3.1", GET + b"Content-Length: 2\r\n\r\nab", b"ab")
    yield good("a large body", s, post(b"300000", b"x" * 300_000), b"x" * 300_000)
    yield good(
        "a body that looks like a request",
        s,
        post(b"%d" % len(GET + b"\r\n"), GET + b"\r\n"),
        GET + b"\r\n",
    )
    for name, value in {
        "sign": b"+2", "negative": b"-2", "hexadecimal": b"0x2", "fraction": b"2.0", "exponent": b"2e0",
        "letters": b"two", "empty": b"", "inner space": b"2 2", "semicolon": b"2;", "quoted": b'"2"',
        "differing list": b"2, 3", "underscore": b"2_0", "overflow": b"9" * 30, "2^64": b"18446744073709551616",
        "empty list": b",", "Arabic digits": "٢".encode(),
    }.items():  # fmt: skip
        yield bad(
            f"length, {name}",
            "9112 6.3" if "over" not in name else "9110 8.6",
            post(value),
            400,
            413,
        )
    yield bad("two lengths, differing", s, post(b"2", more=b"Content-Length: 3\r\n"))
    yield Case("two lengths, the same", "9110 8.6", post(b"2", more=b"Content-Length: 2\r\n"),
               frozenset({OK, 400}), None)  # fmt: skip
    yield Case("length in a list, the same", "9110 8.6", post(b"2, 2"), frozenset({OK, 400}), None)


def _codings() -> Iterator[Case]:
    s = "9112 6.1"
    body = b"2\r\nab\r\n0\r\n\r\n"

    def post(*lines: bytes, version: bytes = b"1.1") -> bytes:
        head = b"POST / HTTP/" + version + b"\r\n" + HOST
        return head + b"".join(b"%b\r\n" % line for line in lines) + b"\r\n" + body

    yield good("chunked", "9112 7.1", post(b"Transfer-Encoding: chunked"), b"ab")
    yield good("chunked in upper case", "9112 7", post(b"Transfer-Encoding: CHUNKED"), b"ab")
    yield either(
        "chunked with an empty element", "9110 5.6.1", post(b"Transfer-Encoding: , chunked")
    )
    yield Case("length and chunked", s, post(b"Transfer-Encoding: chunked", b"Content-Length: 2"),
               frozenset({OK, 400}), b"ab", False)  # fmt: skip
    yield Case("chunked and length", s, post(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
               frozenset({OK, 400}), b"ab", False)  # fmt: skip
    for name, value in {
        "gzip": b"gzip", "identity": b"identity", "chunked, not last": b"chunked, gzip", "unknown": b"xyz",
        "prefix": b"xchunked", "suffix": b"chunkedx", "quoted": b'"chunked"', "vertical tab": b"\x0bchunked",
        "empty": b"", "parameter": b"chunked;a=b",
    }.items():  # fmt: skip
        yield bad(f"coding, {name}", "9112 6.3", post(b"Transfer-Encoding: " + value), 400, 501)
    yield bad("unknown coding, chunked last", s, post(b"Transfer-Encoding: xyz, chunked"), 400, 501)
    yield bad("gzip, chunked last", s, post(b"Transfer-Encoding: gzip, chunked"), 400, 501)
    yield bad(
        "gzip, chunked in two fields",
        s,
        post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        400,
        501,
    )
    yield bad("chunked twice", s, post(b"Transfer-Encoding: chunked, chunked"), 400, 501)
    yield bad(
        "chunked in two fields",
        s,
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        400,
        501,
    )
    yield Case("chunked in HTTP/1.0", s, post(b"Transfer-Encoding: chunked", version=b"1.0"),
               frozenset({OK, 400}), b"ab", False)  # fmt: skip
    yield bad("space before the colon", "9112 5.1", post(b"Transfer-Encoding : chunked"))


def _chunks() -> Iterator[Case]:
    s = "9112 7.1"
    for name, (sent, body) in {
        "none": (b"0\r\n\r\n", b""), "one": (b"2\r\nab\r\n0\r\n\r\n", b"ab"),
        "three": (b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        "upper-case digits": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        "lower-case digits": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        "leading zeros": (b"00000002\r\nab\r\n000\r\n\r\n", b"ab"),
        "CRLF as data": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        "data that looks like the end": (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        "a large one": (b"30000\r\n" + b"x" * 0x30000 + b"\r\n0\r\n\r\n", b"x" * 0x30000),
        "extension": (b"2;a=b\r\nab\r\n0\r\n\r\n", b"ab"), "extension without value": (b"2;a\r\nab\r\n0\r\n\r\n", b"ab"),
        "quoted extension": (b'2;a="b;c"\r\nab\r\n0\r\n\r\n', b"ab"),
        "two extensions": (b"2;a=b;c=d\r\nab\r\n0\r\n\r\n", b"ab"),
        "extension of the last": (b"2\r\nab\r\n0;a=b\r\n\r\n", b"ab"),
        "trailer": (b"2\r\nab\r\n0\r\nX: a\r\n\r\n", b"ab"), "two trailers": (b"2\r\nab\r\n0\r\nX: a\r\nY: b\r\n\r\n", b"ab"),
        "trailer named Host": (b"2\r\nab\r\n0\r\nHost: other\r\n\r\n", b"ab"),
        "trailer named Authorization": (b"2\r\nab\r\n0\r\nAuthorization: a\r\n\r\n", b"ab"),
    }.items():  # fmt: skip
        yield good(f"chunks, {name}", "9112 7.1.1" if "ext" in name else "9112 7.1.2" if "trail" in name else s,
                   CHUNKED + sent, body)  # fmt: skip
    for name, sent in {
        "no size": b"\r\nab\r\n0\r\n\r\n", "letters": b"zz\r\nab\r\n0\r\n\r\n", "negative": b"-2\r\nab\r\n0\r\n\r\n",
        "sign": b"+2\r\nab\r\n0\r\n\r\n", "0x": b"0x2\r\nab\r\n0\r\n\r\n", "space before": b" 2\r\nab\r\n0\r\n\r\n",
        "overflow": b"f" * 17 + b"\r\nab\r\n0\r\n\r\n", "2^64": b"10000000000000000\r\nab\r\n0\r\n\r\n",
        "size too small": b"1\r\nab\r\n0\r\n\r\n", "no CRLF behind data": b"2\r\nab0\r\n\r\n",
        "other bytes behind data": b"2\r\nabXX0\r\n\r\n", "NUL in the size": b"2\0\r\nab\r\n0\r\n\r\n",
        "underscore": b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n", "comma": b"2,\r\nab\r\n0\r\n\r\n",
        "bare CR behind the size": b"2\rab\r\n0\r\n\r\n", "NUL in an extension": b"2;a\0\r\nab\r\n0\r\n\r\n",
        "space in a trailer's name": b"0\r\nX Y: a\r\n\r\n", "trailer with a space before the colon": b"0\r\nX : a\r\n\r\n",
        "trailer without colon": b"0\r\nX\r\n\r\n", "NUL in a trailer": b"0\r\nX: \0\r\n\r\n",
    }.items():  # fmt: skip
        yield Case(f"chunks, {name}", s, CHUNKED + sent, BAD)
    for name, sent in {
        "bare LF behind the size": b"2\nab\r\n0\r\n\r\n", "bare LF behind data": b"2\r\nab\n0\r\n\r\n",
        "bare LF in an extension": b"2;a\nb\r\nab\r\n0\r\n\r\n", "space behind the size": b"2 \r\nab\r\n0\r\n\r\n",
        "space before an extension": b"2 ;a\r\nab\r\n0\r\n\r\n", "empty extension": b"2;\r\nab\r\n0\r\n\r\n",
    }.items():  # fmt: skip
        yield either(f"chunks, {name}", s, CHUNKED + sent)


def _persistence() -> Iterator[Case]:
    s = "9112 9.3"
    yield good("persistent by default", s, GET + b"\r\n")
    yield good("close", "9112 9.6", GET + b"Connection: close\r\n\r\n", follows=False)
    yield good("close in upper case", "9112 9.6", GET + b"Connection: CLOSE\r\n\r\n", follows=False)
    yield good("close in a list", "9112 9.6", GET + b"Connection: x, close\r\n\r\n", follows=False)
    yield good(
        "close in a second field",
        "9112 9.6",
        GET + b"Connection: x\r\nConnection: close\r\n\r\n",
        follows=False,
    )
    yield good("keep-alive", s, GET + b"Connection: keep-alive\r\n\r\n")
    yield good("another option", s, GET + b"Connection: x\r\n\r\n")
    yield Case(
        "HTTP/1.0 with keep-alive", "9112 9.3", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    )
    yield good("close with a body", "9112 9.6", POST + b"Connection: close\r\nContent-Length: 2\r\n\r\nab", b"ab",
               follows=False)  # fmt: skip
    for size in (0, 1, 2, 3000):
        yield good(f"pipelined behind {size} bytes", "9112 9.3.2",
                   POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size, b"x" * size)  # fmt: skip
    yield good("pipelined behind chunks", "9112 9.3.2", CHUNKED + b"2\r\nab\r\n0\r\n\r\n", b"ab")
    yield good(
        "an empty line behind a body", "9112 2.2", POST + b"Content-Length: 2\r\n\r\nab\r\n", b"ab"
    )
    yield Case(
        "HEAD", "9110 9.3.2", b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", body=None, follows=True
    )


def _expectations_and_upgrades() -> Iterator[Case]:
    def post(*lines: bytes, version: bytes = b"1.1") -> bytes:
        head = b"POST / HTTP/" + version + b"\r\n" + HOST + b"Content-Length: 2\r\n"
        return head + b"".join(b"%b\r\n" % line for line in lines) + b"\r\nab"

    s = "9110 10.1.1"
    for name, line in {
        "100-continue": b"Expect: 100-continue",
        "in upper case": b"Expect: 100-CONTINUE",
    }.items():
        yield good(f"Expect, {name}", s, post(line), b"ab")
    yield good(
        "Expect in HTTP/1.0", s, post(b"Expect: 100-continue", version=b"1.0"), b"ab", follows=False
    )
    yield either("another expectation", s, post(b"Expect: miracles"), 417, 400)
    s = "9110 7.8"
    for name, lines in {
        "h2c": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        "websocket": (b"Connection: Upgrade", b"Upgrade: websocket"),
        "unknown": (b"Connection: upgrade", b"Upgrade: nothing/1.0"),
        "a list": (b"Connection: keep-alive, Upgrade", b"Upgrade: a, b/2"),
        "without Connection": (b"Upgrade: h2c",), "without Upgrade": (b"Connection: Upgrade",),
    }.items():  # fmt: skip
        yield good(f"upgrade, {name}", s, post(*lines), b"ab")
    yield good("upgrade of a GET", s, GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    yield good("upgrade with chunks", s,
               POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
               b"ab")  # fmt: skip
    yield good("upgrade in HTTP/1.0", s, post(b"Connection: Upgrade", b"Upgrade: h2c", version=b"1.0"), b"ab",
               follows=False)  # fmt: skip


GROUPS = {
    "request line": _request_lines,
    "version": _versions,
    "request target": _targets,
    "field": _fields,
    "Host": _hosts,
    "Content-Length": _lengths,
    "Transfer-Encoding": _codings,
    "chunked coding": _chunks,
    "persistence and pipelining": _persistence,
    "Expect and Upgrade": _expectations_and_upgrades,
}
CASES = {group: list(cases()) for group, cases in GROUPS.items()}
