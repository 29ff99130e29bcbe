"""Progress reports are few, and cost nothing where no handler listens."""

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqline.host import progress
from seqline.host.progress import Report
from seqline.storage import files


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(progress.LEVEL)
        self.reports: list[Report] = []

    def emit(self, record: logging.LogRecord) -> None:
        # What progress adds to its records
        self.reports.append(record.progress)  # type: ignore[attr-defined]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Report]]:
    """The reports from now on, with the clock of the rate limit stopped."""
    monkeypatch.setattr(progress, "_state", progress._State())
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1000.0)
    listener = Listener()
    progress.log.addHandler(listener)
    progress.log.setLevel(progress.LEVEL)
    yield listener.reports
    progress.log.removeHandler(listener)
    progress.log.setLevel(logging.NOTSET)


def test_what_is_new_is_told_at_once_and_more_of_it_now_and_then(
    told: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress.begin("reading", 1000, "rows")
    for _ in range(500):
        progress.advance()
    assert told == [Report("reading", 0, 1000, "rows")]
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1000.0 + progress.EVERY_SECONDS)
    progress.advance()
    assert told[1:] == [Report("reading", 501, 1000, "rows")]
    progress.tell("writing")
    assert told[2:] == [Report("writing")]


def test_the_end_is_told_at_once_and_once(told: list[Report]) -> None:
    progress.begin("reading", 2, "shards")
    for _ in range(4):
        progress.advance()
    assert [report.done for report in told] == [0, 2]


def test_nobody_listens_in_a_test_or_a_notebook(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = progress._State()
    monkeypatch.setattr(progress, "_state", state)
    with caplog.at_level(logging.INFO, "seqline"):
        progress.begin("reading", 10)
        progress.advance()
        progress.expect(3)
        progress.count_bytes(3)
        progress.tell("writing")
    assert caplog.records == []
    assert state == progress._State()


def test_an_epoch_is_a_part_of_its_trial(told: list[Report]) -> None:
    with progress.part_of("trial 3 of 20", 2, 20, note="best so far 0.912", left=90):
        progress.tell("epoch 4 of 12", 3, 12, left=7)
    progress.tell("writing")
    assert told == [
        Report("trial 3 of 20", 2.25, 20, note="best so far 0.912, epoch 4 of 12", left=90),
        Report("writing"),
    ]


def test_rows_to_come_follow_from_the_bytes_that_were_read(told: list[Report]) -> None:
    progress.begin("predicting", unit="rows", num_bytes=1000)
    progress.count_bytes(100)
    progress.expect(20)
    assert progress._state.now == Report("predicting", 0, 200, "rows")
    progress.count_bytes(400)
    progress.expect(60)
    assert progress._state.now == Report("predicting", 0, 160, "rows")


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_readers_count_the_bytes_of_a_file_as_it_lies_there(
    name: str, told: list[Report], tmp_path: Path
) -> None:
    path = tmp_path / name
    content = b"text,label\n" + b"a,b\n" * 50_000
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    size = path.stat().st_size
    progress.begin("reading", size, "bytes")
    with files.open_content(str(path)) as file:
        assert file.read() == content
    assert progress._state.now == Report("reading", size, size, "bytes")
    assert told[-1].fraction == 1
