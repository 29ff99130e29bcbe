"""Tests, independent of the terminal, the job and the account that start them.

This file is imported before all other modules of tests, thus before a library reads a variable.
Processes that tests start inherit the environment that is set here.
"""

import os
import sys

# A CI job that runs the tests has a summary, a cluster and accounts that are not the tests'.
JOB = {"BUILD_URL", "CI_JOB_URL", "STORAGE_EMULATOR_HOST", "TF_CONFIG"}
# Settings of a terminal's output. (Under GITHUB_ACTIONS typer, too, takes any output for a
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
# Settings that change how libraries work or log. (Without byte code every import of
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
# Said by whoever starts the tests: where engines and object stores are.
KEPT = {"SEQLINE_PRISM", "SEQLINE_FLINK_JAR", "SEQLINE_EMULATORS"}

# Not in the commands that tests start as modules of this package: those are told by the test what
# their terminal is.
if "pytest" in sys.modules:
    for name in set(os.environ) - KEPT:
        if name in JOB | TERMINAL | LIBRARIES or name.startswith(PREFIXES):
            del os.environ[name]
    # The default width of a terminal, whatever terminal the tests are started in.
    os.environ["COLUMNS"] = "80"
