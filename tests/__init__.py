"""Tests, which know nothing of the terminal, the job or the account that they are started from.

This file is read before every other of them, thus before a library looks at a variable, and what
they start inherits what is set here.
"""

import os
import sys

# A job that runs the tests is none of the jobs that the tests run: its summary, its cluster and its
# accounts are not theirs.
JOB = {"BUILD_URL", "CI_JOB_URL", "STORAGE_EMULATOR_HOST", "TF_CONFIG"}
# What a terminal may be told to do. (Under GITHUB_ACTIONS typer, too, takes any output for a
# terminal.)
TERMINAL = {
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "PY_COLORS",
    "TERMINAL_WIDTH",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
}
# What changes how libraries work, or how much they say. (Without byte code every import of
# TensorFlow takes half a minute.)
LIBRARIES = {
    "KERAS_BACKEND",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONWARNINGS",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
}
PREFIXES = ("CLOUDSDK_", "GITHUB_", "GOOGLE_", "SEQLINE_")

# Not in the commands that tests start as modules of this package: those are told by the test what
# their terminal is.
if "pytest" in sys.modules:
    for name in list(os.environ):
        if name in JOB | TERMINAL | LIBRARIES or name.startswith(PREFIXES):
            del os.environ[name]
    # As wide as a terminal is where nobody says how wide, whatever terminal the tests are started
    # in.
    os.environ["COLUMNS"] = "80"
