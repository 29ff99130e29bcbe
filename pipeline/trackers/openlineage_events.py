"""Events of OpenLineage for a run and for each of its stages."""

import os
import sys
from collections.abc import Iterable
from uuid import NAMESPACE_URL, uuid5

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import (
    BaseFacet,
    documentation_job,
    error_message_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    tags_run,
)
from openlineage.client.transport.http import HttpTransport

from pipeline.report import verdict
from pipeline.runner.plan import Stage
from pipeline.runner.run import StageResult
from pipeline.store.records import FINISHED, STOPPED
from pipeline.trackers import OPENLINEAGE, EndedRun, TrackedRun, figures
from pipeline.trackers.following import first_line
from pipeline.trackers.openlineage_datasets import Datasets
from pipeline.trackers.reach import check_server
from seqline import __version__
from seqline.errors import UserError
from seqline.host.clock import now

NAMESPACE = "OPENLINEAGE_NAMESPACE"  # as other producers call it
DEFAULT_NAMESPACE = "seqline"
WAY_OUT = "Start it, or set OPENLINEAGE_URL, or name another in openlineage.yml."
NO_TRANSPORT = (
    f"--track {OPENLINEAGE} needs a place for its events: set OPENLINEAGE_URL=http://host:5000, or"
    " write openlineage.yml."
)
PRODUCER = f"urn:seqline:{__version__}"
# The client's own five retries of five seconds would hold up a run whose server is gone.
NUM_RETRIES = 1


def uuid_of(run: str, stage: str = "") -> str:
    """The id of a run, or of a stage in it: the same each time it is asked for."""
    return str(uuid5(NAMESPACE_URL, "/".join(["seqline", run, *([stage] if stage else [])])))


class OpenLineageTracker:
    """START and COMPLETE, FAIL or ABORT for the run and each stage, which has the run as parent.

    Attributes:
        client: The client, with the transport that its environment or its file names.
        open: The stages that have started and have not ended.
    """

    name = OPENLINEAGE

    def __init__(self) -> None:
        before = dict(os.environ)
        try:
            self.client = OpenLineageClient()
        except Exception as error:  # of any transport: a wrong file, a missing package
            raise UserError(f"--track {OPENLINEAGE}: {first_line(error)}. {WAY_OUT}") from None
        finally:
            for name in os.environ.keys() - before.keys():  # the client writes there
                del os.environ[name]

        transport = self.client.transport
        if transport.kind == "console" and not (self.client.config.transport or {}).get("type"):
            raise UserError(NO_TRANSPORT)
        if isinstance(transport, HttpTransport):
            check_server(OPENLINEAGE, transport.url, WAY_OUT)
            transport.config.retry = {**transport.config.retry, **_fewer(transport.config.retry)}
        set_producer(PRODUCER)  # of the facets, which have no argument for it
        self.namespace = os.environ.get(NAMESPACE) or DEFAULT_NAMESPACE
        self.open: list[str] = []

    def start(self, run: TrackedRun) -> None:
        self.run, self.datasets = run, Datasets(run)
        self._emit(RunState.START)

    def stage_started(self, stage: str) -> None:
        self.open.append(stage)
        self._emit(RunState.START, stage)

    def stage_ended(self, result: StageResult) -> None:
        """Tells the end of a stage, with the datasets that it read and wrote."""
        stage = result.stage.name
        if stage not in self.open:  # a cached one
            self._emit(RunState.START, stage)
        else:
            self.open.remove(stage)

        content = figures.file_of(stage, result.artifact.uri)
        inputs, outputs = self.datasets.of_stage(result, content)
        tags = {"key": result.artifact.key, "cached": str(result.cached).lower()}
        event = self._event(RunState.COMPLETE, stage, tags=tags)
        event.inputs, event.outputs = inputs, outputs
        self.client.emit(event)

    def end(self, ended: EndedRun) -> str:
        """Tells the end of the run, and of the stages that did not end before it."""
        record = ended.records.record
        states = {FINISHED: RunState.COMPLETE, STOPPED: RunState.ABORT}
        state = states.get(record.verdict, RunState.FAIL)
        error = record.error or "the run left no record of its end"
        for stage in self.open:
            self._emit(state, stage, error)

        tags = {"verdict": verdict.name_of(ended.records)}
        event = self._event(state, error="" if record.verdict == FINISHED else error, tags=tags)
        event.inputs, event.outputs = self.datasets.of_run()
        self.client.emit(event)
        self.client.close(timeout=5)
        return ""

    def _emit(self, state: RunState, stage: str = "", error: str = "") -> None:
        self.client.emit(self._event(state, stage, error))

    def _event(
        self, state: RunState, stage: str = "", error: str = "", tags: dict[str, str] | None = None
    ) -> RunEvent:
        """An event of the run, or of a stage."""
        run = Run(uuid_of(self.run.name, stage), self._run_facets(stage, error, tags or {}))
        job = Job(self.namespace, self._job(stage), self._job_facets(stage))
        return RunEvent(eventTime=now(), eventType=state, run=run, job=job, producer=PRODUCER)

    def _job(self, stage: str) -> str:
        return f"{self.run.model}.{stage}" if stage else self.run.model

    def _run_facets(self, stage: str, error: str, tags: dict[str, str]) -> dict[str, BaseFacet]:
        facets: dict[str, BaseFacet] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=__version__, name="seqline", openlineageAdapterVersion=__version__
            ),
            "tags": tags_run.TagsRunFacet(
                [
                    tags_run.TagsRunFacetFields(key, value, "seqline")
                    for key, value in {"run": self.run.name, **tags}.items()
                ]
            ),
        }
        if stage:
            facets["parent"] = parent_run.ParentRunFacet(
                run=parent_run.Run(uuid_of(self.run.name)),
                job=parent_run.Job(self.namespace, self._job("")),
            )
        if error:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "python")
        return facets

    def _job_facets(self, stage: str) -> dict[str, BaseFacet]:
        facets: dict[str, BaseFacet] = {
            "jobType": job_type_job.JobTypeJobFacet("BATCH", "SEQLINE", "TASK" if stage else "DAG")
        }
        if stage:
            about = _summary(self.run.pipeline.stages, stage)
            facets["documentation"] = documentation_job.DocumentationJobFacet(about)
        return facets


def _fewer(retry: dict[str, object]) -> dict[str, int]:
    names = ("total", "read", "connect")
    return {name: NUM_RETRIES for name in names if name in retry}


def _summary(stages: Iterable[Stage], name: str) -> str:
    """The first line of a component's face; its name if it has none."""
    component = next(stage.component for stage in stages if stage.name == name)
    lines = (sys.modules[component.run.__module__].__doc__ or name).splitlines()
    return lines[0]
