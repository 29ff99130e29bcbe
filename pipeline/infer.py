"""`seqline infer`: runs the bulk inferrer with a served model, into a folder of the user's."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.bulk_inferrer import (
    BULK_INFERRER,
    BulkInferrerParams,
    check,
    check_signature,
    folder,
)
from pipeline.runner import worker
from pipeline.runner.pool import workers
from pipeline.runner.stopping import stopping
from seqline.component import Figures
from seqline.digests import digest
from seqline.errors import UserError
from seqline.jobs import dataflow
from seqline.model import pushed
from seqline.storage.files import is_remote
from seqline.storage.staging import local_copy, path_of, upload
from serving.asking import standard_error_kept
from serving.predict import InputError, find_model

LOG = "log.txt"
NAME = "infer"


def infer(
    model: str,
    output: str,
    params: BulkInferrerParams,
    force: bool,
    beam_args: Sequence[str],
    on_start: Callable[[], None],
    unverified: bool = False,
) -> Figures:
    """Classifies the rows of params.source.

    Chunks that a killed run has completed are not computed again.

    Args:
        model: A SavedModel or a folder with versions of one, local or in a bucket.
        output: The folder for the predictions, local or in a bucket.
        params: The source and the settings.
        force: Whether to replace the predictions of another task.
        beam_args: The flags that say where Beam runs.
        on_start: Called before the work starts; not for a task that is complete.
        unverified: Ask a pushed version even if its files are not those that were pushed.

    Raises:
        UserError: The model, the source or the folder cannot be used.
        StoppedError: A signal ended it.
    """
    try:
        saved_model = find_model(path_of(model))
    except InputError as error:
        raise UserError(str(error)) from None

    if not unverified:
        pushed.check(local_copy(saved_model), saved_model)
    check(params)
    with standard_error_kept():
        check_signature(saved_model, params)
    place = path_of(output).absolute()
    saved_model = saved_model.absolute()

    with (
        folder.opened(place, saved_model, params, force) as task,
        stopping() as stop,
        _log(place) as log,
    ):
        if figures := folder.finished(task.folder):
            folder.validate(folder.totals_of(task.folder), params)
            return figures

        on_start()
        flags = dataflow.job_flags(beam_args, NAME, digest(task.identity), output)
        with workers(log, 1, stop) as pool:
            future = pool.submit(
                worker.call,
                _infer,
                {
                    "task": task,
                    "params": params,
                    "beam_args": flags,
                    "unverified": unverified,
                },
                BULK_INFERRER.name,
            )
            return dict(pool.result(future, NAME))


@contextmanager
def _log(place: Path) -> Iterator[Path]:
    """The log's file, in the folder of the predictions. In a bucket it is uploaded at the end."""
    if not is_remote(str(place)):
        yield place / LOG
        return

    with tempfile.TemporaryDirectory(prefix="seqline-infer-") as name:
        try:
            yield Path(name, LOG)
        finally:
            upload(Path(name), place)


def _infer(
    task: folder.InferTask,
    params: BulkInferrerParams,
    beam_args: Sequence[str],
    unverified: bool,
) -> Figures:
    from components.bulk_inferrer import job

    return job.infer(task, params, beam_args, unverified=unverified)
