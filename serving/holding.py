"""Bytes that requests in flight hold: bodies, what was read, and answers."""

import threading

from serving.errors import RefusedError

# A request that holds more is long.
LIGHT_BYTES = 64 << 10
# The part of max_total_bytes that long requests may take, so that short ones find room.
LONG_SHARE = 0.75


class Total:
    """Bytes of all requests in flight."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.num_bytes = 0
        self.lock = threading.Lock()


class Held:
    """Bytes of one request, which count in the total until it is answered. For any thread."""

    def __init__(self, total: Total) -> None:
        self.total = total
        self.num_bytes = 0
        self.is_released = False

    def add(self, num_bytes: int) -> None:
        """Counts bytes before they are held.

        Raises:
            RefusedError: All requests in flight hold too many, or this one is over (503).
        """
        with self.total.lock:
            if self.is_released:  # Its client went away while a thread worked for it.
                raise RefusedError("The request is over.", status=503)
            is_long = self.num_bytes + num_bytes > LIGHT_BYTES
            most = self.total.most * (LONG_SHARE if is_long else 1)
            if self.total.num_bytes + num_bytes > most:
                raise RefusedError(
                    "Too many bytes of requests are waiting already. Try again.",
                    status=503,
                    retry_after=1,
                )
            self.total.num_bytes += num_bytes
            self.num_bytes += num_bytes

    def release(self) -> None:
        with self.total.lock:
            self.total.num_bytes -= self.num_bytes
            self.num_bytes = 0
            self.is_released = True
