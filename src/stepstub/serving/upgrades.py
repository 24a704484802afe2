"""An httptools parser that declines every upgrade."""

from typing import Protocol

import httptools

from stepstub.serving.head import RequestHead


class Target(Protocol):
    """Receives what the parser finds; a head is collected in `head`."""

    head: RequestHead

    def on_headers_complete(self) -> None: ...

    def on_body(self, part: bytes) -> None: ...

    def on_message_complete(self) -> None: ...


class UpgradeDecliningParser:
    """Parses requests as if none offered an upgrade.

    httptools stops at a request that offers one, and the body that follows is lost. The JDK's
    HttpClient offers `Upgrade: h2c` by default, and a server may ignore it (RFC 9110, section
    7.8): the head is parsed again without the offer, then the body as usual.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.in_body = False
        # httptools looks these attributes up once per parser, so they cost nothing per request.
        self.on_message_begin = target.head.on_message_begin
        self.on_url = target.head.on_url
        self.on_header = target.head.on_header
        self.on_body = target.on_body
        self._renew()

    def _renew(self) -> None:
        self._parser = parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(
            lenient_data_after_close=True,  # the connection closes; what follows is not parsed
            lenient_version=True,  # for a 505; HTTP/1.2 is taken as 1.1 (RFC 9110, section 2.5)
        )
        self.feed_body = parser.feed_data  # a body offers no upgrade
        self.get_method = parser.get_method
        self.get_http_version = parser.get_http_version
        self.should_keep_alive = parser.should_keep_alive

    def feed_data(self, data: bytes) -> None:
        """Parse a head, or a part of one, and no more.

        Raises httptools.HttpParserError for what is not HTTP/1.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            method = self.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError("CONNECT is for proxies") from None
            head = self._head_without_offer(method)
            self._renew()
            self._parser.feed_data(head)

    def close(self) -> None:
        """Break the reference cycle with httptools' parser."""
        self.__dict__.clear()

    def should_upgrade(self) -> bool:
        return False

    def on_headers_complete(self) -> None:
        if not self._parser.should_upgrade():
            self.in_body = True
            self._target.on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self.in_body = False
            self._target.on_message_complete()

    def _head_without_offer(self, method: bytes) -> bytes:
        version = self.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self._target.head.url, version)]
        for name, value in self._target.head.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                kept = b", ".join(option for option in options if option.lower() != b"upgrade")
                lines.append(b"connection: " + kept)
            elif name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"
