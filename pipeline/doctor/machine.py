"""The machine: its Python, and whether that keeps byte code."""

import os
import platform
import sys

from pipeline.doctor import FAIL, OK, WARN, Finding

PYTHONS = ((3, 11), (3, 13))
# tensorflow-transform's tfx-bsl has wheels for these only.
PLATFORMS = {("Linux", "x86_64"), ("Darwin", "arm64")}


def python() -> Finding:
    """The version and the platform, for which there must be wheels."""
    system, processor = platform.system(), platform.machine()
    text = f"{platform.python_version()} on {system} {processor}, {sys.executable}"
    way_out = ""

    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        way_out = "seqline needs Python 3.11 to 3.13: make PYTHON=python3.12"
    elif (system, processor) not in PLATFORMS:
        way_out = (
            "tensorflow-transform has wheels for Linux x86-64 and macOS arm64: use one of these, or"
            " the image"
        )
    return Finding(FAIL if way_out else OK, "python", text, way_out)


def byte_code() -> Finding:
    """Whether Python keeps the byte code of what it imports."""
    if not sys.dont_write_bytecode:
        return Finding(OK, "byte code", "is kept")

    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        cause, way_out = "PYTHONDONTWRITEBYTECODE is set", "unset PYTHONDONTWRITEBYTECODE"
    else:
        cause, way_out = "python -B", "leave -B out"

    text = f"is not kept ({cause}): every import of TensorFlow takes 20 to 40 s instead of 4"
    return Finding(WARN, "byte code", text, way_out)
