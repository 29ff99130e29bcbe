"""Whether a tracker's server can be reached, found out in seconds."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from seqline.errors import UserError

CONNECT_SECONDS = 5.0
PORTS = {"http": 80, "https": 443}


def check_server(tracker: str, url: str, way_out: str) -> None:
    """Connects to a server once, without the retries of a client. Other kinds of URLs are passed.

    Args:
        tracker: The tracker's name, for the error.
        url: The server's address.
        way_out: A sentence for the error.

    Raises:
        UserError: It does not answer.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError as error:
        raise UserError(f"--track {tracker}: {url!r} is no address: {error}. {way_out}") from None
    if parts.scheme not in PORTS or not parts.hostname or port is None:
        return

    # A proxy answers in its place.
    variable = f"{parts.scheme}_proxy"
    if os.environ.get(variable) or os.environ.get(variable.upper()):
        return

    try:
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise UserError(
            f"--track {tracker}: the server at {parts.scheme}://{parts.hostname}:{port} does not"
            f" answer ({reason}). {way_out}"
        ) from None


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
