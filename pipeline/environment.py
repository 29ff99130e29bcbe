"""Options from the environment: SEQLINE_ROOT, and SEQLINE_TRAINER__RNN_UNITS for any setting.

The command line comes before the environment, the environment before the configuration file, and
the file before the defaults. Imports nothing heavy.
"""

import os
import re
import sys

from seqline.suggest import suggestion

PREFIX = "SEQLINE_"
# Variable -> the setting that it is; the flag of the same name means the same.
PLACES = {
    "SEQLINE_NAME": "name",
    "SEQLINE_ROOT": "root",
    "SEQLINE_SERVING_DIR": "pusher.serving_dir",
    "SEQLINE_DATA_DIR": "example_gen.data_dir",
}
CONFIG, MODEL = "SEQLINE_CONFIG", "SEQLINE_MODEL"
# Read where their option is, by typer.
OPTIONS = (
    *(
        "SEQLINE_JOBS",
        "SEQLINE_VERBOSE",
        "SEQLINE_RUNNER",
        "SEQLINE_PROJECT",
        "SEQLINE_REGION",
        "SEQLINE_TEMP_LOCATION",
    ),
    "SEQLINE_SDK_CONTAINER_IMAGE",
)
# Not options of a command: the cache, Docker Compose, the tests of the worker image, the variables
# of CI.
OTHERS = (
    *(
        "SEQLINE_CACHE",
        "SEQLINE_CACHE_GB",
        "SEQLINE_TAG",
        "SEQLINE_OPTIONS",
        "SEQLINE_MEMORY",
        "SEQLINE_WORKER_IMAGE",
    ),
    "SEQLINE_COMPLETE",
)
KNOWN = (CONFIG, MODEL, *PLACES, *OPTIONS, *OTHERS)
# What Kubernetes puts into every container beside a service that is called seqline.
OF_KUBERNETES = re.compile(r"SEQLINE_(SERVICE_|PORT(_|$)).*|SEQLINE_PORT")


def warn_of_unknown() -> None:
    """Prints a line for each variable that begins with SEQLINE_ and means nothing.

    A setting's name is checked with the configuration.
    """
    for name in sorted(os.environ):
        if (
            name.startswith(PREFIX)
            and name not in KNOWN
            and "__" not in name
            and not OF_KUBERNETES.fullmatch(name)
        ):
            print(
                f"warning: {name} in the environment means nothing to"
                f" seqline.{suggestion(name, KNOWN)}",
                file=sys.stderr,
            )


def settings() -> dict[str, tuple[str, str]]:
    """Setting -> (variable, value) of the environment.

    Trainer.rnn_units -> (SEQLINE_TRAINER__RNN_UNITS, 128).
    """
    found = {
        setting: (name, os.environ[name])
        for name, setting in PLACES.items()
        if os.environ.get(name)
    }
    for name, value in sorted(os.environ.items()):
        if name.startswith(PREFIX) and "__" in name:
            found[name.removeprefix(PREFIX).lower().replace("__", ".")] = (name, value)
    return found
