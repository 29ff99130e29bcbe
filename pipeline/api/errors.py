"""What a call raises: the sentence of an error, and what a signal does to a program."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from seqline.errors import StoppedError, UserError


@contextmanager
def explained() -> Iterator[None]:
    """Turns what the machine refused, such as a full disk, into one sentence.

    The advice that the command prints under an error becomes its notes.
    """
    from seqline.host import machine_errors

    try:
        yield
    except UserError as error:
        for label, text in error.advice:
            error.add_note(f"{label}: {text}" if label else f"  {text}")
        # Without the traceback of the stage's process, which it has as its cause.
        raise error from None
    except Exception as error:
        if of_the_machine := machine_errors.explain(error):
            raise of_the_machine from error
        raise


def stop_as_usual(
    stopped: StoppedError, then: str = "the same call goes on from there"
) -> BaseException:
    """Has the signal that stopped some work do to this process what it does without that work.

    Args:
        stopped: How far the work was, and the signal.
        then: What became of the work.

    Returns:
        What to raise, where the process goes on.
    """
    if stopped.by == signal.SIGINT.name:
        where = f" {stopped.where}" if stopped.where else ""
        return KeyboardInterrupt(f"stopped{where} by {stopped.by}; {then}")
    with suppress(ValueError, KeyError):  # a worker's name is no signal's
        signal.raise_signal(signal.Signals[stopped.by])
    return stopped
