"""Bounds what a client sends beside bodies: heads, chunk-size lines and trailers.

httptools does not say where in its input a head ends, so the input is cut there before it is
parsed. Each bound then holds to the byte, however TCP has split the stream. The parser stays the
authority on what a message is; the cuts only decide how much it is given at once.
"""

from enum import Enum, auto
from typing import Protocol

import httptools

from stepstub.serving.upgrades import Target, UpgradeDecliningParser

MAX_HEAD_BYTES = 64 * 1024
"""Of a request line and its header fields, of a chunk-size line, or of a trailer section."""


class TooLarge(Exception):
    """More than `MAX_HEAD_BYTES`. `status` is 414 within a request line, otherwise 431."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class FramedTarget(Target, Protocol):
    """What the parser reports to, and asks whether to continue."""

    @property
    def accepting(self) -> bool: ...  # whether anything more may be parsed

    def on_request_line(self) -> None: ...  # complete, while the head is not


class _Part(Enum):
    START = auto()  # between messages
    HEAD = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    TRAILERS = auto()


_START = _Part.START


class FramedParser:
    """Feeds `UpgradeDecliningParser` one part of a message at a time."""

    def __init__(self, target: FramedTarget) -> None:
        self.parser = UpgradeDecliningParser(target)
        self._target = target
        self._head = target.head
        self._part = _Part.START
        self._size = 0  # of the head, the chunk-size line or the trailer section so far
        self._tail = b""  # its last bytes: a segment may end within the delimiter
        self._line = bytearray()  # the chunk-size line, or nothing
        self._in_request_line = False
        self._remaining = 0  # bytes of the body, or of the chunk and the CRLF behind it

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._part is not _Part.START

    def close(self) -> None:
        self.parser.close()

    def feed_data(self, data: bytes) -> None:
        """Parse, until the target accepts no more.

        Raises `TooLarge`, and httptools.HttpParserError for what is not HTTP/1.
        """
        start, end = self._feed_common(data), len(data)
        while start < end and self._target.accepting:
            match self._part:
                case _Part.START | _Part.HEAD:
                    start = self._feed_head(data, start)
                case _Part.BODY | _Part.CHUNK:
                    start = self._feed_body(data, start)
                case _Part.CHUNK_SIZE:
                    start = self._feed_chunk_size(data, start)
                case _Part.TRAILERS:
                    start, _ = self._feed_until(b"\r\n\r\n", data, start)
                    self._check_complete()

    def _feed_common(self, data: bytes) -> int:
        """Take the short way if `data` begins with a whole head; how much has been parsed."""
        if self._part is not _START or self._size or data[0] in b"\r\n":
            return 0
        end = data.find(b"\r\n\r\n") + 4
        if not 3 < end <= MAX_HEAD_BYTES:
            return 0
        rest = len(data) - end
        self.parser.feed_data(data[:end] if rest else data)
        if self.parser.in_body:
            if rest and self._head.content_length == rest:
                self.parser.feed_body(data[end:])
                return len(data)
            self._head_complete()
        return end

    def _feed_head(self, data: bytes, start: int) -> int:
        if self._part is _Part.START:
            if self._tail or data[start] in b"\r\n":
                start = self._skip_empty_lines(data, start)
                if start == len(data):
                    return start
            end = data.find(b"\r\n\r\n", start) + 4
            if end > 3 and self._size + end - start <= MAX_HEAD_BYTES:
                self.parser.feed_data(data if end - start == len(data) else data[start:end])
                self._head_complete()
                return end
            self._part = _Part.HEAD
            self._in_request_line = True
        end, complete = self._feed_until(b"\r\n\r\n", data, start)
        if complete:
            self._head_complete()
        elif self._in_request_line and b"\n" in data[start:end]:
            self._in_request_line = False
            self._target.on_request_line()
        return end

    def _skip_empty_lines(self, data: bytes, start: int) -> int:
        """Of empty lines before a request line (RFC 9112, section 2.2), which count as its head."""
        end = len(data) - len(data[start:].lstrip(b"\r\n"))
        self._size += end - start
        if self._size > MAX_HEAD_BYTES:
            raise TooLarge(431)
        bare = (self._tail + data[start:end]).replace(b"\r\n", b"").replace(b"\n", b"")
        self._tail = b"\r" if bare and end == len(data) else b""
        if len(bare) > len(self._tail):
            raise httptools.HttpParserError("a bare CR before the request line")
        return end

    def _head_complete(self) -> None:
        self._size, self._tail = 0, b""
        if not self.parser.in_body:
            self._part = _Part.START
        elif (length := self._head.content_length) is None:
            self._part = _Part.CHUNK_SIZE
        else:
            self._part, self._remaining = _Part.BODY, length

    def _feed_body(self, data: bytes, start: int) -> int:
        end = min(len(data), start + self._remaining)
        self._remaining -= end - start
        self.parser.feed_body(data if end - start == len(data) else data[start:end])
        if not self._remaining and self._part is _Part.CHUNK:
            self._part = _Part.CHUNK_SIZE
        self._check_complete()
        return end

    def _feed_chunk_size(self, data: bytes, start: int) -> int:
        end, complete = self._feed_until(b"\r\n", data, start)
        self._line += data[start:end]
        if complete:
            size = int(self._line.partition(b";")[0], 16)  # the parser has validated it
            self._line.clear()
            self._size = 0
            if size:
                self._part, self._remaining, self._tail = _Part.CHUNK, size + 2, b""
            else:
                self._part, self._tail = _Part.TRAILERS, b"\r\n"
        return end

    def _check_complete(self) -> None:
        if not self.parser.in_body:
            self._part, self._size, self._tail = _Part.START, 0, b""

    def _feed_until(self, delimiter: bytes, data: bytes, start: int) -> tuple[int, bool]:
        """Feed up to and including `delimiter`; the end of that, and whether it was there."""
        across = (self._tail + data[start : start + len(delimiter) - 1]).find(delimiter)
        if across >= 0:
            end, complete = start + across + len(delimiter) - len(self._tail), True
        else:
            found = data.find(delimiter, start)
            complete = found >= 0
            end = found + len(delimiter) if complete else len(data)
        excess = max(0, self._size + end - start - MAX_HEAD_BYTES)
        fed = data[start : end - excess]
        self._size += len(fed)
        self._tail = (self._tail + fed)[-3:]
        self.parser.feed_data(fed)  # what is malformed within the bound is reported first
        if excess:
            in_request_line = self._part is _Part.HEAD and self._in_request_line
            raise TooLarge(414 if in_request_line and b"\n" not in fed else 431)
        return end, complete
