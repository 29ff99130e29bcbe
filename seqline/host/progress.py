"""How far a stage is, told to whoever looks on. Imports nothing heavy.

    progress.begin("reading", total=num_bytes, unit="bytes")
    progress.advance(len(block))
    progress.tell("compiling the network")

A stage calls these anywhere; nothing follows from them, and no key does. What is told goes through
the logger `seqline.progress`, at a level below INFO, as a `Report` in the record's attribute
`progress`: at most every EVERY_SECONDS, and at once where something else begins. Where nobody
listens, as in a test or a notebook, a call costs a comparison. Beam's workers advance what their
driver began where they are threads of its process; in other processes their calls do nothing.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

log = logging.getLogger("seqline.progress")

# Below INFO, so that what listens to messages does not get them unasked.
LEVEL = 15
EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Report:
    """How far a stage is.

    what: what it does, such as "epoch 3 of 12". done, total: of how much, in `unit`; total is None
    where it is not known. unit: "bytes", "rows" and so on, or "" where the numbers mean nothing to
    a person. note: more, for who has the room. left: seconds until the end as the stage measured
    it; None where it did not.
    """

    what: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    note: str = ""
    left: float | None = None

    @property
    def fraction(self) -> float | None:
        """The part that is done, of 1; None where that is not known."""
        return min(1.0, self.done / self.total) if self.total else None


@dataclass
class _State:
    """Of this process. num_bytes.

    Of the files that are read, None where nobody said. num_read: of these. num_expected: see
    `expect`.
    """

    now: Report = Report("")
    around: Report | None = None
    around_since: float = 0.0
    sent: Report = Report("")
    sent_at: float = 0.0
    num_bytes: int | None = None
    num_read: int = 0
    num_expected: int = 0


_state = _State()
_lock = threading.Lock()


def tell(
    what: str,
    done: float = 0,
    total: float | None = None,
    unit: str = "",
    note: str = "",
    left: float | None = None,
) -> None:
    """Tells what the stage does now, and how far it is. See `Report`."""
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_bytes = None
            _update(Report(what, done, total, unit, note, left))


def begin(
    what: str, total: float | None = None, unit: str = "", num_bytes: int | None = None
) -> None:
    """Tells that something begins of which `advance` says how much is done. num_bytes.

    Of the files that are read for it, see `expect`.
    """
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_bytes, _state.num_read, _state.num_expected = num_bytes, 0, 0
            _update(Report(what, 0, total, unit))


def advance(num: float = 1) -> None:
    """So much more is done of what began.

    Not for every row: a call takes about half a microsecond.
    """
    if log.isEnabledFor(LEVEL):
        with _lock:
            _update(replace(_state.now, done=_state.now.done + num))


def expect(num: int) -> None:
    """So many more rows were read.

    With the bytes that were read they tell how many there will be, about.
    """
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_expected += num
            if _state.num_bytes and _state.num_read:
                total = _state.num_expected * max(1.0, _state.num_bytes / _state.num_read)
                _update(replace(_state.now, total=round(total)))


def count_bytes(num: int) -> None:
    """So many more bytes of the stage's files were read; the readers of files call it."""
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_read += num
            if _state.now.unit == "bytes":
                _update(replace(_state.now, done=_state.now.done + num))


@contextmanager
def part_of(
    what: str,
    done: float,
    total: float | None,
    unit: str = "",
    note: str = "",
    left: float | None = None,
) -> Iterator[None]:
    """Within the block everything that is told is a part of one of `total` things, as an epoch is
    of a trial.
    """
    with _lock:
        _state.around, _state.around_since = (
            Report(what, done, total, unit, note, left),
            time.monotonic(),
        )
    try:
        yield
    finally:
        with _lock:
            _state.around = None


def _update(report: Report) -> None:
    """Remembers it, and sends it where that is due. Needs the lock."""
    _state.now = report
    sent, now = _state.sent, time.monotonic()
    is_new = report.what != sent.what or (report.fraction == 1 and sent.fraction != 1)
    if not is_new and now - _state.sent_at < EVERY_SECONDS:
        return
    _state.sent, _state.sent_at = report, now
    log.log(LEVEL, "%s", report.what, extra={"progress": _joined(report, _state.around)})


def _joined(report: Report, around: Report | None) -> Report:
    """A report within another one: the outer one goes on by its part, the inner one is its note."""
    if around is None:
        return report
    note = ", ".join(filter(None, (around.note, report.what)))
    left = (
        None
        if around.left is None
        else max(0.0, around.left - (time.monotonic() - _state.around_since))
    )
    return replace(around, done=around.done + (report.fraction or 0.0), note=note, left=left)
