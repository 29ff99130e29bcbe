"""Options from the environment: SEQLINE_ROOT, and SEQLINE_TRAINER__RNN_UNITS for any setting.

The command line comes before the environment, the environment before the configuration file, and
the file before the defaults. Imports nothing heavy.
"""

import os
import re
import sys

from seqline.suggest import suggestion

PREFIX = "SEQLINE_"
# Variable -> the setting that it sets. The flag of the same name sets the same.
PLACES = {
    "SEQLINE_NAME": "name",
    "SEQLINE_ROOT": "root",
    "SEQLINE_SERVING_DIR": "pusher.serving_dir",
    "SEQLINE_DATA_DIR": "example_gen.data_dir",
}
CONFIG, MODEL = "SEQLINE_CONFIG", "SEQLINE_MODEL"
# Options of commands, which typer reads.
OPTIONS = (
    "SEQLINE_JOBS",
    "SEQLINE_VERBOSE",
    "SEQLINE_TRACK",
    "SEQLINE_RUNNER",
    "SEQLINE_PROJECT",
    "SEQLINE_REGION",
    "SEQLINE_TEMP_LOCATION",
    "SEQLINE_SDK_CONTAINER_IMAGE",
)
# Variables that are not options: for the cache, the workers of a job on Kubernetes, Docker Compose,
# the tests of the worker image and of engines, CI.
OTHERS = (
    "SEQLINE_CACHE",
    "SEQLINE_CACHE_GB",
    "SEQLINE_NUM_WORKERS",
    "SEQLINE_WORKER_ADDRESS",
    "SEQLINE_TAG",
    "SEQLINE_OPTIONS",
    "SEQLINE_MEMORY",
    "SEQLINE_WORKER_IMAGE",
    "SEQLINE_PRISM",
    "SEQLINE_FLINK_JAR",
    "SEQLINE_COMPLETE",
)
KNOWN = (CONFIG, MODEL, *PLACES, *OPTIONS, *OTHERS)
# Kubernetes sets these in every container if a service is called seqline.
OF_KUBERNETES = re.compile(r"SEQLINE_(SERVICE_|PORT(_|$)).*|SEQLINE_PORT")


def warn_of_unknown() -> None:
    """Prints a line for each variable that begins with SEQLINE_ and has no meaning.

    The names of settings are checked with the configuration.
    """
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or "__" in variable or variable in KNOWN:
            continue
        if OF_KUBERNETES.fullmatch(variable):
            continue
        print(
            f"warning: {variable} in the environment means nothing to"
            f" seqline.{suggestion(variable, KNOWN)}",
            file=sys.stderr,
        )


def settings() -> dict[str, tuple[str, str]]:
    """The settings in the environment: name -> (variable, value).

    trainer.rnn_units -> (SEQLINE_TRAINER__RNN_UNITS, 128).
    """
    values = {
        name: (variable, os.environ[variable])
        for variable, name in PLACES.items()
        if os.environ.get(variable)
    }

    for variable, value in sorted(os.environ.items()):
        if variable.startswith(PREFIX) and "__" in variable:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            values[name] = (variable, value)
    return values
