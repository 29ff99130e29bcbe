"""Whether a tracker's server can be reached, found out in seconds."""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection, InvalidURL
from urllib.parse import urlsplit

from seqline.errors import UserError
from seqline.host.machine_errors import chain

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 15.0
CONNECTIONS: dict[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}


def check_server(tracker: str, url: str, way_out: str) -> None:
    """Asks a server once, without the retries of a client. Other kinds of URLs are passed.

    Any answer will do: what the server is, and whether it lets this user in, the client finds out.

    Args:
        tracker: The tracker's name, for the error.
        url: The server's address.
        way_out: A sentence for the error.

    Raises:
        UserError: It does not answer.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in CONNECTIONS or not parts.hostname:
            return
        connect = CONNECTIONS[parts.scheme]
        connection = connect(parts.hostname, parts.port, timeout=CONNECT_SECONDS)
    except (ValueError, InvalidURL) as error:
        raise UserError(f"--track {tracker}: {url!r} is no address: {error}. {way_out}") from None

    # A proxy answers in its place.
    variable = f"{parts.scheme}_proxy"
    if os.environ.get(variable) or os.environ.get(variable.upper()):
        return

    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        connection.request("HEAD", "/")
        connection.getresponse()
    except ssl.SSLError:
        return  # the client may know certificates of its own
    except (OSError, HTTPException) as error:
        raise UserError(
            f"--track {tracker}: the server at {parts.scheme}://{parts.hostname}:{connection.port}"
            f" does not answer ({_reason(error)}). {way_out}"
        ) from None
    finally:
        connection.close()


def no_answer(error: BaseException) -> str | None:
    """Why a server did not answer, if that is what an error of a client comes from.

    Libraries wrap the error of the connection into several of their own, each with its own text.
    """
    for each in chain(error):
        if isinstance(each, ConnectionError | TimeoutError | socket.gaierror):
            return _reason(each)
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, HTTPException):
        return "not in HTTP"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def with_defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """Gives variables of the environment a value within the block, where they have none."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
