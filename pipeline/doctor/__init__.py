"""`seqline doctor`: finds what prevents a run on this machine, and says how to repair it.

It must work where what it examines is broken: it imports the standard library alone, and tries
whatever may be broken in a process of its own, with a time limit. `python -m pipeline.doctor` works
where not even the command line starts.

  machine.py         Python, byte code
  libraries.py       versions and imports; versions.py and probe.py are its scripts
  places.py          the folders and buckets of a configuration, and the artifacts in them;
                     configuration.py and artifacts.py are its scripts
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        status: OK; WARN if runs work, but slowly or not for long; FAIL if a run cannot work.
        what: The subject of the check, in a word or two.
        text: The result.
        way_out: How to repair it; "" if nothing has to be done.
    """

    status: str
    what: str
    text: str
    way_out: str = ""


def ask(
    script: Path, question: Mapping[str, Any], seconds: float
) -> tuple[list[dict[str, Any]], str]:
    """Runs a script of this package with this process's `sys.path`.

    Args:
        script: It reads the question as JSON and prints each answer as a line of JSON.
        question: What it needs to know.
        seconds: How long it may take.

    Returns:
        The answers, and how the script failed: "" if it did not.
    """
    # -P: otherwise the script's folder would be the first on the path, and its modules would hide
    # others.
    command = [sys.executable, "-P", str(script)]
    code: int | None
    try:
        done = subprocess.run(
            command,
            input=json.dumps({"path": sys.path, **question}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
        out, error_output, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        out, error_output, code = _text(late.stdout), "", None

    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return answers, _failure(code, _last_line(error_output), seconds)


def _failure(code: int | None, said: str, seconds: float) -> str:
    """How a process failed, "" if it did not; its code is None if it ran out of time."""
    if code == 0:
        return ""
    if code is None:
        return f"it had not ended after {seconds:.0f} s"
    if code < 0:
        return f"its process was ended by signal {-code}{f': {said}' if said else ''}"
    return said or f"its process ended with code {code}"


def _last_line(text: str) -> str:
    """The line in which a traceback names the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
