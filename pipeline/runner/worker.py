"""The process in which components run."""

import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from seqline.component import Figures
from seqline.errors import UserError
from seqline.host import progress

# How often a worker looks whether the process that started it is still there.
WATCH_SECONDS = 0.5


class StageError(Exception):
    """A bug.

    Carries the traceback of the worker as text (the exception itself may not survive the way
    between processes).
    """


def initialize(log_file: str, messages: Any, parent: int, tells_progress: bool = False) -> None:
    """Sends everything that libraries print to the log file, and seqline's own messages to the
    queue `messages`.

    parent: the process that started this one. Asked for here, it could already be another: the one
    that adopts orphans. tells_progress: also send how far stages are (`seqline.host.progress`).

    File descriptors, not sys.stdout: TensorFlow's C++ writes past Python, before any log level
    counts.
    """
    # Ctrl-C goes to every process of a terminal; the run hears it, too, and sends SIGTERM to those
    # that shall stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    warnings.simplefilter("default")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    log = logging.getLogger("seqline")
    log.setLevel(logging.INFO)
    log.propagate = False
    to_run, to_log = logging.handlers.QueueHandler(messages), logging.StreamHandler(sys.stderr)
    to_run.addFilter(_name_the_stage)
    to_log.setLevel(logging.INFO)  # how far a stage is, is nothing to keep
    log.handlers = [to_run, to_log]
    if tells_progress:
        progress.log.setLevel(progress.LEVEL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


# The stage that this process runs.
_stage = ""


def _name_the_stage(record: logging.LogRecord) -> bool:
    record.stage = _stage
    return True


def _end_with(parent: int) -> None:
    """A run that was killed leaves no worker behind, writing to nobody."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def call(run: Callable[..., Figures], arguments: Mapping[str, Any], stage: str = "") -> Figures:
    """Runs a component. Raises UserError as it is, anything else as StageError with its traceback.

    stage: its name, by which the run tells apart what the processes say.
    """
    global _stage
    _stage = stage
    try:
        return run(**arguments)
    except UserError:
        raise
    except Exception:
        raise StageError(traceback.format_exc()) from None
