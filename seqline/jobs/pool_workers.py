"""The processes in which a worker pool on this machine runs a job's workers. Linux only.

Beam's own job service does not notice that a worker was killed, and does not end those of a job
that is cancelled: here both can be seen. A pool elsewhere is not looked at.
"""

import os
import re
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROCESSES = Path("/proc")
# How a pool starts a worker: its own Python, or the executable of a container.
COMMAND = re.compile(
    r"SdkHarness\(\"(?P<address>[^\"]+)\",worker_id=\"(?P<name>[^\"]*)\""
    r"|--id=(?P<id>[^\0]*)\0.*--control_endpoint=(?P<endpoint>[^\0]+)",
    re.DOTALL,
)
# An engine that ends a worker closes the worker's address, too, or fails the job by itself. Both
# take less.
LOST_SECONDS = 6.0
END_SECONDS = 4.0
KILL_SECONDS = 3.0


@dataclass(frozen=True)
class Worker:
    pid: int
    address: str  # where the engine listens for it
    name: str


@dataclass
class PoolWorkers:
    """The workers of a job that is submitted after this was made.

    Attributes:
        before: the workers that ran already, of other jobs.
        seen: the job's workers, those that have ended included.
        gone_since: when a worker was first missed.
    """

    before: set[Worker] = field(default_factory=lambda: workers_here())
    seen: set[Worker] = field(default_factory=set)
    gone_since: float | None = None

    def alive(self, job: str) -> set[Worker]:
        """The job's workers that run now.

        A worker's name holds the job's id on some engines. On the others all workers of a job have
        one address, and the first new one tells it.
        """
        running = workers_here()
        new = sorted(running - self.before, key=lambda worker: worker.pid)
        named = {worker for worker in new if job in worker.name}
        if named:
            self.seen |= named
        elif new and not any(job in worker.name for worker in self.seen):
            address = next(iter(self.seen), new[0]).address
            self.seen |= {worker for worker in new if worker.address == address}
        return self.seen & running

    def is_one_lost(self, job: str) -> bool:
        """Whether a worker has ended and its engine still waits for it."""
        alive = self.alive(job)
        if not any(_is_listening(worker.address) for worker in self.seen - alive):
            self.gone_since = None
            return False

        self.gone_since = self.gone_since or time.monotonic()
        return time.monotonic() > self.gone_since + LOST_SECONDS

    def end(self, job: str) -> None:
        """Waits for the workers of a job that was cancelled, and ends those that do not end."""
        deadline = time.monotonic() + END_SECONDS
        while (left := self.alive(job)) and time.monotonic() < deadline:
            time.sleep(0.1)

        for number in (signal.SIGTERM, signal.SIGKILL):
            for worker in left:
                with suppress(OSError):
                    os.kill(worker.pid, number)
            deadline = time.monotonic() + KILL_SECONDS
            while (left := self.alive(job)) and time.monotonic() < deadline:
                time.sleep(0.1)


def workers_here() -> set[Worker]:
    """The workers of all pools of this machine."""
    found = set()
    for path in PROCESSES.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile, or is another user's
            match = COMMAND.search(path.read_text(errors="replace"))
            if match:
                address = match["address"] or match["endpoint"]
                found.add(Worker(int(path.parent.name), address, match["name"] or match["id"]))
    return found


def _is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1.0).close()
    except (OSError, ValueError):
        return False
    return True
