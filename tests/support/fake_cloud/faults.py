"""Faults of the fake cloud, on request."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Fault:
    """A fault that some of the matching requests meet.

    Attributes:
        request: a regular expression for "METHOD path"; "WORK <job's name>" is the moment before
            workers start.
        status: what a request gets instead of an answer; 0 for its answer.
        seconds: how much longer a request takes.
        action: called for each request that meets the fault.
        after: how many matching requests pass first.
        times: how many requests then meet the fault.
        met: how many have met it.
    """

    request: str
    status: int = 0
    seconds: float = 0.0
    action: Callable[[], None] | None = None
    after: int = 0
    times: int = 1
    met: int = 0


@dataclass
class Faults:
    """The faults of one cloud."""

    requests: list[Fault] = field(default_factory=list)
    retry_bundles: bool = False  # workers do every bundle twice, and the first result is lost
    counting: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: str, **fault: object) -> Fault:
        """Adds a fault and returns it, so that a test can see whether it was met."""
        self.requests.append(Fault(request, **fault))  # type: ignore[arg-type]
        return self.requests[-1]

    def of(self, method: str, path: str) -> int:
        """The status that a request gets; 0 for an answer. Waits and acts as the faults say."""
        status = 0
        for fault in self.requests:
            if re.search(fault.request, f"{method} {path}"):
                with self.counting:
                    fault.after -= 1
                    meets = -fault.times <= fault.after < 0
                    fault.met += meets

                if meets:
                    time.sleep(fault.seconds)
                    if fault.action:
                        fault.action()
                    status = fault.status or status
        return status
