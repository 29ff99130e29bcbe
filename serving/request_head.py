"""What the line and the headers of a request must be (RFC 9112, RFC 9110)."""

import re

MAX_TARGET = 8 << 10
MAX_HEAD = 32 << 10
MAX_HEADERS = 100

ABSOLUTE = re.compile(rb"https?://([^/?]*)(/[^?]*)?(\?.*)?", re.IGNORECASE | re.DOTALL)
# A name or an IPv4 address, or an IPv6 address in brackets; and a port.
HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")

# (name in lower case, value)
Headers = list[tuple[bytes, bytes]]


class ProtocolError(Exception):
    """What a client sent is not HTTP as this server takes it.

    Attributes:
        status: The HTTP status of the answer, after which the connection is closed.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_head(version: str, target: bytes, headers: Headers) -> None:
    """Checks version and headers, of which each request has few.

    Raises:
        ProtocolError: They are not those of HTTP/1.1 or 1.0, or too long.
    """
    if version not in ("1.1", "1.0"):
        raise ProtocolError(505, f"HTTP/{version} is not spoken here; use HTTP/1.1.")

    hosts, size = [], len(target)
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name == b"host":
            hosts.append(value.strip(b" \t"))
        elif name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
            raise ProtocolError(
                501, f"Transfer-Encoding must be chunked, by HTTP/1.1, not {shown(value)}."
            )
        elif name == b"expect" and value.lower() != b"100-continue":
            raise ProtocolError(417, f"Expect must be 100-continue, not {shown(value)}.")

    if size > MAX_HEAD:
        raise too_many_headers()
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise ProtocolError(400, f"A request has one Host header, not {len(hosts)}.")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise ProtocolError(400, f"Malformed Host header: {shown(hosts[0])}.")


def origin_form(method: bytes, target: bytes, headers: Headers) -> bytes:
    """A request's target as path and query.

    Of an absolute target (http://host/path), the host takes the place of the header's.

    Raises:
        ProtocolError: It is no target of a server that is no proxy.
    """
    if method == b"CONNECT":
        raise ProtocolError(405, "CONNECT is not allowed here; this is no proxy.")
    if b"#" in target:
        raise ProtocolError(400, f"Malformed request target: {shown(target)}.")
    if target.startswith(b"/"):
        return target
    if target == b"*" and method == b"OPTIONS":
        return b"/*"

    absolute = ABSOLUTE.fullmatch(target)
    if not absolute or not HOST.fullmatch(absolute[1]):
        raise ProtocolError(400, f"Malformed request target: {shown(target)}.")
    headers[:] = [header for header in headers if header[0] != b"host"]
    headers.append((b"host", absolute[1]))
    return (absolute[2] or b"/") + (absolute[3] or b"")


def too_many_headers() -> ProtocolError:
    return ProtocolError(
        431, f"A request may have {MAX_HEADERS} headers and {MAX_HEAD} bytes of them."
    )


def shown(sent: bytes) -> str:
    """The beginning of what a client sent, in printable ASCII."""
    text = sent[:100].decode("latin-1").encode("unicode_escape").decode("ascii")
    return text[:160] + ("..." if len(sent) > 100 or len(text) > 160 else "")
