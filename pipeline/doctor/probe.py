"""Imports modules, one after the other, in a process that may die from an import.

Run by its path. It needs the standard library only.

Prints a line of JSON before each import and one after it. It ends at the first import that fails,
because a later one in the same process would say little.
"""

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any


def main() -> None:
    question = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # What libraries print must not be taken for an answer.
    sys.path[:] = question["path"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    for name in question["modules"]:
        print(json.dumps({"begun": name}), file=out)
        started = time.monotonic()
        try:
            module = importlib.import_module(name)
            answer = {"name": name, "version": getattr(module, "__version__", None)}
            if name == "tensorflow":
                answer |= _devices(module)
        except BaseException as error:
            print(json.dumps({"name": name, "error": _sentence(error)}), file=out)
            return

        answer["seconds"] = round(time.monotonic() - started, 1)
        print(json.dumps(answer), file=out)


def _devices(tf: Any) -> dict[str, Any]:
    assert float(tf.reduce_sum(tf.ones([3]))) == 3.0, "TensorFlow does not add up"
    return {"gpus": len(tf.config.list_physical_devices("GPU"))}


def _sentence(error: BaseException) -> str:
    """The error, and the file that raised it, which tells whose error it is."""
    message = "".join(traceback.format_exception_only(error))
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = lines[0] if len(lines) == 1 else " ".join(lines)[:300]

    frames = traceback.extract_tb(error.__traceback__)
    files = [(frame.filename, frame.lineno) for frame in frames if frame.filename[:1] != "<"]
    if all(name in (__file__, importlib.__file__) for name, _ in files):
        return text
    name, line = files[-1]
    return f"{text} (raised in {name}:{line})"


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # A library that fails while Python ends says nothing about imports.
