"""Pages whose commands are executed, with what they print compared.

    ```console
    $ seqline versions          a command for bash; its exit code is in the next one's $?
    version  labels  ...        what it prints
    ```

`...` stands for any text, alone on a line for any lines. A number with a point is a measurement:
any one will do. Whole numbers have to be the same. A block after `<!-- file: NAME -->` is written
to that file; the command of a block after `<!-- stays -->` goes on until the end of the page.
"""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MARK = r"(?:<!-- (?:(file): (\S+)|(stays)) -->\n)?"
BLOCK = re.compile(rf"^{MARK}```(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ ", re.MULTILINE)
# What a run prints where nobody watches a terminal: stages that start, and progress.
PROGRESS = re.compile(r"^\w+ +(started, stage \d+ of \d+|.*, \d+ s)$")
PORT = 8501  # of the server, in every page
NUMBER = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Block:
    mark: str  # "file", "stays" or ""
    name: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(file or stays, name, kind, text) for file, name, stays, kind, text in found]


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, each with what the page says that it prints."""
    parts = COMMAND.split(block.text)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def agrees(expected: str, printed: str) -> bool:
    """Whether a command printed what its page says."""
    return _pattern(expected).fullmatch(printed) is not None


class Session:
    """A folder in which the commands of a page are executed, as a reader would.

    The page's server is on PORT; here it is on `port`, so that tests do not meet.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.code = 0
        self.started: list[subprocess.Popen[str]] = []
        inherited = {name: value for name, value in os.environ.items() if name[:8] != "SEQLINE_"}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        place = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        self.environment = {**inherited, "PATH": place, "COLUMNS": "100"}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *failure: object) -> None:
        for process in self.started:
            assert process.poll() is None, "a command that stays has ended"
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=60)

    def execute(self, command: str) -> str:
        """What the command prints, to both streams."""
        process = self._start(f"(exit {self.code}); {command}")
        try:
            output, _ = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        self.code = process.returncode
        lines = self._as_on_the_page(output).splitlines()
        return "".join(f"{line}\n" for line in lines if not PROGRESS.match(line))

    def stay(self, command: str, expected: str) -> str:
        """Starts a command that goes on, and returns once it has printed what the page says.

        It also returns, with what there is, when the command ends.
        """
        process = self._start(f"exec {command}")
        self.started.append(process)
        assert process.stdout
        printed = ""
        while not _pattern(expected).match(printed) and (line := process.stdout.readline()):
            printed += self._as_on_the_page(line)
        return printed

    def _as_on_the_page(self, printed: str) -> str:
        return printed.replace(f":{self.port}", f":{PORT}")

    def _start(self, command: str) -> subprocess.Popen[str]:
        here = command.replace("seqline serve", f"seqline serve --rest_api_port={self.port}")
        return subprocess.Popen(
            ["bash", "-c", here.replace(f":{PORT}", f":{self.port}")],
            cwd=self.folder, env=self.environment, text=True, process_group=0,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


def _pattern(expected: str) -> re.Pattern[str]:
    """A regular expression for what a page says that a command prints."""
    pattern = r"\n*"
    for line in expected.strip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
            continue
        pattern += " *"
        for piece in re.split(r"(\.\.\.|\d+\.\d+| +)", line.strip()):
            if piece == "...":
                pattern += r"[^\n]*"
            elif NUMBER.fullmatch(piece):
                pattern += r"\d+(?:\.\d+)?"
            elif piece.strip():
                pattern += re.escape(piece)
            elif piece:
                pattern += " +"
        pattern += r" *\n"
    return re.compile(pattern)
