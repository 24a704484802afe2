"""How a varied response goes over a connection: the headers' names and order, the body's framing.

A response without one goes out as usual. `serving` does all of it, and a stub without a socket what
concerns the headers.
"""

from msgspec import Struct

FRAMING = "stepstub.framing"
"""The ASGI extension of what can send a body in any way that HTTP has."""
FRAMED = "stepstub.framed"
"""The member of `http.response.start` that has a `Framing`, if any."""

Headers = list[tuple[bytes, bytes]]

CASES = ("title", "upper", "mixed")
ORDERS = ("alphabetical", "reverse alphabetical")
_MOST_CHUNKS = 1000


class Framing(Struct, frozen=True, kw_only=True):
    """`case` is one of `CASES` and `order` one of `ORDERS`; None is as it comes.

    `chunk` is the size of a chunk in bytes, None for a body that is not chunked. `counted` says
    whether there is a Content-Length, `close` whether the connection ends with the response.
    """

    case: str | None = None
    order: str | None = None
    chunk: int | None = None
    counted: bool = True
    close: bool = False

    def arranged(self, headers: Headers) -> Headers:
        """The headers, their names in lower case, in this order and case."""
        if self.order is not None:
            backwards = self.order == "reverse alphabetical"
            headers = sorted(headers, key=lambda header: header[0], reverse=backwards)
        return [(_in_case(name, self.case), value) for name, value in headers]

    def framed(self, body: bytes) -> bytes:
        """The body as it is sent."""
        if self.chunk is None:
            return body
        size = max(self.chunk, len(body) // _MOST_CHUNKS)
        parts = (body[start : start + size] for start in range(0, len(body), size))
        return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _in_case(name: bytes, case: str | None) -> bytes:
    match case:
        case "title":
            return name.title()
        case "upper":
            return name.upper()
        case "mixed":
            return name[:1] + name[1:].swapcase()
        case _:
            return name
