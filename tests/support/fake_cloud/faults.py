"""What goes wrong in the fake cloud, on request."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What happens to requests whose "METHOD path" matches a regular expression.

    "WORK <job's name>" is the moment before workers start.

    The first `after` of them pass, the next `times` meet the fault: they take `seconds` longer,
    `action` is called, and they get `status` instead of an answer (0: they are answered, after
    all). met: how many did.
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
    """The faults of one cloud. retry_bundles.

    Workers do every bundle twice; what the first time gave is lost.
    """

    requests: list[Fault] = field(default_factory=list)
    retry_bundles: bool = False
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
