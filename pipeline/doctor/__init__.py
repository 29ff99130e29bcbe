"""`seqline doctor`.

What of this machine, its libraries, folders and accounts stands in the way of a run, and the way
out of it.

It must outlive what it looks for: it imports the standard library alone, and whatever may be broken
is tried in a process of its own, with a time limit. `python -m pipeline.doctor` works where not
even the command line starts.
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
    """One thing that was looked at. status.

    Ok; warn (runs work, but slower or not for long); fail (a run cannot work).
    """

    status: str
    what: str
    text: str
    way_out: str = ""


def last_line(text: str) -> str:
    """The line in which a traceback or a log says what it was, "" for none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""


def ask(
    script: Path, question: Mapping[str, Any], seconds: float
) -> tuple[list[dict[str, Any]], str]:
    """Runs a script of this package with this process's `sys.path`.

    (the JSON lines that it printed, how it ended: "" for well).

    -P: otherwise the script's own folder would come first, and its neighbours would hide others'
    modules.
    """
    command = [sys.executable, "-P", str(script)]
    asked = json.dumps({"path": sys.path, **question})
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, text=True, errors="replace", timeout=seconds
        )
        out, error, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        out, error, code = _text(late.stdout), "", None
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if code is None:
        return found, f"it had not ended after {seconds:.0f} s"
    if code < 0:
        return found, f"its process was ended by signal {-code}" + (
            f": {last_line(error)}" if last_line(error) else ""
        )
    return found, "" if code == 0 else last_line(error) or f"its process ended with code {code}"


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
