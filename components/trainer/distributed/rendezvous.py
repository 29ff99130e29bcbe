"""How the workers meet before TensorFlow waits for them.

TensorFlow's own wait can be neither interrupted nor limited. So every worker calls the chief, at
the address where TensorFlow's server will listen a moment later, and the chief answers when all
have called.

    worker -> chief    {"number": 1, "must_match": {...}}
    chief -> worker    {"decision": {"step": 50}}, or {"error": "worker 1 does not train the same"}
"""

import contextlib
import logging
import socket
import time
from collections.abc import Callable

from components.trainer.distributed.cluster import Cluster
from components.trainer.distributed.links import BEAT_SECONDS, Link, Links, Message
from seqline.errors import UserError

log = logging.getLogger("seqline.trainer")

# How often a worker that waits says so, and how often it checks whether to stop.
SAY_SECONDS = 30.0
CHECK_SECONDS = 0.5


def meet(
    cluster: Cluster,
    must_match: Message,
    decision: Message,
    limit: float,
    check_stop: Callable[[], None] = lambda: None,
) -> tuple[Links, Message]:
    """Waits for all workers.

    Args:
        must_match: what has to be the same on all of them.
        decision: the chief's; the others' are ignored.
        limit: seconds to wait.
        check_stop: called twice a second while waiting; may raise.

    Returns:
        (the open connections, the chief's decision).

    Raises:
        UserError: a worker does not come in time, or comes with another `must_match`.
    """
    deadline = time.monotonic() + limit
    if cluster.is_chief:
        links = _receive_all(cluster, must_match, deadline, limit, check_stop)
        for link in links.values():
            with contextlib.suppress(OSError):
                link.send({"decision": decision})
        return Links(cluster, links), decision

    link, message = _call_the_chief(cluster, must_match, deadline, limit, check_stop)
    return Links(cluster, {0: link}), message["decision"]


def _receive_all(
    cluster: Cluster,
    must_match: Message,
    deadline: float,
    limit: float,
    check_stop: Callable[[], None],
) -> dict[int, Link]:
    links: dict[int, Link] = {}
    said = time.monotonic()
    with _listening(cluster) as server:
        while missing := [number for number in cluster.others if number not in links]:
            check_stop()
            names = ", ".join(cluster.name(number) for number in missing)
            if time.monotonic() > deadline:
                raise UserError(
                    f"{names} did not come within {limit:.0f} s. Start the same command on every"
                    " worker of TF_CONFIG, or set trainer.worker_wait_seconds."
                )

            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                log.warning("waiting for %s", names)

            for number, link in list(links.items()):
                if _has_left(link):  # It may come again.
                    del links[number]

            with contextlib.suppress(TimeoutError):
                connection, _ = server.accept()
                _receive_one(cluster, must_match, Link(connection), links)

    return links


def _listening(cluster: Cluster) -> socket.socket:
    port = cluster.address(0)[1]
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        server = socket.create_server(
            ("", port), family=family, dualstack_ipv6=family == socket.AF_INET6
        )
    except OSError as error:
        raise UserError(
            f"Port {port} of {cluster.name(0)} cannot be used: {error.strerror}. Name a free one in"
            " TF_CONFIG, on all workers."
        ) from None

    server.settimeout(CHECK_SECONDS)
    return server


def _has_left(link: Link) -> bool:
    link.connection.settimeout(0)
    try:
        return link.connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _receive_one(cluster: Cluster, must_match: Message, link: Link, links: dict[int, Link]) -> None:
    try:
        message = link.receive(BEAT_SECONDS)
    except OSError:  # It is not a worker.
        link.close()
        return

    number, theirs = message.get("number"), message.get("must_match")
    if number not in cluster.others or not isinstance(theirs, dict):
        link.close()
        return

    differing = [name for name in must_match if theirs.get(name) != must_match[name]]
    if differing:
        values = "; ".join(
            f"{name} {theirs.get(name)!r} there, {must_match[name]!r} here" for name in differing
        )
        error = (
            f"{cluster.name(number)} does not train the same as {cluster.name(0)}: {values}."
            " Run the same command, version and data on all."
        )
        for refused in (link, *links.values()):
            with contextlib.suppress(OSError):
                refused.send({"error": error})
            refused.close()
        raise UserError(error)

    links[number] = link


def _call_the_chief(
    cluster: Cluster,
    must_match: Message,
    deadline: float,
    limit: float,
    check_stop: Callable[[], None],
) -> tuple[Link, Message]:
    said = time.monotonic()
    while True:
        try:
            link = Link(socket.create_connection(cluster.address(0), timeout=BEAT_SECONDS))
            try:
                link.send({"number": cluster.number, "must_match": must_match})
                return link, _answer(link, deadline, check_stop)
            except BaseException:
                link.close()
                raise
        except OSError:
            time.sleep(CHECK_SECONDS)  # The chief has not started yet, or has ended.

        check_stop()
        if time.monotonic() > deadline:
            raise UserError(
                f"{cluster.name(0)} did not answer within {limit:.0f} s. Start the same command on"
                " every worker of TF_CONFIG, or set trainer.worker_wait_seconds."
            )

        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            log.warning("waiting for %s", cluster.name(0))


def _answer(link: Link, deadline: float, check_stop: Callable[[], None]) -> Message:
    while time.monotonic() < deadline:
        check_stop()
        link.connection.settimeout(CHECK_SECONDS)
        try:
            if link.connection.recv(1, socket.MSG_PEEK) == b"":
                raise ConnectionError("closed")
        except TimeoutError:
            continue

        message = link.receive(BEAT_SECONDS)
        if "error" in message:
            raise UserError(message["error"])
        if "decision" not in message:
            raise ConnectionError("not one of ours")
        return message
    raise ConnectionError("no answer")
