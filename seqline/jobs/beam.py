"""Where Beam runs: from the flags of a command line to a pipeline that has run."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from seqline.errors import LostWorkerError, UserError
from seqline.jobs import dataflow, portable, shipping

log = logging.getLogger("seqline.dataflow")

# "DirectRunner" would first look for Prism, a binary that it downloads: the engine would depend on
# the network.
LOCAL_RUNNER = "--runner=FnApiRunner"
DIRECT_RUNNERS = ("DirectRunner", "SwitchingDirectRunner")


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """The options of Beam's own flags, e.g. ["--direct_num_workers=2"].

    Without --runner, and for a direct runner, the local runner is used.
    """
    if dataflow.option(beam_args, "runner") in (None, *DIRECT_RUNNERS):
        return PipelineOptions([*beam_args, LOCAL_RUNNER])
    return PipelineOptions([*beam_args])


def is_elsewhere(beam_args: Sequence[str]) -> bool:
    """Whether the workers may be on other machines: on Dataflow, or on a portable runner."""
    return dataflow.is_used(beam_args) or portable.runner(beam_args) != ""


@contextmanager
def job(beam_args: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline that has run when the block ends.

    On Dataflow it is one job, which is watched here. If an earlier run has submitted a job of the
    same name, that job is waited for instead.

    Raises:
        UserError: a worker raised it; Beam's own wrapping is removed.
        LostWorkerError: a worker, the engine or its server was lost.
    """
    if dataflow.is_used(beam_args):
        with shipping.shipped(beam_args) as flags:
            pipeline = beam.Pipeline(options=pipeline_options(flags))
            yield pipeline
            run_on_dataflow(pipeline, flags)
        return

    if portable.runner(beam_args):
        _check_again(beam_args)
        from seqline.jobs import portable_job

        try:
            pipeline = beam.Pipeline(options=pipeline_options(beam_args))
        except ValueError as error:  # what Beam says of flags that do not fit together
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"Beam refuses the flags after `--`: {reason}.") from None
        yield pipeline
        portable_job.run(pipeline, beam_args)
        return

    try:
        with beam.Pipeline(options=pipeline_options(beam_args)) as pipeline:
            yield pipeline
    except Exception as error:
        raise (_cause(error) or error) from None


def _check_again(beam_args: Sequence[str]) -> None:
    """Checks what the command has checked when it began: it may be gone since."""
    try:
        portable.check(beam_args)
    except portable.UnreachableError as error:
        raise LostWorkerError(str(error)) from None


def _cause(error: BaseException | None) -> UserError | None:
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def run_on_dataflow(pipeline: Any, flags: Sequence[str]) -> None:
    """Submits a job and waits until it is done.

    Raises what `seqline.jobs.dataflow.watch` raises, and UserError for a job that is refused.
    """
    service = dataflow.client(flags)
    name = dataflow.option(flags, "job_name") or ""

    job_id = service.active(name) if name else None
    if job_id:
        log.log(dataflow.NOTE, "%s: waits for the job that an earlier run submitted", name)
    else:
        job_id = _submit(pipeline, service, name, flags)

    log.log(dataflow.NOTE, "%s: %s", name, service.link(job_id))
    dataflow.watch(service, job_id, name)


def _submit(pipeline: Any, service: dataflow.Client, name: str, flags: Sequence[str]) -> str:
    """Submits a job and returns its id, or that of the same job of another run."""
    try:
        return str(pipeline.run().job_id())
    except Exception as error:
        # Another run was faster: its job makes the same artifact. (Beam exports no type for this
        # error.)
        if type(error).__name__ == "DataflowJobAlreadyExistsError":
            active = service.active(name)
            if active is not None:
                return active
        raise _refused(error, flags) or error from error


def _refused(error: Exception, flags: Sequence[str]) -> UserError | None:
    """The UserError for a refused job; None if the error is not the user's to correct."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

    if not isinstance(error, GoogleAPICallError | GoogleAuthError | OSError):
        return None

    staging = dataflow.option(flags, "staging_location") or dataflow.option(flags, "temp_location")
    return UserError(
        f"The Dataflow job could not be submitted: {' '.join(str(error).split())[:300]}. "
        f"Correct it and run again; staged files are under {staging}."
    )
