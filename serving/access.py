"""Who may ask: allowed hosts, a bearer token, TLS.

`Access` is read once, from flags. It is everything that another server of this process, such as
gRPC's, needs to apply the same rules: `Access.is_allowed(authorization)` for the metadata
`authorization`, and `Tls`, whose fields are the bytes that `grpc.ssl_server_credentials` takes.
Only the host is a matter of HTTP alone.
"""

import argparse
import hashlib
import hmac
import ipaddress
import json
import logging
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.protos import ssl_config

log = logging.getLogger("seqline.access")

# Paths that need no token: they tell whether the server runs, and nothing else.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Sent with every answer: a browser shall not guess its type, keep it, or embed it elsewhere.
SECURITY_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
]
MAX_TOKEN_FILE, MIN_TOKEN = 4096, 16
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class AccessError(ValueError):
    """A wrong flag or file, in one line for the user."""


@dataclass(frozen=True)
class Tls:
    """The server's certificate, in PEM.

    Attributes:
        certificate: With those of its issuers after it.
        key: Its private key, not encrypted.
        client_ca: Clients must have a certificate of one of these. None if they need none.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None

    def context(self) -> ssl.SSLContext:
        """For TLS 1.2 and newer.

        Raises:
            ssl.SSLError: The key does not belong to the certificate, or one of them is malformed.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self.client_ca is not None:
            context.load_verify_locations(cadata=self.client_ca.decode("ascii", "replace"))
            context.verify_mode = ssl.CERT_REQUIRED

        # The library reads files only. Nobody else may read these.
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "certificate"), Path(folder, "key")
            certificate.write_bytes(self.certificate)
            key.write_bytes(self.key)
            # An empty password: an encrypted key is an error, not a question at the terminal.
            context.load_cert_chain(certificate, key, password="")
        return context


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: The names in a request's Host header, in lower case, some with a port. None for any.
        token_digest: Of the bearer token, by SHA-256. None if none is asked for.
        tls: None for plain HTTP.
    """

    hosts: frozenset[str] | None = None
    token_digest: bytes | None = None
    tls: Tls | None = None

    def is_allowed(self, authorization: str | bytes | None) -> bool:
        """Whether a request may be answered that has this header (or metadata) Authorization."""
        if self.token_digest is None:
            return True
        if isinstance(authorization, str):
            authorization = authorization.encode("utf-8", "replace")
        scheme, _, token = (authorization or b"").strip().partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        return hmac.compare_digest(digest, self.token_digest) and scheme.lower() == b"bearer"

    def is_served(self, host: bytes) -> bool:
        """Whether requests for this Host are answered."""
        if self.hosts is None:
            return True
        name = host.decode("latin-1").strip().lower()
        without_port = re.sub(r":\d*$", "", name)
        return bool({name, without_port, without_port.removesuffix(".")} & self.hosts)


class Guard:
    """An ASGI application that answers what may not be asked, and leaves the rest to another.

    Args:
        app: The other.
        access: Who may ask.
        timeout: Seconds that an answer may take; None for any time.
        log_access: Whether to log each request.
    """

    def __init__(
        self, app: Any, access: Access, timeout: float | None = None, log_access: bool = False
    ) -> None:
        self.app = app
        self.access = access
        self.timeout = timeout
        self.log_access = log_access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.log_access:
            send = _logged(scope, send)

        host, authorization = b"", None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization":
                authorization = value

        if not self.access.is_served(host) and (host or scope["http_version"] != "1.0"):
            shown = host[:100].decode("ascii", "replace")
            message = f"The host {shown} is not served here; see --allowed_hosts."
            await _refuse(send, 421, message)
        elif scope["path"] not in OPEN_PATHS and not self.access.is_allowed(authorization):
            message = "This server wants its token: Authorization: Bearer TOKEN"
            await _refuse(send, 401, message, (b"www-authenticate", b'Bearer realm="seqline"'))
        elif self.timeout is None:
            await self.app(scope, receive, send)
        else:
            await self._in_time(scope, receive, send)

    async def _in_time(self, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        started = False

        async def noting_start(message: Mapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self.timeout):
                await self.app(scope, receive, noting_start)
        except TimeoutError:
            if started:
                raise
            message = f"No answer within {self.timeout:g} s, which is --rest_api_timeout_in_ms."
            await _refuse(send, 504, message)


async def _refuse(send: Any, status: int, message: str, *more: tuple[bytes, bytes]) -> None:
    body = json.dumps({"error": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _logged(scope: Any, send: Any) -> Any:
    """Sends, and logs the request when its answer begins."""
    began = time.monotonic()

    async def logging_send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            fields = {
                "peer": (scope["client"] or ("",))[0],
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": message["status"],
                "seconds": round(time.monotonic() - began, 4),
            }
            text = "{peer} {method} {path} {status} {seconds}".format(**fields)
            log.info("%s", text, extra={"fields": fields})
        await send(message)

    return logging_send


def read(flags: argparse.Namespace) -> Access:
    """What the flags say.

    Raises:
        AccessError: A flag is wrong, or a file that it names.
    """
    return Access(_hosts(flags.allowed_hosts, flags.host), _digest(flags.token_file), _tls(flags))


def _hosts(given: str, listening: str) -> frozenset[str] | None:
    names = frozenset(name.strip().lower() for name in given.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(r"\*|(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", name):
            raise AccessError(
                f"--allowed_hosts: {name[:100]!r} is not a host; write example.com, with or without"
                " a port, [::1], or * for any."
            )

    if "*" in names or (not names and not _is_loopback(listening)):
        return None
    own = f"[{listening}]" if ":" in listening else listening.lower()
    return names or LOCAL_HOSTS | {own}


def _is_loopback(host: str) -> bool:
    try:
        addresses = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # It cannot be listened on, either, which is said in a moment.
    return all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in addresses)


def _digest(path: Path | None) -> bytes | None:
    if path is None:
        return None
    token = _read("--token_file", path, MAX_TOKEN_FILE).decode("latin-1").strip()
    if len(token) < MIN_TOKEN or not TOKEN.fullmatch(token):
        raise AccessError(
            f"--token_file {path}: not a token of {MIN_TOKEN} or more letters, digits and -._~+/ in"
            " one line. Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return hashlib.sha256(token.encode()).digest()


def _tls(flags: argparse.Namespace) -> Tls | None:
    files = flags.ssl_certificate_file, flags.ssl_key_file
    if flags.ssl_config_file:
        if any(files):
            raise AccessError(
                "--ssl_config_file has certificate and key; leave out --ssl_certificate_file and"
                " --ssl_key_file."
            )
        place = f"--ssl_config_file {flags.ssl_config_file}"
        tls = _from_config(place, _read("--ssl_config_file", flags.ssl_config_file))
    elif all(files):
        place = f"--ssl_certificate_file {files[0]} --ssl_key_file {files[1]}"
        tls = Tls(_read("--ssl_certificate_file", files[0]), _read("--ssl_key_file", files[1]))
    elif any(files):
        raise AccessError("--ssl_certificate_file and --ssl_key_file go together; give both.")
    else:
        return None

    try:
        tls.context()
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise AccessError(
            f"{place}: {reason}. Give a certificate and its own key, not encrypted, both in PEM."
        ) from None
    return tls


def _from_config(place: str, text: bytes) -> Tls:
    try:
        config = ssl_config(text)
    except ValueError as error:
        raise AccessError(f"{place} is not an SSLConfig: {error}") from None

    if config.client_verify and not config.custom_ca:
        raise AccessError(f"{place}: client_verify needs custom_ca.")
    client_ca = config.custom_ca.encode() if config.client_verify else None
    return Tls(config.server_cert.encode(), config.server_key.encode(), client_ca)


def _read(flag: str, path: Path, most: int = 1 << 20) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AccessError(f"{flag} {path}: {reason}.") from None
    if len(content) > most:
        raise AccessError(f"{flag} {path}: more than {most} bytes; give the right file.")
    return content
