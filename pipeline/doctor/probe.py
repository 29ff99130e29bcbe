"""Imports modules, one after the other, in a process that may die of it.

Run by its path; needs the standard library only.

Prints a JSON line before each and one behind it; ends at the first that fails, since what comes
after one in the same process would say little.
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
    os.dup2(2, 1)  # what libraries print is no answer
    sys.path[:] = question["path"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in question["modules"]:
        print(json.dumps({"begun": name}), file=out)
        started = time.monotonic()
        try:
            module = importlib.import_module(name)
            found = {
                "file": getattr(module, "__file__", None),
                "version": getattr(module, "__version__", None),
            }
            if name == "tensorflow":
                found |= _devices(module)
        except BaseException as error:
            print(json.dumps({"name": name, "error": _explained(error)}), file=out)
            return
        print(
            json.dumps({"name": name, "seconds": round(time.monotonic() - started, 1), **found}),
            file=out,
        )


def _devices(tf: Any) -> dict[str, Any]:
    assert float(tf.reduce_sum(tf.ones([3]))) == 3.0, "TensorFlow does not add up"
    return {
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "cuda": bool(tf.test.is_built_with_cuda()),
    }


def _explained(error: BaseException) -> str:
    """The error, and the file in which it was raised: that tells whose it is."""
    lines = [
        line.strip()
        for line in "".join(traceback.format_exception_only(error)).splitlines()
        if line.strip()
    ]
    text = lines[0] if len(lines) == 1 else " ".join(lines)[:300]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
    ]
    raised_here = all(frame.filename in (__file__, importlib.__file__) for frame in frames)
    return text if raised_here else f"{text} (raised in {frames[-1].filename}:{frames[-1].lineno})"


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # a library that fails while Python ends says nothing about imports
