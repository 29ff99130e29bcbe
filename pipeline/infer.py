"""`seqline infer`: the bulk inferrer on a served model, into a folder of the user's."""

from collections.abc import Callable, Sequence
from pathlib import Path

from components.base import Figures, UserError
from components.bulk_inferrer import BulkInferrerParams, check, folder
from pipeline import worker
from pipeline.pool import workers
from pipeline.predict import InputError, find_model
from pipeline.runner import result
from pipeline.stopping import stopping

LOG = "log.txt"


def infer(
    model: Path, output: Path, params: BulkInferrerParams, force: bool, beam_args: Sequence[str], on_start: Callable[[], None]
) -> Figures:
    """Classifies the rows of params.source; chunks that a run which was killed left are not computed again.

    Raises UserError for a model, a source or a folder that cannot be used, StoppedError where a signal ended it.
    """
    try:
        found = find_model(model).absolute()
    except InputError as error:
        raise UserError(str(error)) from None
    check(params)
    with folder.opened(output.absolute(), found, params, force) as task, stopping() as stop:
        if figures := folder.finished(task.folder):
            folder.validate(folder.summary(task.folder), params)
            return figures
        on_start()
        with workers(task.folder / LOG, 1) as pool:
            stop.end_workers = pool.end
            return dict(
                result(
                    pool.submit(worker.call, _infer, {"task": task, "params": params, "beam_args": tuple(beam_args)}), "infer", pool, stop
                )
            )


def _infer(task: folder.Task, params: BulkInferrerParams, beam_args: Sequence[str]) -> Figures:
    from components.bulk_inferrer import job

    return job.infer(task, params, beam_args)
