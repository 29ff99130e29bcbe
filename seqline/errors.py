"""The errors that a user can cause, each with the exit code of the command that it ends."""

from collections.abc import Sequence


class UserError(ValueError):
    """Something the user can put right: shown as one line, never as a traceback.

    advice: (what it is, text) of the lines that a command may print under it.
    """

    exit_code = 2
    advice: Sequence[tuple[str, str]] = ()


class StoppedError(UserError):
    """A signal ended the work early; the same command goes on from there.

    where: what it was about, such as "at step 120 of 800". by: the signal's name, or whoever got
    it.
    """

    exit_code = 50

    def __init__(self, where: str, by: str) -> None:
        super().__init__(where, by)
        self.where = where
        self.by = by

    def __str__(self) -> str:
        return f"stopped {self.where} by {self.by}; the same command goes on from there"


class LostWorkerError(UserError):
    """Another worker is gone; the same command on all of them goes on from the last checkpoint."""

    exit_code = StoppedError.exit_code


class DataError(UserError):
    """The data cannot be used as it is."""

    exit_code = 20


class NotBlessedError(UserError):
    """A gate refused the model; what was served before is still served."""

    exit_code = 30
