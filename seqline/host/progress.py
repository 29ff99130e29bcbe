"""Reports how far a stage has come. Imports nothing heavy.

    progress.begin("reading", total=num_bytes, unit="bytes")
    progress.advance(len(block))
    progress.tell("compiling the network")

A stage may call these anywhere: they change no result, and no key. A report is a record of the
logger `seqline.progress`, at a level below INFO, with a `Report` as its attribute `progress`. One
is sent every EVERY_SECONDS at most, and at once when something else begins. If no handler listens,
as in a test or a notebook, a call costs a comparison. Beam's workers advance what their driver
began if they are threads of its process; in other processes their calls do nothing.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

log = logging.getLogger("seqline.progress")

# Below INFO, so that a handler of messages does not get reports unasked.
LEVEL = 15
EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Report:
    """How far a stage has come.

    Attributes:
        what: what it does, such as "epoch 3 of 12".
        done: how much of `total` is done, in `unit`.
        total: None where it is not known.
        unit: "bytes", "rows" and so on; "" where the numbers mean nothing to a person.
        note: more, for a display that has room.
        left: seconds until the end, if the stage measured them.
    """

    what: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    note: str = ""
    left: float | None = None

    @property
    def fraction(self) -> float | None:
        """The part that is done, from 0 to 1; None where it is not known."""
        return min(1.0, self.done / self.total) if self.total else None


@dataclass
class _State:
    """The progress of this process.

    Attributes:
        now: the newest report.
        outer: the report that it is a part of, and `outer_since` when that began.
        sent: the last report that was sent, and `sent_at` when.
        num_bytes: the size of the files that are read, if `begin` said it.
        num_read: how many of these bytes were read.
        num_expected: rows that were read, see `expect`.
    """

    now: Report = Report("")
    outer: Report | None = None
    outer_since: float = 0.0
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
    """Reports what the stage does now, and how far it is; the arguments are those of `Report`."""
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_bytes = None
            _update(Report(what, done, total, unit, note, left))


def begin(
    what: str, total: float | None = None, unit: str = "", num_bytes: int | None = None
) -> None:
    """Reports that something begins; `advance` then says how much of it is done.

    Args:
        what: see `Report`.
        total: see `Report`.
        unit: see `Report`.
        num_bytes: the size of the files that are read for it, for `expect`.
    """
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_bytes, _state.num_read, _state.num_expected = num_bytes, 0, 0
            _update(Report(what, 0, total, unit))


def advance(num: float = 1) -> None:
    """Adds to what is done. Do not call it for every row: it takes half a microsecond."""
    if log.isEnabledFor(LEVEL):
        with _lock:
            _update(replace(_state.now, done=_state.now.done + num))


def expect(num: int) -> None:
    """Adds rows that were read; with the bytes that were read, they give an estimated total."""
    if log.isEnabledFor(LEVEL):
        with _lock:
            _state.num_expected += num
            if _state.num_bytes and _state.num_read:
                total = _state.num_expected * max(1.0, _state.num_bytes / _state.num_read)
                _update(replace(_state.now, total=round(total)))


def count_bytes(num: int) -> None:
    """Adds bytes that were read from the stage's files; the readers of files call it."""
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
    """Makes every report within the block a part of another one, as an epoch is of a trial."""
    with _lock:
        _state.outer = Report(what, done, total, unit, note, left)
        _state.outer_since = time.monotonic()
    try:
        yield
    finally:
        with _lock:
            _state.outer = None


def _update(report: Report) -> None:
    """Keeps a report, and sends it if it is due. Needs the lock."""
    _state.now = report
    sent, now = _state.sent, time.monotonic()
    is_new = report.what != sent.what or (report.fraction == 1 and sent.fraction != 1)
    if not is_new and now - _state.sent_at < EVERY_SECONDS:
        return

    _state.sent, _state.sent_at = report, now
    log.log(LEVEL, "%s", report.what, extra={"progress": _joined(report, _state.outer)})


def _joined(report: Report, outer: Report | None) -> Report:
    """The outer report, advanced by the inner report's part, with the inner one as its note."""
    if outer is None:
        return report

    note = ", ".join(filter(None, (outer.note, report.what)))
    left = outer.left
    if left is not None:
        left = max(0.0, left - (time.monotonic() - _state.outer_since))
    return replace(outer, done=outer.done + (report.fraction or 0.0), note=note, left=left)
