"""How far a run is, as it runs: lines in place on a terminal, a line now and then anywhere else.

On a terminal the lines of finished stages scroll, and under them stand the running ones (bar,
percent, time left where it can be known) and "stage n of m". Elsewhere, in a pipe, in CI, on a dumb
terminal, there is a line where a stage starts, and one every LINE_SECONDS while it runs.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from seqline.host.progress import LEVEL, Report

if TYPE_CHECKING:
    from pipeline.runner.plan import Stage
    from pipeline.runner.run import StageResult

# How often a line tells how far a stage is, where nothing can be written in place.
LINE_SECONDS = 15.0
# How often a terminal is drawn anew, a second.
REFRESH = 4
# A stage's name and its time, and where its text begins.
NAME, TOOK = 17, 7
INDENT = NAME + 1 + TOOK + 2
# Under so many columns the text of a stage has lines of its own.
NARROW = 60
BAR, LEAST_BAR = 24, 8
# A character that no text has, in place of a space at which no line is to end.
GLUE = "\ue000"
# What is estimated from a shorter time, or a smaller part, is not worth telling.
LEAST_SECONDS, LEAST_PART = 3.0, 0.05
# The end of a run tells what they say: see `pipeline.cli.console.print_warnings`.
TOLD_AT_THE_END = ("seqline.example_gen", "seqline.example_validator")

# Until a stage tells more.
LOADING = Report("loading libraries")


@dataclass
class Running:
    """A stage in the making. since.

    When its `report` came. first: when this `what` was first told of, and how far it was then.
    """

    name: str
    started: float = field(default_factory=time.monotonic)
    report: Report = LOADING
    since: float = 0.0
    first: tuple[float, float] = (0.0, 0.0)
    has_reported: bool = False
    last_line: float = field(default_factory=time.monotonic)

    def tell(self, report: Report) -> None:
        now = time.monotonic()
        if not self.has_reported or report.what != self.report.what:
            self.first = (now, report.fraction or 0.0)
        self.report, self.since, self.has_reported = report, now, True

    def say(self, message: str) -> None:
        """A message, for a stage that never said how far it is."""
        if not self.has_reported:
            self.report = Report(message)

    def left(self) -> float | None:
        """Seconds until its end.

        As the stage measured them, or at the speed so far; None where nobody can know.
        """
        now, fraction = time.monotonic(), self.report.fraction
        if self.report.left is not None:
            return max(0.0, self.report.left - (now - self.since))
        if fraction is None or fraction == 1:
            return None
        seconds, part = now - self.first[0], fraction - self.first[1]
        return (
            seconds * (1 - fraction) / part
            if seconds >= LEAST_SECONDS and part >= LEAST_PART
            else None
        )


class Progress(logging.Handler):
    """Prints what the stages of a run say, and how far they are. A handler of the logger `seqline`.

    verbose: print every message. names: of all stages of the run, in their order, as far as they
    are known.
    """

    def __init__(self, console: Console, verbose: bool, names: Sequence[str] = ()) -> None:
        super().__init__(LEVEL)
        self.console = console
        self.verbose = verbose
        self.names = list(names)
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
        """The running stage that a record comes from: the only one, if it does not say."""
        running = dict(self.running)
        stage = running.get(getattr(record, "stage", ""))
        return stage or (next(iter(running.values())) if len(running) == 1 else None)

    def start(self, stage: "Stage") -> None:
        self.begin(stage.name)

    def begin(self, name: str) -> None:
        """A stage starts; one whose data were prepared goes on."""
        if name in self.running:
            return
        self.running[name] = Running(name)
        if writes_in_place(self.console):
            if not self.live:
                self.live = Live(
                    console=self.console,
                    get_renderable=self.rendered,
                    refresh_per_second=REFRESH,
                    transient=True,
                )
                self.live.start()
                self.console.show_cursor(True)  # a run that is killed leaves a terminal as it was
            return
        print_line(self.console, Text(f"{name:<{NAME}} started{self._place([name])}"))
        if not self.ticker:
            self.ended.clear()
            self.ticker = threading.Thread(target=self._tick, daemon=True)
            self.ticker.start()

    def done(self, done: "StageResult") -> None:
        """A stage has ended: its line."""
        self.running.pop(done.stage.name, None)
        if self.live:
            self.live.refresh()  # without its line, before the last one is printed
        took = "cached" if done.cached else clock(done.seconds, 1)
        print_hanging(
            self.console,
            Text(f"{done.stage.name:<{NAME}} {took:>{TOOK}}  "),
            described(done),
            INDENT,
        )

    def stop(self) -> None:
        """Nothing runs any more, or something else is to be printed."""
        self.running.clear()
        self.ended.set()
        if self.ticker:
            self.ticker.join()
            self.ticker = None
        if self.live:
            self.live.stop()
            self.live = None

    def _place(self, running: Sequence[str]) -> str:
        numbers = [str(self.names.index(name) + 1) for name in running if name in self.names]
        return (
            f", stage{'s' * (len(numbers) > 1)} {' and '.join(numbers)} of {len(self.names)}"
            if numbers
            else ""
        )

    def rendered(self) -> Group:
        """What stands under the finished stages."""
        running = list(self.running.values())
        width, is_utf8 = self.console.width, self.console.encoding.startswith("utf")
        lines = [running_line(each, width, is_utf8) for each in running]
        footer = self._place([each.name for each in running]).removeprefix(", ")
        if footer:
            text = Text(
                f"{footer:<{NAME}} {clock(time.monotonic() - self.started):>{TOOK}}",
                "dim",
                no_wrap=True,
                overflow="crop",
            )
            lines.append(text)
        return Group(*lines)

    def _tick(self) -> None:
        """A line of every stage that runs for long, until the end."""
        while not self.ended.wait(1.0):
            for stage in list(self.running.values()):
                if time.monotonic() - stage.last_line >= LINE_SECONDS:
                    stage.last_line = time.monotonic()
                    print_line(self.console, Text(f"{stage.name:<{NAME}} {said(stage)}"))


def writes_in_place(console: Console) -> bool:
    """Whether somebody looks at a terminal that can go back to a line.

    Not where a log pretends to be one, to have colours.
    """
    return is_screen(console) and not console.is_dumb_terminal and not os.environ.get("CI")


def is_screen(console: Console) -> bool:
    """Whether lines end where a terminal's do."""
    return console.is_terminal and console.file.isatty()


def print_line(console: Console, text: Text) -> None:
    """A line as long as it is: for pipes, and for what one copies."""
    console.print(text, soft_wrap=True)


def print_hanging(console: Console, head: Text, body: Text, indent: int) -> None:
    """A text behind its head.

    On a terminal broken between words, with an indent under its beginning.
    """
    if not is_screen(console):
        print_line(console, Text.assemble(head, body))
        return
    body.plain = body.plain.replace("--set ", f"--set{GLUE}")  # to be copied from one line
    width = console.width
    if width < NARROW and indent > 4:
        print_line(console, Text(" ".join(head.plain.split()), head.style))
        head, indent = Text("  "), 2
    for number, line in enumerate(body.wrap(console, max(10, width - indent))):
        line.plain = line.plain.replace(GLUE, " ").rstrip()
        console.print(
            Text.assemble(head if number == 0 else " " * indent, line),
            no_wrap=True,
            overflow="ignore",
            crop=False,
        )


def described(done: "StageResult") -> Text:
    """The line of a finished stage; the verdict in it has a colour."""
    figures, text = done.figures, Text(done.stage.component.describe(done.figures))
    if figures.get("blessed") is False or figures.get("num_errors"):
        text.highlight_regex(r"NOT blessed.*|^\d+ errors?", "bold red")
    elif figures.get("blessed"):
        text.highlight_regex(r"\bblessed$", "green")
    if figures.get("num_warnings"):
        text.highlight_regex(r"\d+ warnings?.*", "yellow")
    for name in better_than(figures):
        text.highlight_words(
            [f"{name} {figures['baselines'][name]:.3f}", f"{name} is better"], "yellow"
        )
    return text


def better_than(figures: dict) -> list[str]:
    """The baselines of an evaluation that are better than the model."""
    return [
        name for name, value in figures.get("baselines", {}).items() if value > figures["accuracy"]
    ]


# How a stage is shown


def running_line(stage: Running, width: int, is_utf8: bool = True) -> Text:
    """A running stage in `width` columns.

    What does not fit is left out, from the least to the most telling.
    """
    took = clock(time.monotonic() - stage.started)
    head = f"{stage.name:<{NAME}} {took:>{TOOK}}  " if width >= NARROW else f"{stage.name} {took}  "
    report, room = stage.report, width - len(head)
    percent = "" if report.fraction is None else f"{int(100 * report.fraction):>3} %"
    seconds = stage.left()
    left = (
        ""
        if seconds is None or seconds < 1 or report.fraction == 1
        else f"{about(seconds).removeprefix('about ')} left"
    )
    what = with_counts(report)
    for parts, bar in (
        ((what, percent, left, report.note), LEAST_BAR),
        ((what, percent, left), LEAST_BAR),
        ((report.what, percent, left), LEAST_BAR),
        ((report.what, percent), LEAST_BAR),
        ((report.what, percent, left), 0),
        ((report.what, percent), 0),
        ((report.what,), 0),
    ):
        told = [part for part in parts if part]
        free = room - sum(cell_len(part) + 2 for part in told)
        bar = bar if percent else 0
        if free + 2 >= (bar + 2 if bar else 0):
            break
    line = Text(head, no_wrap=True, overflow="crop").append(
        shortened(told[0], room) if told else ""
    )
    if bar and report.fraction is not None:
        line.append("  ").append_text(drawn(report.fraction, min(BAR, free), is_utf8))
    for part in told[1:]:
        line.append(f"  {part}", "dim" if part is report.note else "")
    line.stylize("bold", 0, len(stage.name))
    return line


def drawn(fraction: float, width: int, is_utf8: bool = True) -> Text:
    """A bar, that one can tell apart without colours, too."""
    full, empty = ("━", "─") if is_utf8 else ("=", "-")
    num = int(width * fraction)
    return Text(full * num, "cyan").append(empty * (width - num), "dim")


def with_counts(report: Report) -> str:
    """What a stage does, and how much of it is done: `reading 12.3 of 40.1 MB`."""
    if not report.unit:
        return report.what
    done, total, unit = report.done, report.total, report.unit
    if unit == "bytes":
        return f"{report.what} {done / 1e6:,.1f}{f' of {total / 1e6:,.1f}' if total else ''} MB"
    return f"{report.what} {done:,.0f}{f' of {total:,.0f}' if total else ''} {unit}"


def said(stage: Running) -> str:
    """`epoch 3 of 12, 41 s, about 2 min left`."""
    left = stage.left()
    parts = [
        with_counts(stage.report),
        stage.report.note,
        duration(time.monotonic() - stage.started),
    ]
    return ", ".join(
        part for part in (*parts, f"{about(left)} left" if left and left >= 1 else "") if part
    )


def shortened(text: str, width: int) -> str:
    """Cut to a number of columns."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > max(0, width - 3):
        text = text[:-1]
    return f"{text}..."[: max(0, width)]


def clock(seconds: float, digits: int = 0) -> str:
    """`12.3 s`, `3:05`, `1:02:45`: in few columns."""
    if seconds < 99.5:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
    )


def duration(seconds: float) -> str:
    """`41 s`, `3 min 5 s`, `2 h 4 min`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def about(seconds: float) -> str:
    """`about 40 s`, `about 3 min`, `about 2 h`: no more than an estimate can know."""
    if seconds < 55:
        return f"about {seconds:.0f} s" if seconds < 10 else f"about {5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 90 else f"about {round(seconds / 3600)} h"
