"""Calls trackers while a run goes on, and keeps their errors away from it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from pipeline.report import HTML
from pipeline.report.records import folder_of, read
from pipeline.runner.plan import Stage
from pipeline.runner.run import Options, StageResult
from pipeline.trackers import EndedRun, TrackedRun, Tracker
from pipeline.trackers.reach import no_answer
from seqline.errors import UserError

ERROR_WIDTH = 300  # characters of a library's error that are shown


def print_warning(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


@contextmanager
def following(
    trackers: Sequence[Tracker],
    run: TrackedRun,
    options: Options,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = print_warning,
) -> Iterator[None]:
    """Tells trackers of the run that is executed and reported within the block.

    Args:
        trackers: The trackers, see `pipeline.trackers.open_trackers`.
        run: The run.
        options: How it runs. The trackers are called after its callbacks.
        say: Gets, at the end, the name of each tracker and where the run can be seen there.
        warn: Gets a sentence about a tracker that fails.

    Raises:
        UserError: A tracker refused the run before its first stage.
    """
    if not trackers:
        yield
        return

    calls = Calls(trackers, warn)
    calls.start(run)
    options.on_start = _both(options.on_start, calls.stage_started)
    options.on_done = _both(options.on_done, calls.stage_ended)
    try:
        yield
    finally:
        calls.end(run, say)


def _both(first: Callable[[Any], None], second: Callable[[Any], None]) -> Callable[[Any], None]:
    def call(value: Any) -> None:
        first(value)
        second(value)

    return call


class Calls:
    """Calls to trackers that do not raise.

    A tracker that failed is not called again until the end of the run: its server may take a while
    to fail each time. At the end it gets one more chance, because it reads everything from the
    records.

    The calls are made in a thread of their own: a signal ends what the main thread does, at any
    place, and a library that it interrupts may never end its run.

    Attributes:
        thread: Makes the calls, one after the other.
        lost: The trackers that failed.
        started: The names of the stages that have started.
    """

    def __init__(self, trackers: Sequence[Tracker], warn: Callable[[str], None]) -> None:
        self.trackers, self.warn = trackers, warn
        self.thread = ThreadPoolExecutor(1, "trackers")
        self.lost: list[Tracker] = []
        self.started: set[str] = set()

    def start(self, run: TrackedRun) -> None:
        """Tells the trackers that a run begins. Raises UserError: nothing is lost yet."""
        for tracker in self.trackers:
            try:
                self.thread.submit(tracker.start, run).result()
            except UserError:
                raise
            except Exception as error:
                raise UserError(
                    f"--track {tracker.name}: the run could not be begun there: {first_line(error)}"
                ) from error

    def stage_started(self, stage: Stage) -> None:
        # The preparation of a data set starts a stage, too.
        if stage.name not in self.started:
            self.started.add(stage.name)
            for tracker in self._reachable():
                self._call(tracker, tracker.stage_started, stage.name)

    def stage_ended(self, result: StageResult) -> None:
        for tracker in self._reachable():
            self._call(tracker, tracker.stage_ended, result)

    def end(self, run: TrackedRun, say: Callable[[str], None]) -> None:
        """Tells the trackers that the run has ended, with what it recorded."""
        try:
            ended = EndedRun(read(run.store, run.name), _report(run))
        except UserError as error:  # its end is worth more than what is told of it
            self.warn(f"the end of the run is not tracked: {first_line(error)}")
            return
        for tracker in self.trackers:
            if place := self._call(tracker, tracker.end, ended):
                say(f"{tracker.name} {place}")

    def _reachable(self) -> list[Tracker]:
        return [tracker for tracker in self.trackers if tracker not in self.lost]

    def _call(self, tracker: Tracker, method: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return self.thread.submit(method, argument).result()
        except Exception as error:
            if tracker not in self.lost:
                self.lost.append(tracker)
                self.warn(
                    f"--track {tracker.name} failed, and the run goes on without it:"
                    f" {first_line(error)}"
                )
        return None


def _report(run: TrackedRun) -> Any:
    page = folder_of(run.store, run.name) / HTML
    return page if page.is_file() else None


def first_line(error: BaseException) -> str:
    """An error in one line: libraries write several."""
    if reason := no_answer(error):
        return f"its server does not answer ({reason})"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= ERROR_WIDTH else f"{text[:ERROR_WIDTH]}..."
