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
from contextlib import suppress
from typing import Any

from seqline.component import Figures
from seqline.errors import UserError
from seqline.host import machine_errors, plain_tensorflow, progress
from seqline.jobs.portable import StopSignal
from seqline.storage.atomic import open_regular

# How often a worker checks that the process that started it still exists.
WATCH_SECONDS = 0.5
# How long a process without a parent may take to cancel its job on an engine.
CANCEL_SECONDS = 30.0


class StageError(Exception):
    """A bug in a stage, with the worker's traceback as text.

    The exception itself may not survive the way from one process to the other.
    """


def initialize(
    log_file: str,
    messages: Any,
    parent: int,
    tells_progress: bool = False,
    has_template: bool = False,
) -> None:
    """Prepares a worker process: its output, its log and its end.

    Args:
        log_file: The file that gets the output of libraries.
        messages: The queue that gets seqline's own messages.
        parent: The id of the process that started this one. Asked for here, it could already be
            the id of the process that adopts orphans.
        tells_progress: Also send how far stages are (`seqline.host.progress`).
        has_template: Also import TensorFlow, for `seqline.host.plain_tensorflow`.
    """
    # A terminal sends Ctrl-C to every process. The run hears it, too, and sends SIGTERM to the
    # workers that must stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # see `pool._interrupt_blocked`

    # File descriptors, not sys.stdout: TensorFlow's C++ writes past Python, and before any log
    # level counts.
    descriptor = _open_log(log_file)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    warnings.simplefilter("default")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if has_template:
        plain_tensorflow.start_template()  # Here, where this process has no threads yet.

    log = logging.getLogger("seqline")
    log.setLevel(logging.INFO)
    log.propagate = False
    to_run, to_log = logging.handlers.QueueHandler(messages), logging.StreamHandler(sys.stderr)
    to_run.addFilter(_name_the_stage)
    to_log.setLevel(logging.INFO)  # without progress, which is of no use later
    log.handlers = [to_run, to_log]
    if tells_progress:
        progress.log.setLevel(progress.LEVEL)

    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _open_log(log_file: str) -> int:
    """The log's descriptor, or that of no file: an error here would be taken for a dead process."""
    try:
        return open_regular(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except (OSError, UserError):
        return os.open(os.devnull, os.O_WRONLY)


# The stage that this process runs.
_stage = ""


def _name_the_stage(record: logging.LogRecord) -> bool:
    record.stage = _stage
    return True


def _end_with(parent: int) -> None:
    """Ends this process when its parent has ended, so that a killed run leaves no worker."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    if isinstance(signal.getsignal(signal.SIGTERM), StopSignal):
        os.kill(os.getpid(), signal.SIGTERM)  # it cancels its job, and ends
        time.sleep(CANCEL_SECONDS)
    os._exit(1)


def call(run: Callable[..., Figures], arguments: Mapping[str, Any], stage: str = "") -> Figures:
    """Runs a component in this process.

    Args:
        run: The component's `run`.
        arguments: Those of `run`.
        stage: The stage's name, by which the run tells the messages of its processes apart.

    Raises:
        UserError: What `run` raised, or what the machine refused it.
        StageError: `run` raised something else.
    """
    global _stage
    _stage = stage
    try:
        return run(**arguments)
    except UserError:
        raise
    except Exception as error:
        places = [arguments[name] for name in ("output", "work") if name in arguments]
        explained = machine_errors.explain(error, stage, places)
        if explained is None:
            raise StageError(traceback.format_exc()) from None
        with suppress(OSError):  # the log may be on the same full disk
            traceback.print_exc()
        raise explained from None
