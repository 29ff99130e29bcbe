"""The display of a run: on real pseudo terminals, in pipes, and a line at a time."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from pipeline.cli.display import Progress, Running, running_line, said, shortened
from pipeline.cli.terminal import print_hanging
from pipeline.report.units import about, clock, duration
from seqline.host.progress import Report
from tests.support import CHECKOUT
from tests.support.staged import DESCRIPTION

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])(?:;\d+)*m")


def environment(**more: str) -> dict[str, str]:
    gone = {
        "PYTHONDONTWRITEBYTECODE",
        "NO_COLOR",
        "FORCE_COLOR",
        "CI",
        "COLUMNS",
        "LINES",
        "GITHUB_ACTIONS",
    }
    kept = {name: value for name, value in os.environ.items() if name not in gone}
    return {**kept, "TERM": "xterm-256color", "PYTHONPATH": str(CHECKOUT), **more}


def on_terminal(folder: Path, *arguments: str, columns: int = 80, **variables: str) -> str:
    """The output of `tests.support.staged` on a terminal with this number of columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "tests.support.staged", str(folder), *arguments]
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**variables),
        cwd=folder,
    )

    os.close(theirs)
    written = b""

    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # Linux: the other side is closed
            block = b""
        if not block:
            break
        written += block

    os.close(ours)
    process.wait(timeout=60)
    return written.decode()


def in_pipe(folder: Path, *arguments: str, **variables: str) -> str:
    command = [sys.executable, "-m", "tests.support.staged", str(folder), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(**variables),
        cwd=folder,
        timeout=60,
    )
    return done.stdout + done.stderr


def visible(written: str) -> list[str]:
    """The lines that were written, also those later overwritten, without control sequences."""
    return [line for part in re.split(r"\r\n|\r|\n", written) if (line := CONTROL.sub("", part))]


@pytest.mark.parametrize("columns", [80, 40])
def test_nothing_is_wider_than_the_terminal_and_no_word_is_broken(
    tmp_path: Path, columns: int
) -> None:
    written = on_terminal(tmp_path, columns=columns)
    lines = visible(written)
    assert (
        max(len(line) for line in lines if " more in " not in line) <= columns
    )  # a path is to be copied
    assert any(line.startswith("stage 2 of 3") for line in lines)
    assert any("compiling the network" in line for line in lines)
    words = {word for line in lines for word in line.split()}
    assert set(DESCRIPTION.split()) <= words
    assert "a library's noise" not in written
    assert "epoch 1/4" not in written  # a message that reports progress


def test_a_finished_stage_goes_on_under_its_text(tmp_path: Path) -> None:
    lines = visible(on_terminal(tmp_path))
    first = next(
        place
        for place, line in enumerate(lines)
        if line.startswith("example_gen") and "4,884 rows" in line
    )
    assert lines[first].endswith("4,884 rows were read from the files; 6 classes;")
    assert lines[first + 1] == " " * 27 + "tokens unknown to train: 10.7% of eval, 8.8% of test"


def test_two_running_stages_have_two_lines_and_their_own_reports(tmp_path: Path) -> None:
    lines = visible(on_terminal(tmp_path, "--jobs", "2", "--seconds", "1.5"))
    assert any(line.startswith("stages 2 and 3 of 3") for line in lines)
    for name in ("trainer", "baseline"):
        assert any(
            re.match(rf"{name} +\d+ s  epoch \d of 4  [━─]+ +\d+ %  \d min left", line)
            for line in lines
        ), name


def test_a_bar_can_be_read_without_colours(tmp_path: Path) -> None:
    assert COLOUR.search(on_terminal(tmp_path / "colour", "--seconds", "0.2"))
    written = on_terminal(tmp_path / "none", NO_COLOR="1")
    assert not COLOUR.search(written)
    assert re.search(r"━+─+", CONTROL.sub("", written))


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}], ids=["dumb", "ci"])
def test_where_no_line_can_be_written_again_none_is(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    written = on_terminal(tmp_path, "--seconds", "0.2", **variables)
    assert not re.search(r"\x1b\[\d*[A-K]", written)
    assert [line.rstrip() for line in visible(written) if "started" in line] == [
        "example_gen       started, stage 1 of 3",
        "trainer           started, stage 2 of 3",
        "baseline          started, stage 3 of 3",
    ]


def test_a_pipe_gets_a_line_at_the_start_and_one_now_and_then(tmp_path: Path) -> None:
    written = in_pipe(tmp_path, "--line-seconds", "0.5", "--seconds", "1.6")
    assert "\x1b" not in written

    lines = written.splitlines()
    assert lines[0] == "example_gen       started, stage 1 of 3"

    of_first = [line for line in lines if line.startswith("example_gen ") and "MB" in line]
    assert 1 <= len(of_first) <= 4
    assert re.fullmatch(
        r"example_gen       reading \d+\.0 of 20\.0 MB, \d s(, about \d s left)?", of_first[0]
    )
    assert any(
        re.fullmatch(r"trainer           epoch \d of 4, \d s, about \d+ \w+ left", line)
        for line in lines
    )
    assert f"  {DESCRIPTION}" in written  # in one line, however long


def test_a_log_that_is_to_have_colours_is_no_terminal(tmp_path: Path) -> None:
    written = in_pipe(tmp_path, "--seconds", "0.2", FORCE_COLOR="1")
    assert not re.search(r"\x1b\[\d*[A-K]", written)
    assert "started, stage 2 of 3" in written


def test_the_end_tells_warnings_and_how_many_more(tmp_path: Path) -> None:
    lines = in_pipe(tmp_path, "--seconds", "0.2").splitlines()
    assert lines[-6:-1] == [f"warning        Row {number} is odd." for number in range(1, 6)]
    assert lines[-1].startswith("               and 2 more in ")


def test_a_refusal_ends_with_its_line_and_code(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.support.staged",
        str(tmp_path),
        "--refuse",
        "--seconds",
        "0.2",
    ]

    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=60
    )

    assert done.returncode == 30
    assert (
        done.stderr.splitlines()[0]
        == "error: The model is not blessed and was not pushed: accuracy 0.4 is under min_accuracy"
        " 0.8."
    )


def test_verbose_prints_every_message(tmp_path: Path) -> None:
    assert (
        "  epoch 1/4: loss 0.7" in in_pipe(tmp_path, "--verbose", "--seconds", "0.2").splitlines()
    )


# A line at a time


def running(report: Report, name: str = "trainer", seconds: float = 41) -> Running:
    stage = Running(name, started=time.monotonic() - seconds)
    stage.tell(report)
    return stage


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            80,
            f"trainer              41 s  epoch 3 of 12  {'━' * 4}{'─' * 15}   25 %  2 min left",
        ),
        (60, "trainer              41 s  epoch 3 of 12  ━━─────────   25 %"),
        (40, "trainer 41 s  epoch 3 of 12   25 %"),
        (20, "trainer 41 s  epo..."),
    ],
)
def test_what_does_not_fit_is_left_out(width: int, expected: str) -> None:
    line = running_line(
        running(Report("epoch 3 of 12", 3, 12, note="loss 0.412", left=120)), width
    ).plain
    assert len(line) <= width
    assert line == expected


def test_a_wide_terminal_has_room_for_the_note() -> None:
    line = running_line(
        running(
            Report("trial 3 of 20", 2.5, 20, note="best so far 0.912, epoch 6 of 12", left=300)
        ),
        120,
    ).plain
    assert (
        line == "trainer              41 s  trial 3 of 20"
        "  ━━━─────────────────────"
        "   12 %  5 min left "
        " best so far 0.912, epoch 6 of 12"
    )


def test_without_a_total_there_is_no_bar() -> None:
    assert (
        running_line(running(Report("predicting", 1234, None, "rows")), 80).plain
        == "trainer              41 s  predicting 1,234 rows"
    )


def test_a_terminal_without_utf_8_gets_other_bars() -> None:
    assert running_line(running(Report("reading", 5, 10)), 80, is_utf8=False).plain.endswith(
        "reading  ============------------   50 %"
    )


def test_wide_characters_are_counted_by_their_columns() -> None:
    assert shortened("日本語のテキスト", 9) == "日本語..."


def test_time_left_follows_from_the_speed_so_far() -> None:
    stage = running(Report("reading", 0, 100, "rows"))
    stage.first = (time.monotonic() - 10, 0.0)
    stage.tell(Report("reading", 25, 100, "rows"))
    assert stage.left() == pytest.approx(30, abs=0.5)
    assert said(stage) == "reading 25 of 100 rows, 41 s, about 30 s left"


def test_nothing_is_estimated_from_next_to_nothing() -> None:
    stage = running(Report("reading", 0, 100))
    stage.tell(Report("reading", 25, 100))
    assert stage.left() is None


@pytest.mark.parametrize(
    ("seconds", "in_columns", "in_words", "estimated"),
    [
        (3.4, "3 s", "3 s", "about 3 s"),
        (41, "41 s", "41 s", "about 40 s"),
        (99.4, "99 s", "1 min 39 s", "about 2 min"),
        (185, "3:05", "3 min 5 s", "about 3 min"),
        (3765, "1:02:45", "1 h 2 min", "about 63 min"),
        (7300, "2:01:40", "2 h 1 min", "about 2 h"),
    ],
)
def test_durations(seconds: float, in_columns: str, in_words: str, estimated: str) -> None:
    assert clock(seconds) == in_columns
    assert duration(seconds, 0) == in_words
    assert about(seconds) == estimated


def test_a_report_without_a_stage_is_that_of_the_only_one() -> None:
    progress = Progress(Console(file=io.StringIO()), verbose=False)
    progress.begin("example_gen")
    record = logging.makeLogRecord(
        {"name": "seqline.progress", "levelno": 15, "msg": "x", "progress": Report("downloading")}
    )
    progress.emit(record)
    assert progress.running["example_gen"].report == Report("downloading")

    progress.begin("trainer")
    progress.emit(
        logging.makeLogRecord(
            {"levelno": 15, "msg": "x", "stage": "trainer", "progress": Report("epoch 1 of 2")}
        )
    )

    assert progress.running["example_gen"].report == Report("downloading")
    assert progress.running["trainer"].report == Report("epoch 1 of 2")
    progress.stop()


def test_settings_are_not_broken_from_their_flag() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40, force_terminal=True, no_color=True)
    out.isatty = lambda: True  # type: ignore[method-assign]  # as a terminal answers
    print_hanging(
        console, Text("what helps     "), Text("more epochs, 12345: --set trainer.num_epochs=9"), 4
    )
    assert [line.strip() for line in out.getvalue().splitlines()][-1].endswith(
        "--set trainer.num_epochs=9"
    )


def test_who_listens_to_everything_does_not_get_how_far_stages_are(tmp_path: Path) -> None:
    """A notebook with a handler of its own is such a listener."""
    code = (
        "import logging, sys\nfrom tests.support import staged\nfrom pipeline.store import Store,"
        " layout\nfrom pipeline.runner.execute import execute\nfrom"
        " pipeline.runner.run import Options\nif __name__ =="
        " '__main__':\n    layout.code_digest = lambda module: 'code'\n   "
        " logging.getLogger('seqline').addHandler(logging.StreamHandler(sys.stdout))\n    store ="
        " Store('root')\n    execute(staged.pipeline(staged.NumberParams(seconds=0.1)), store,"
        " store.start_run(), Options())\n"
    )

    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("epoch 1/4: loss 0.7\n" * 2, "")
