"""The errors that a user can cause, each with the exit code of the command that it ends."""

from collections.abc import Sequence


class UserError(ValueError):
    """Something that the user can put right. It is shown as one line, never as a traceback."""

    exit_code = 2
    # (label, text) of each line that a command may print under the error.
    advice: Sequence[tuple[str, str]] = ()


class UnfinishedError(BaseException):
    """The work ended early, and nothing is wrong with it. The same command goes on from there.

    Not an Exception: what handles faults (`except UserError`, `except Exception`) must not take it
    for one, such as for a trial that failed.
    """

    exit_code = 50


class StoppedError(UnfinishedError):
    """A signal ended the work early.

    Args:
        where: How far the work was, such as "at step 120 of 800"; "" if that says nothing.
        by: The name of the signal, or of the worker that received it.
    """

    def __init__(self, where: str, by: str) -> None:
        super().__init__(where, by)
        self.where = where
        self.by = by

    def __str__(self) -> str:
        if not self.where:
            return f"stopped by {self.by}; run the same command again"
        return f"stopped {self.where} by {self.by}; the same command goes on from there"


class LostWorkerError(UnfinishedError):
    """Another worker is gone. The same command on all workers goes on from the last checkpoint."""


class DataError(UserError):
    """The data cannot be used as it is."""

    exit_code = 20


class NotBlessedError(UserError):
    """A gate refused the model. The version that was served before is still served."""

    exit_code = 30
