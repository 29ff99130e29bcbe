"""Where Beam runs: from the flags of a command line to Beam's PipelineOptions."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from seqline.errors import UserError
from seqline.jobs import dataflow, shipping

log = logging.getLogger("seqline.dataflow")

# "DirectRunner" would first look for Prism, a binary that it downloads: another engine with a
# network than without.
LOCAL_RUNNER = "--runner=FnApiRunner"


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's own flags, e.g. ["--direct_num_workers=2"]; the local runner where none is named."""
    named = any(arg == "--runner" or arg.startswith("--runner=") for arg in beam_args)
    return PipelineOptions([*beam_args] if named else [LOCAL_RUNNER, *beam_args])


@contextmanager
def job(beam_args: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline that has run when the block ends.

    Raises a worker's UserError as it is: Beam wraps it in one of its own.

    On Dataflow it is one job, which is watched here; a job of the same name that an earlier run
    submitted is waited for instead.
    """
    if dataflow.is_used(beam_args):
        with shipping.shipped(beam_args) as flags:
            pipeline = beam.Pipeline(options=pipeline_options(flags))
            yield pipeline
            run_on_dataflow(pipeline, flags)
        return
    try:
        with beam.Pipeline(options=pipeline_options(beam_args)) as pipeline:
            yield pipeline
    except Exception as error:
        raise (_cause(error) or error) from None


def _cause(error: BaseException | None) -> UserError | None:
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def run_on_dataflow(pipeline: Any, flags: Sequence[str]) -> None:
    """Submits a job and waits until it is done.

    See `seqline.jobs.dataflow.watch` for what it raises.
    """
    service, name = dataflow.client(flags), dataflow.option(flags, "job_name") or ""
    running = service.active(name) if name else None
    if running:
        log.log(dataflow.NOTE, "%s: waits for the job that an earlier run submitted", name)
    else:
        try:
            result = pipeline.run()
        except Exception as error:
            # Another run was faster: its job makes the same thing. (Beam's exception has no type of
            # its own outside of its internals.)
            if (
                type(error).__name__ != "DataflowJobAlreadyExistsError"
                or (running := service.active(name)) is None
            ):
                raise _refused(error, flags) or error from error
        else:
            running = result.job_id()
    log.log(dataflow.NOTE, "%s: %s", name, service.link(running))
    dataflow.watch(service, running, name)


def _refused(error: Exception, flags: Sequence[str]) -> UserError | None:
    """What it means that a job could not be submitted, where that is the user's to put right."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

    if not isinstance(error, GoogleAPICallError | GoogleAuthError | OSError):
        return None
    return UserError(
        f"The Dataflow job could not be submitted: {' '.join(str(error).split())[:300]}. Correct it"
        " and run again; staged files are under"
        f" {dataflow.option(flags, 'staging_location') or dataflow.option(flags, 'temp_location')}."
    )
