"""One retraining of a model at a time on a root; a second one is told who is at work.

In a folder the lock is a file that also works on a disk that machines share, in a bucket an object
with a lease (`seqline.storage.locks`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.retrain import BUSY, EXIT_CODES
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.host import owner
from seqline.storage import locks

NAME = "retrain"


class BusyError(UserError):
    """Another retraining of the model is at work on the root."""

    exit_code = EXIT_CODES[BUSY]


@contextmanager
def held(store: Store, model: str, seconds: float) -> Iterator[None]:
    """Holds the lock of a model on the root within the block.

    Args:
        store: the store of the root.
        model: the model's name.
        seconds: the lease. An owner on another machine that is silent for so long is dead.

    Raises:
        BusyError: another process holds it.
        UserError: the root cannot be written.
    """
    path = store.root / "locks" / f"{NAME}-{model}"
    doing = f"retraining {model} under {store.root}"

    with ExitStack() as stack:
        try:
            stack.enter_context(
                locks.held(path, doing, waits=False, on_shared_disk=True, seconds=seconds)
            )
        except locks.HeldError as error:
            raise BusyError(f"{owner.name(error.holder)} is {doing}") from None
        except OSError as error:
            raise UserError(
                f"root {str(store.root)!r} cannot be written: {error.strerror}. "
                "Name another with --root."
            ) from None
        yield
