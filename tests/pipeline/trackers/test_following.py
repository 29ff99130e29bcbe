"""Trackers are told of every stage, and cannot harm a run."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.report import report_run
from pipeline.runner.execute import execute
from pipeline.runner.run import Options
from pipeline.store.folder import Store
from pipeline.trackers import EndedRun, TrackedRun
from pipeline.trackers.following import first_line, following
from seqline.errors import UserError
from tests.support.small_stages import NumberParams, chain


class Notebook:
    """A tracker that notes what it is told, and fails where it is asked to."""

    name = "notebook"

    def __init__(self, fails_at: str = "", error: type[Exception] = OSError) -> None:
        self.fails_at, self.error = fails_at, error
        self.lines: list[str] = []

    def start(self, run: TrackedRun) -> None:
        self._note("start", f"{run.model} {' '.join(run.command)}")

    def stage_started(self, stage: str) -> None:
        self._note("started", stage)

    def stage_ended(self, result: Any) -> None:
        self._note("ended", f"{result.stage.name}{' cached' if result.cached else ''}")

    def end(self, ended: EndedRun) -> str:
        stages = [stage.component for stage in ended.records.record.stages]
        self._note(
            "end", f"{ended.records.record.verdict} {len(stages)} {ended.report is not None}"
        )
        return "page 1"

    def _note(self, what: str, more: str) -> None:
        self.lines.append(f"{what} {more}")
        if what == self.fails_at:
            raise self.error("the server\nis gone")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_text("1")
    return path


def follow(
    store: Store, data: Path, *trackers: Notebook, behaviour: str = "add"
) -> tuple[list[str], list[str]]:
    """Runs three small stages: (what was said, the warnings). Raises what the run raises."""
    said: list[str] = []
    warned: list[str] = []
    pipe = chain(data, second=NumberParams(behaviour=behaviour))
    pipe.name = "sums"
    folder, options = store.start_run(), Options()
    tracked = TrackedRun(folder, pipe, store, {"name": "sums"}, ["seqline", "run"])
    with following(trackers, tracked, options, said.append, warned.append):
        try:
            execute(pipe, store, folder, options)
        finally:
            report_run(store, folder, print)
    return said, warned


def test_a_run_is_told_stage_by_stage(store: Store, data: Path) -> None:
    notebook = Notebook()
    assert follow(store, data, notebook) == (["notebook page 1"], [])
    assert notebook.lines == [
        "start sums seqline run",
        *("started source", "ended source"),
        *("started first", "ended first"),
        *("started second", "ended second"),
        "end finished 3 True",
    ]


def test_cached_stages_are_told_of(store: Store, data: Path) -> None:
    follow(store, data)
    notebook = Notebook()
    follow(store, data, notebook)
    assert notebook.lines[1:4] == [
        "ended source cached",
        "ended first cached",
        "ended second cached",
    ]


def test_a_failed_run_is_told_of(store: Store, data: Path) -> None:
    notebook = Notebook()
    with pytest.raises(UserError, match="row 3 is bad"):
        follow(store, data, notebook, behaviour="user error")
    assert notebook.lines[-2:] == ["started second", "end failed 2 True"]


def test_a_tracker_that_fails_is_left_alone_until_the_end(store: Store, data: Path) -> None:
    broken, whole = Notebook("ended"), Notebook()
    said, warned = follow(store, data, broken, whole)
    assert warned == ["--track notebook failed, and the run goes on without it: the server is gone"]
    assert broken.lines == [
        *("start sums seqline run", "started source", "ended source"),
        "end finished 3 True",
    ]
    assert len(whole.lines) == 8
    assert said == ["notebook page 1", "notebook page 1"]


def test_a_tracker_that_fails_at_the_end_is_one_warning(store: Store, data: Path) -> None:
    said, warned = follow(store, data, Notebook("end"))
    assert said == []
    assert len(warned) == 1


def test_an_error_of_the_run_is_not_hidden_by_a_tracker(store: Store, data: Path) -> None:
    with pytest.raises(UserError, match="row 3 is bad"):
        follow(store, data, Notebook("end"), behaviour="user error")


def test_a_tracker_that_cannot_begin_ends_the_run_before_its_first_stage(
    store: Store, data: Path
) -> None:
    with pytest.raises(UserError) as raised:
        follow(store, data, Notebook("start"))
    assert str(raised.value) == (
        "--track notebook: the run could not be begun there: the server is gone"
    )
    assert store.runs() == []


def test_a_tracker_changes_no_artifact_and_no_key(tmp_path: Path, data: Path) -> None:
    found = []
    for name, tracker in (("with", [Notebook()]), ("without", [])):
        store = Store(tmp_path / name)
        follow(store, data, *tracker)
        found.append(
            {
                path.relative_to(store.root).as_posix(): path.read_bytes()
                for path in store.root.glob("*/*/value")
            }
        )
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_a_long_error_is_one_short_line() -> None:
    assert first_line(ValueError("two\n  lines")) == "two lines"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 1000))) == 303
