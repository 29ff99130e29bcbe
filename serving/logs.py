"""The server's log: a line for each thing that happened, as text or as JSON.

Whatever a client sent is escaped in both, so that no request can write lines of its own.
"""

import json
import logging
import os
import re
import time
from typing import Any

# What would end a line, move a terminal's cursor or turn the direction of its text.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Characters of a message. Of a traceback the end is kept.
MAX_MESSAGE, MAX_TRACEBACK = 2000, 8000


def escape(text: str) -> str:
    """A text in one line of which every character is harmless."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class TextFormatter(logging.Formatter):
    """`2026-01-31 12:00:00,000 I message`. The lines of a traceback are indented."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = f"{self.formatTime(record)} {record.levelname[:1]}"
        line = f"{stamp} {escape(record.getMessage())[:MAX_MESSAGE]}"
        if record.exc_info:
            traceback = self.formatException(record.exc_info)[-MAX_TRACEBACK:]
            line += "".join(f"\n  {escape(each)}" for each in traceback.split("\n"))
        return line


class JsonFormatter(logging.Formatter):
    """An object a line: time (UTC), level, logger, message; exception; an access line's fields."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_MESSAGE],
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)[-MAX_TRACEBACK:]
        return json.dumps(entry)


def start(log_format: str) -> None:
    """Sends all logs to the standard error stream.

    Args:
        log_format: "text" or "json".
    """
    # A descriptor of its own: TensorFlow's own lines on descriptor 2 are discarded for a while.
    errors = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    handler = logging.StreamHandler(errors)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.captureWarnings(True)
