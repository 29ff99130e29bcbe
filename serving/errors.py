"""What a client gets that asked for something that cannot be."""

import re

MAX_LENGTH = 500
# Where TensorFlow's messages stop being about the request: the node, and the Python line that made
# it.
NODE = re.compile(r"\s*\[\[|\n")
PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/'\"\]]+/)+[^\s'\"\]]*")


class RefusedError(Exception):
    """The answer is `status` (4xx, or 503 when there is too much to do) and {"error": message}."""

    def __init__(self, message: str, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def short(message: str) -> str:
    """A message of TensorFlow's without nodes, places in a graph and absolute paths, in one line."""
    first = re.search(
        r"\(0\) [A-Z_]+: (.*)", message
    )  # of several: "2 root error(s) found.\n  (0) INVALID_ARGUMENT: ..."
    message = message.removeprefix("Graph execution error:")
    line = NODE.split((first[1] if first else message).strip(), maxsplit=1)[0]
    line = PATH.sub("...", line)
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 3] + "..."
