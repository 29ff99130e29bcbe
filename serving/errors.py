"""Refusals of requests and rows, and TensorFlow's messages made fit for a client."""

import re

# Characters of a message.
MAX_LENGTH = 500
# Where a message of TensorFlow stops being about the request: at the node, or at the end of a line.
NODE = re.compile(r"\s*\[\[|\n")
PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/'\"\]]+/)+[^\s'\"\]]*")


class RefusedError(Exception):
    """Answered with {"error": message}. What a message quotes of a request may be long: it is cut.

    Attributes:
        status: The HTTP status: 4xx, or 503 when the server has too much to do.
        retry_after: Seconds after which the client may try again. None if that would not help.
    """

    def __init__(self, message: str, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(cut(message))
        self.status = status
        self.retry_after = retry_after


class InputError(ValueError):
    """There is no model to ask, or a row is not what the model reads."""


def short(message: str) -> str:
    """A message of TensorFlow in one line, without nodes of the graph and absolute paths."""
    # Several errors begin with "2 root error(s) found.\n  (0) INVALID_ARGUMENT: ...".
    first = re.search(r"\(0\) [A-Z_]+: (.*)", message)
    message = message.removeprefix("Graph execution error:")
    line = NODE.split((first[1] if first else message).strip(), maxsplit=1)[0]
    return cut(PATH.sub("...", cut(line, 4 * MAX_LENGTH)))


def cut(line: str, most: int = MAX_LENGTH) -> str:
    """The line, or its beginning."""
    return line if len(line) <= most else line[: most - 3] + "..."
