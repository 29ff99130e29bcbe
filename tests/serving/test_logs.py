"""A line of the log is one line, whatever a client sent."""

import json
import logging
import sys

from serving.logs import JsonFormatter, TextFormatter

INJECTED = "/a\n2026-01-01 00:00:00,000 I stopped\r\x1b[2J\u2028\u202e"


def record(message: str, error: Exception | None = None) -> logging.LogRecord:
    exc_info = None
    if error:
        try:
            raise error
        except Exception:
            exc_info = sys.exc_info()
    made = logging.LogRecord("seqline.serve", logging.ERROR, "f", 1, "%s", (message,), exc_info)
    made.created, made.msecs = 1767225600.25, 250
    return made


def test_text() -> None:
    line = TextFormatter().format(record(INJECTED))
    assert line.endswith(" E /a\\n2026-01-01 00:00:00,000 I stopped\\r\\x1b[2J\\u2028\\u202e")
    assert len(TextFormatter().format(record("x" * 10_000))) < 2100

    lines = TextFormatter().format(record("a", ValueError(INJECTED))).split("\n")
    assert lines[1] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in lines[1:])


def test_json() -> None:
    made = record(INJECTED)
    made.__dict__["fields"] = {"status": 200}
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "error",
        "logger": "seqline.serve",
        "message": INJECTED,
        "status": 200,
    }

    line = JsonFormatter().format(record("a", ValueError(INJECTED)))
    assert "\n" not in line
    assert json.loads(line)["exception"].startswith("Traceback (most recent call last):\n")
