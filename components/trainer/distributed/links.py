"""The connections between the workers, by which each notices that another is gone.

TensorFlow's collectives wait for minutes on a machine that vanished. So every worker keeps a
connection to the chief open, and each side sends a beat every few seconds.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from components.trainer.distributed.cluster import Cluster
from seqline.errors import UserError
from seqline.storage import records
from seqline.storage.records import Count

log = logging.getLogger("seqline.trainer")

# How often a side sends a beat, and how long it may be silent.
BEAT_SECONDS = 5.0
SILENCE_SECONDS = 40.0
# How long TensorFlow may take to give up after a loss, before the process is ended from outside.
GIVE_UP_SECONDS = 20.0

Message = dict[str, Any]


@with_config(ConfigDict(extra="forbid"))
class MessageFields(TypedDict, total=False):
    """The fields that a message may have."""

    number: Count
    must_match: dict[str, Any]
    decision: "Decision"
    error: str
    lost: Count
    bye: bool


@with_config(ConfigDict(extra="forbid"))
class Decision(TypedDict):
    """What the chief decides: the step to go on from, None to begin."""

    step: Count | None


class Link:
    """A connection to another worker that carries JSON objects, one a line."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file = connection.makefile("rb")
        self.sending = threading.Lock()

    def send(self, message: Message) -> None:
        with self.sending:
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout: float) -> Message:
        """Waits for a message. Raises OSError if the other side is gone or silent for too long."""
        self.connection.settimeout(timeout)
        line = self.file.readline(1 << 16)
        if not line.endswith(b"\n"):
            raise ConnectionError("closed")

        try:
            message = records.parse_object(line, "the message", "")
            records.parse(MessageFields, message, "the message", "")
        except UserError:
            raise ConnectionError("not one of ours") from None
        return message

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.file.close()
        self.connection.close()


class Links:
    """The open connections: of the chief to every worker, of a worker to the chief.

    Attributes:
        gone: number -> "was lost" or "ended", of every other worker that is known to be gone.
        on_lost: called once, in another thread, when a worker is lost.
    """

    def __init__(self, cluster: Cluster, links: Mapping[int, Link]) -> None:
        self.cluster = cluster
        self.links = dict(links)
        self.gone: dict[int, str] = {}
        self.on_lost: Callable[[], None] = lambda: None
        self.changed = threading.Condition()
        self.closing = False
        for number in self.links:
            threading.Thread(target=self._listen, args=(number,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _tell(self, message: Message) -> None:
        for link in self.links.values():
            # The thread that listens to a worker notices that it is gone.
            with contextlib.suppress(OSError):
                link.send(message)

    def _beat(self) -> None:
        while not self.closing:
            self._tell({})
            time.sleep(BEAT_SECONDS)

    def _listen(self, number: int) -> None:
        while True:
            try:
                message = self.links[number].receive(SILENCE_SECONDS)
            except (OSError, ValueError):  # ValueError: this side closed the file.
                self._note(number, "was lost")
                return

            if "lost" in message:
                self._note(message["lost"], "was lost")
            if message.get("bye"):
                self._note(number, "ended")
                return

    def _note(self, number: int, how: str) -> None:
        with self.changed:
            if self.closing or number in self.gone or number == self.cluster.number:
                return
            is_first = "was lost" not in self.gone.values()
            self.gone[number] = how
            self.changed.notify_all()

        if how == "was lost" and is_first:
            self._tell({"lost": number})
            threading.Thread(target=self._end, args=(number,), daemon=True).start()
            self.on_lost()

    def _end(self, number: int) -> None:
        """Ends a process that hangs in TensorFlow; nothing else can."""
        time.sleep(GIVE_UP_SECONDS)
        if not self.closing:
            log.error(
                "%s was lost, and TensorFlow does not give up: ending the process",
                self.cluster.name(number),
            )
            time.sleep(1)  # The line has to be written first.
            os._exit(1)

    def who_is_gone(self, timeout: float) -> dict[int, str]:
        """Waits until a worker is gone, for `timeout` seconds at most; returns `gone`."""
        with self.changed:
            self.changed.wait_for(lambda: self.gone, timeout)
            return dict(self.gone)

    def close(self, is_orderly: bool) -> None:
        """Closes the connections.

        Args:
            is_orderly: tells the others that this worker ended, so that it is not lost to them.
        """
        self.closing = True
        if is_orderly:
            self._tell({"bye": True})
        for link in self.links.values():
            link.close()
