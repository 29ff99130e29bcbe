"""How the workers find each other, before TensorFlow could wait for them.

Its own wait can be neither interrupted nor limited.

Every worker calls the chief, at the address where TensorFlow's server will be a moment later. The
chief answers when all are there.
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

# How often one that waits says so, and how often it looks whether it shall stop.
SAY_SECONDS = 30.0
LOOK_SECONDS = 0.5


def meet(
    cluster: Cluster,
    card: Message,
    decision: Message,
    limit: float,
    look: Callable[[], None] = lambda: None,
) -> tuple[Links, Message]:
    """Waits for all workers -> (the open connections, the chief's decision).

    card: what has to be the same on all of them. decision: the chief's; the others' are ignored.
    look: called twice a second while waiting; may raise. Raises UserError when somebody does not
    come within `limit` seconds, or comes with another card.
    """
    deadline = time.monotonic() + limit
    if cluster.is_chief:
        links = _receive_all(cluster, card, deadline, limit, look)
        for link in links.values():
            with contextlib.suppress(OSError):
                link.send({"decision": decision})
        return Links(cluster, links), decision
    link, message = _call_the_chief(cluster, card, deadline, limit, look)
    return Links(cluster, {0: link}), message["decision"]


def _receive_all(
    cluster: Cluster, card: Message, deadline: float, limit: float, look: Callable[[], None]
) -> dict[int, Link]:
    links: dict[int, Link] = {}
    said = time.monotonic()
    with _listening(cluster) as server:
        while missing := [number for number in cluster.others if number not in links]:
            look()
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
                if _has_left(link):  # and may come again
                    del links[number]
            with contextlib.suppress(TimeoutError):
                connection, _ = server.accept()
                _receive_one(cluster, card, Link(connection), links)
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
    server.settimeout(LOOK_SECONDS)
    return server


def _has_left(link: Link) -> bool:
    link.connection.settimeout(0)
    try:
        return link.connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _receive_one(cluster: Cluster, card: Message, link: Link, links: dict[int, Link]) -> None:
    try:
        message = link.receive(BEAT_SECONDS)
    except OSError:  # not a worker
        link.close()
        return
    number, theirs = message.get("number"), message.get("card")
    if number not in cluster.others or not isinstance(theirs, dict):
        link.close()
        return
    if differing := [name for name in card if theirs.get(name) != card[name]]:
        what = "; ".join(
            f"{name} {theirs.get(name)!r} there, {card[name]!r} here" for name in differing
        )
        error = (
            f"{cluster.name(number)} does not train the same as {cluster.name(0)}: {what}. Run the"
            " same command, version and data on all."
        )
        for each in (link, *links.values()):
            with contextlib.suppress(OSError):
                each.send({"error": error})
            each.close()
        raise UserError(error)
    links[number] = link


def _call_the_chief(
    cluster: Cluster, card: Message, deadline: float, limit: float, look: Callable[[], None]
) -> tuple[Link, Message]:
    said = time.monotonic()
    while True:
        try:
            link = Link(socket.create_connection(cluster.address(0), timeout=BEAT_SECONDS))
            try:
                link.send({"number": cluster.number, "card": card})
                return link, _answer(link, deadline, look)
            except BaseException:
                link.close()
                raise
        except OSError:
            time.sleep(LOOK_SECONDS)  # it is not there yet, or not any more
        look()
        if time.monotonic() > deadline:
            raise UserError(
                f"{cluster.name(0)} did not answer within {limit:.0f} s. Start the same command on"
                " every worker of TF_CONFIG, or set trainer.worker_wait_seconds."
            )
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            log.warning("waiting for %s", cluster.name(0))


def _answer(link: Link, deadline: float, look: Callable[[], None]) -> Message:
    while time.monotonic() < deadline:
        look()
        link.connection.settimeout(LOOK_SECONDS)
        try:
            if link.connection.recv(1, socket.MSG_PEEK) == b"":
                raise ConnectionError("closed")
        except TimeoutError:
            continue
        message = link.receive(BEAT_SECONDS)
        if "error" in message:
            raise UserError(str(message["error"]))
        return message
    raise ConnectionError("no answer")
