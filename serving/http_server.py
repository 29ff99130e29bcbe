"""The HTTP server: uvicorn with the strict protocol, limits and access of the flags."""

import argparse
import asyncio
import contextlib
from functools import partial
from typing import Any

import uvicorn

from serving.access import SECURITY_HEADERS, Access, Guard
from serving.connections import (
    ACCEPTED_AT_ONCE,
    Connections,
    Deadlines,
    most_connections,
    raise_descriptor_limit,
)
from serving.protocol import StrictProtocol


def make_server(
    flags: argparse.Namespace, app: Any, access: Access
) -> tuple[uvicorn.Server, Connections]:
    """A server that has not started yet, and its connections, which somebody has to sweep.

    Args:
        flags: Limits and time-outs.
        app: The ASGI application behind it.
        access: Who may ask.
    """
    deadlines = Deadlines(
        flags.header_timeout_seconds, flags.idle_timeout_seconds, flags.min_bytes_per_second
    )
    most = most_connections(raise_descriptor_limit(), flags.max_connections)
    connections = Connections(most, deadlines)

    tls = access.tls
    settings = uvicorn.Config(
        Guard(app, access, flags.rest_api_timeout_in_ms / 1000 or None, flags.access_log),
        # A function that makes one is all that uvicorn needs; its type asks for a class.
        http=partial(StrictProtocol, connections=connections),  # type: ignore[arg-type]
        headers=SECURITY_HEADERS,
        ssl_context_factory=(lambda *_: tls.context()) if tls else None,
        backlog=ACCEPTED_AT_ONCE,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=flags.shutdown_timeout_seconds,
        ws="none",
    )
    server = uvicorn.Server(settings)

    # uvicorn's own handlers would raise the signal again after an orderly stop, and it
    # has no setting for that: the method is replaced.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

    asyncio.get_running_loop().set_exception_handler(connections.on_loop_error)
    return server, connections
