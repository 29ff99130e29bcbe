"""The fenced blocks of a documentation page, run in order as its reader would run them.

| block | what the test does |
|---|---|
| `shell` | runs it by bash; exported variables and the folder carry over to the next one |
| `python` | runs it; the blocks of a page share one Python, as the cells of a notebook do |
| `text` | compares it with what the block before it printed; `...` stands for anything |

A comment in the line above a block says what else it is:

    <!-- file: reviews.toml -->              it is the content of a file, which is written
    <!-- exit code: 30 -->                   its last command ends with this code
    <!-- keeps running until the end; ready: serving -->     it is started, as in a terminal of
                                             its own; the next block waits for this output
    <!-- not run: it needs a GPU -->         it is shown only, for this reason

Any other block is an error, and so is one that is indented instead of fenced: nothing on such a
page is untested by accident.
"""

import contextlib
import doctest
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command_line import assert_no_process_in, environment

# A fence may follow the mark of a list's item.
FENCE = re.compile(r"^( *(?:[-*] |\d+\. )?)(`{3,}|~{3,})\s*(\S*)$")
DIRECTIVE = re.compile(
    r"^ *<!-- (file|exit code|keeps running until the end; ready|not run): (.+) -->$"
)
# What one bash leaves for the next one: variables and the folder.
SHELL = """
[ -e "$DOC_STATE" ] && . "$DOC_STATE"
trap 'code=$?; { export -p; printf "cd %q\\n" "$PWD"; } > "$DOC_STATE"; exit $code' EXIT
"""
# A Python that runs a block for each line of its input, and answers on a pipe when it has ended.
PYTHON = """
import json, os, sys, traceback
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    place, source = json.loads(line)
    answer = b"done\\n"
    try:
        exec(compile(source, place, "exec"), namespace)
    except BaseException:
        traceback.print_exc()
        answer = b"failed\\n"
    sys.stdout.flush()
    os.write(int(sys.argv[1]), answer)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: where it is, its language, its text and its comment."""

    place: str
    language: str
    text: str
    directive: str = ""
    value: str = ""


def blocks_of(page: Path) -> list[Block]:
    """Reads the fenced blocks of a Markdown page.

    Raises:
        AssertionError: for a block that a test would neither run nor compare.
    """
    blocks: list[Block] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    before = blank = ""
    for number, line in lines:
        place = f"{page.name}:{number}"
        if opening := FENCE.match(line):
            indent, fence, language = opening.groups()
            body = _body(lines, " " * len(indent), fence, place)
            directive = DIRECTIVE.match(before)
            block = Block(place, language, body, *(directive.groups() if directive else ()))
            _check(block, blocks)
            blocks.append(block)
        else:
            assert blank or not line.startswith("    "), f"{place}: fence this block"
        before, blank = line, line.strip()
    return blocks


def run_page(page: Path, folder: Path, replace: Mapping[str, str] | None = None) -> list[str]:
    """Runs the blocks of a page in order, and compares what they print with what it shows.

    Args:
        page: a Markdown page.
        folder: where its commands run; what they need beforehand is in it.
        replace: text of the page -> what is run instead, such as a port -> a free one.

    Returns:
        What each block printed; "" for one that is not run.

    Raises:
        AssertionError: names the line of the page, what it ran and what that printed.
    """
    printed: list[str] = []
    last = ""
    with _session(folder) as session:
        for block in blocks_of(page):
            text = block.text
            for old, new in (replace or {}).items():
                text = text.replace(old, new)

            output = ""
            if block.directive == "file":
                file = session.folder / block.value
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            elif block.directive == "not run":
                pass
            elif block.language == "text":
                _compare(block.place, text, last)
            else:
                last = output = session.run(block, text)
            printed.append(output)
    return printed


def _body(lines: Iterator[tuple[int, str]], indent: str, fence: str, place: str) -> str:
    """The text of a block, up to the fence that ends it."""
    body: list[str] = []
    for _, line in lines:
        if line.strip() == fence:
            return "".join(f"{line.removeprefix(indent)}\n" for line in body)
        body.append(line)
    raise AssertionError(f"{place}: nothing ends this block")


def _check(block: Block, before: list[Block]) -> None:
    """Refuses a block that would be neither run nor compared."""
    if block.directive in ("file", "not run"):
        return
    assert block.language in ("shell", "python", "text"), (
        f"{block.place}: a block of {block.language or 'no language'} that no test runs. Make it"
        " shell, python or text, or write a comment above it: file, or not run with a reason"
    )
    assert block.language != "text" or (before and before[-1].directive != "file"), (
        f"{block.place}: no block before it prints this"
    )


def _compare(place: str, shown: str, printed: str) -> None:
    """Compares what a page shows with what was printed; blanks and line ends do not matter."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    same = doctest.OutputChecker().check_output(shown, printed, flags)
    assert same, f"{place} shows\n{shown}\nbut this was printed:\n{printed}"


class _Session:
    """A reader's terminals and Python, all of them in one folder."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self._state = state
        self._started: list[subprocess.Popen[str]] = []
        self._python: subprocess.Popen[str] | None = None
        self._answers: Any = None
        self._bin = str(Path(sys.executable).parent)

    def run(self, block: Block, text: str) -> str:
        """Runs a block of shell or Python and returns what it printed."""
        log = self._state / f"{len(list(self._state.iterdir()))}.log"
        if block.language == "python":
            code = self._run_python(block.place, text, log)
        elif block.directive.startswith("keeps running"):
            return self._keep_running(block, text, log)
        else:
            process = self._start(["bash", "-e", "-o", "pipefail", "-c", SHELL + text], log)
            code = process.wait()

        printed = log.read_text(encoding="utf-8", errors="replace")
        expected = int(block.value) if block.directive == "exit code" else 0
        assert code == expected, f"{block.place} ended with {code}:\n{text}\n{printed}"
        return printed

    def end(self) -> None:
        """Ends everything that is still running."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        if self._python is not None and self._python.stdin is not None:
            self._python.stdin.close()
            self._answers.close()
        assert_no_process_in(self.folder)

    def _start(self, command: list[str], log: Path, **options: Any) -> subprocess.Popen[str]:
        variables = environment()
        variables["PATH"] = os.pathsep.join([self._bin, variables["PATH"]])
        variables["DOC_STATE"] = str(self._state / "shell")
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=variables,
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, **options},
            )
        self._started.append(process)
        return process

    def _keep_running(self, block: Block, text: str, log: Path) -> str:
        """Starts a block and waits until it has printed what its comment says."""
        process = self._start(["bash", "-e", "-c", SHELL + text], log)
        while block.value not in (printed := log.read_text(encoding="utf-8")):
            assert process.poll() is None, f"{block.place} ended:\n{text}\n{printed}"
            time.sleep(0.1)
        return printed

    def _run_python(self, place: str, text: str, log: Path) -> int:
        """Runs a block in the page's Python: 0 for success."""
        if self._python is None:
            reading, writing = os.pipe()
            command = [sys.executable, "-c", PYTHON, str(writing)]
            options = {"stdin": subprocess.PIPE, "pass_fds": [writing]}
            self._python = self._start(command, self._state / "python.log", **options)
            os.close(writing)
            self._answers = os.fdopen(reading)

        all_logs = self._state / "python.log"
        num_before = all_logs.stat().st_size
        assert self._python.stdin is not None
        self._python.stdin.write(json.dumps([place, text]) + "\n")
        self._python.stdin.flush()
        answer = self._answers.readline()
        log.write_bytes(all_logs.read_bytes()[num_before:])
        return 0 if answer == "done\n" else 1


@contextmanager
def _session(folder: Path) -> Iterator[_Session]:
    with tempfile.TemporaryDirectory() as state:
        session = _Session(folder, Path(state))
        try:
            yield session
        finally:
            session.end()
