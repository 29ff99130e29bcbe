"""The progress of a run: lines redrawn in place on a terminal, a line now and then elsewhere.

On a terminal the lines of finished stages scroll. Under them are the running stages (bar, percent,
and time left if it can be known) and "stage n of m". Elsewhere, in a pipe, in CI or on a dumb
terminal, a line is printed when a stage starts, and one every LINE_SECONDS while it runs.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pipeline.cli.terminal import NARROW, print_hanging, print_line, writes_in_place
from pipeline.report.advice import better_baselines
from pipeline.report.units import about, clock, duration
from seqline.host.progress import LEVEL, Report

if TYPE_CHECKING:
    from pipeline.runner.plan import Stage
    from pipeline.runner.run import StageResult

# Seconds between two lines of a running stage where lines cannot be written in place.
LINE_SECONDS = 15.0
# How often a terminal is redrawn, per second.
REFRESH = 4
# Columns of a stage's name and of its time, and where its text begins.
NAME, TOOK = 17, 7
INDENT = NAME + 1 + TOOK + 2
BAR, LEAST_BAR = 24, 8
# An estimate from a shorter time, or from a smaller part, is not worth showing.
LEAST_SECONDS, LEAST_PART = 3.0, 0.05
# Their warnings are printed at the end of a run: see `pipeline.cli.console.print_warnings`.
TOLD_AT_THE_END = ("seqline.example_gen", "seqline.example_validator")

# Until a stage reports anything.
LOADING = Report("loading libraries")


@dataclass
class Running:
    """A stage that is running.

    Attributes:
        name: the stage's name.
        started: when it started, by the monotonic clock.
        report: its last report.
        since: when the last report came.
        first: when the first report with this `what` came, and its fraction.
        has_reported: whether any report has come.
        last_line: when its last line was printed.
    """

    name: str
    started: float = field(default_factory=time.monotonic)
    report: Report = LOADING
    since: float = 0.0
    first: tuple[float, float] = (0.0, 0.0)
    has_reported: bool = False
    last_line: float = field(default_factory=time.monotonic)

    def tell(self, report: Report) -> None:
        """Takes a new report."""
        now = time.monotonic()
        if not self.has_reported or report.what != self.report.what:
            self.first = (now, report.fraction or 0.0)
        self.report, self.since, self.has_reported = report, now, True

    def say(self, message: str) -> None:
        """Takes a message in place of a report, from a stage that has never reported."""
        if not self.has_reported:
            self.report = Report(message)

    def left(self) -> float | None:
        """Seconds until its end, as it reports them or at the speed so far; None if unknown."""
        now, fraction = time.monotonic(), self.report.fraction
        if self.report.left is not None:
            return max(0.0, self.report.left - (now - self.since))

        if fraction is None or fraction == 1:
            return None

        seconds, part = now - self.first[0], fraction - self.first[1]
        if seconds < LEAST_SECONDS or part < LEAST_PART:
            return None
        return seconds * (1 - fraction) / part


class Progress(logging.Handler):
    """Prints what the stages of a run say, and how far they are: a handler of logger `seqline`.

    Args:
        console: where to print.
        verbose: whether to print every message.
        names: all stages of the run in their order, if they are known.
        line_seconds: between two lines of a stage, where lines cannot be written in place.
    """

    def __init__(
        self,
        console: Console,
        verbose: bool,
        names: Sequence[str] = (),
        line_seconds: float = LINE_SECONDS,
    ) -> None:
        super().__init__(LEVEL)
        self.console = console
        self.verbose = verbose
        self.names = list(names)
        self.line_seconds = line_seconds
        self.running: dict[str, Running] = {}
        self.started = time.monotonic()
        self.live: Live | None = None
        self.ticker: threading.Thread | None = None
        self.ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        stage = self._stage_of(record)
        if report := getattr(record, "progress", None):
            if stage:
                stage.tell(report)
            return
        if record.levelno < logging.INFO:
            return

        message = record.getMessage()
        if self.verbose or (record.levelno > logging.INFO and record.name not in TOLD_AT_THE_END):
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            print_hanging(self.console, Text("  "), Text(message, style), 2)
        elif stage:
            stage.say(message)

    def _stage_of(self, record: logging.LogRecord) -> Running | None:
        """The running stage that a record names; the only one if the record names none."""
        running = dict(self.running)
        if stage := running.get(getattr(record, "stage", "")):
            return stage
        return next(iter(running.values())) if len(running) == 1 else None

    def start(self, stage: "Stage") -> None:
        """Shows that a stage starts."""
        self.begin(stage.name)

    def begin(self, name: str) -> None:
        """Shows that a stage starts; does nothing if it is running (its data were prepared)."""
        if name in self.running:
            return
        self.running[name] = Running(name)
        if writes_in_place(self.console):
            self._draw()
            return

        print_line(self.console, f"{name:<{NAME}} started{self._place([name])}")
        if not self.ticker:
            self.ended.clear()
            self.ticker = threading.Thread(target=self._tick, daemon=True)
            self.ticker.start()

    def _draw(self) -> None:
        """Starts to redraw the running stages."""
        if self.live:
            return
        self.live = Live(
            console=self.console,
            get_renderable=self.rendered,
            refresh_per_second=REFRESH,
            transient=True,
        )
        self.live.start()
        self.console.show_cursor(True)  # so that a killed run leaves the terminal as it was

    def done(self, done: "StageResult") -> None:
        """Prints the line of a stage that has ended."""
        self.running.pop(done.stage.name, None)
        if self.live:
            self.live.refresh()  # without the stage's line, before its last line is printed

        took = "cached" if done.cached else clock(done.seconds, 1)
        head = Text(f"{done.stage.name:<{NAME}} {took:>{TOOK}}  ")
        print_hanging(self.console, head, described(done), INDENT)

    def stop(self) -> None:
        """Stops drawing, at the end or before something else is printed."""
        self.running.clear()
        self.ended.set()
        if self.ticker:
            self.ticker.join()
            self.ticker = None
        if self.live:
            self.live.stop()
            self.live = None

    def _place(self, running: Sequence[str]) -> str:
        """`, stages 2 and 3 of 10`."""
        numbers = [str(self.names.index(name) + 1) for name in running if name in self.names]
        if not numbers:
            return ""
        noun = "stages" if len(numbers) > 1 else "stage"
        return f", {noun} {' and '.join(numbers)} of {len(self.names)}"

    def rendered(self) -> Group:
        """The lines that are drawn under the finished stages."""
        running = list(self.running.values())
        width, is_utf8 = self.console.width, self.console.encoding.startswith("utf")
        lines = [running_line(stage, width, is_utf8) for stage in running]

        footer = self._place([stage.name for stage in running]).removeprefix(", ")
        if footer:
            took = clock(time.monotonic() - self.started)
            text = f"{footer:<{NAME}} {took:>{TOOK}}"
            lines.append(Text(text, "dim", no_wrap=True, overflow="crop"))
        return Group(*lines)

    def _tick(self) -> None:
        """Prints a line of each stage that runs for long, until the end."""
        while not self.ended.wait(1.0):
            for stage in list(self.running.values()):
                if time.monotonic() - stage.last_line >= self.line_seconds:
                    stage.last_line = time.monotonic()
                    print_line(self.console, f"{stage.name:<{NAME}} {said(stage)}")


def described(done: "StageResult") -> Text:
    """The text of a finished stage, with its verdict in colour."""
    figures, text = done.figures, Text(done.stage.component.describe(done.figures))
    if figures.get("blessed") is False or figures.get("num_errors"):
        text.highlight_regex(r"NOT blessed.*|^\d+ errors?", "bold red")
    elif figures.get("blessed"):
        text.highlight_regex(r"\bblessed$", "green")
    if figures.get("num_warnings"):
        text.highlight_regex(r"\d+ warnings?.*", "yellow")
    for name in better_baselines(figures):
        accuracy = f"{name} {figures['baselines'][name]:.3f}"
        text.highlight_words([accuracy, f"{name} is better"], "yellow")
    return text


def running_line(stage: Running, width: int, is_utf8: bool = True) -> Text:
    """The line of a running stage.

    Parts that do not fit are left out, the least important first.

    Args:
        stage: the stage.
        width: columns of the terminal.
        is_utf8: whether the terminal can show the characters of the bar.
    """
    took = clock(time.monotonic() - stage.started)
    head = f"{stage.name:<{NAME}} {took:>{TOOK}}  " if width >= NARROW else f"{stage.name} {took}  "
    report, room = stage.report, width - len(head)
    percent = "" if report.fraction is None else f"{int(100 * report.fraction):>3} %"
    left, activity = _time_left(stage), with_counts(report)

    for parts, bar in (
        ((activity, percent, left, report.note), LEAST_BAR),
        ((activity, percent, left), LEAST_BAR),
        ((report.what, percent, left), LEAST_BAR),
        ((report.what, percent), LEAST_BAR),
        ((report.what, percent, left), 0),
        ((report.what, percent), 0),
        ((report.what,), 0),
    ):
        shown = [part for part in parts if part]
        free = room - sum(cell_len(part) + 2 for part in shown)
        bar = bar if percent else 0
        if free + 2 >= (bar + 2 if bar else 0):
            break

    line = Text(head, no_wrap=True, overflow="crop")
    line.append(shortened(shown[0], room) if shown else "")
    if bar and report.fraction is not None:
        line.append("  ").append_text(drawn(report.fraction, min(BAR, free), is_utf8))
    for part in shown[1:]:
        line.append(f"  {part}", "dim" if part is report.note else "")
    line.stylize("bold", 0, len(stage.name))
    return line


def _time_left(stage: Running) -> str:
    """`3 min left`; "" if it is not known, or nearly over."""
    seconds = stage.left()
    if seconds is None or seconds < 1 or stage.report.fraction == 1:
        return ""
    return f"{about(seconds).removeprefix('about ')} left"


def drawn(fraction: float, width: int, is_utf8: bool = True) -> Text:
    """A bar that can be read without colours, too."""
    full, empty = ("━", "─") if is_utf8 else ("=", "-")
    num = int(width * fraction)
    return Text(full * num, "cyan").append(empty * (width - num), "dim")


def with_counts(report: Report) -> str:
    """The activity of a stage, and how much of it is done: `reading 12.3 of 40.1 MB`."""
    if not report.unit:
        return report.what

    done, total, unit = report.done, report.total, report.unit
    if unit == "bytes":
        return f"{report.what} {done / 1e6:,.1f}{f' of {total / 1e6:,.1f}' if total else ''} MB"
    return f"{report.what} {done:,.0f}{f' of {total:,.0f}' if total else ''} {unit}"


def said(stage: Running) -> str:
    """`epoch 3 of 12, 41 s, about 2 min left`."""
    left = stage.left()
    took = duration(time.monotonic() - stage.started, 0)
    parts = [with_counts(stage.report), stage.report.note, took]
    if left is not None and left >= 1:
        parts.append(f"{about(left)} left")
    return ", ".join(part for part in parts if part)


def shortened(text: str, width: int) -> str:
    """Cuts a text to a number of columns."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > max(0, width - 3):
        text = text[:-1]
    return f"{text}..."[: max(0, width)]
