"""Runs in MLflow: an experiment for each model, a run for each run of seqline."""

import logging
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from pipeline.report import JSON, MARKDOWN, verdict
from pipeline.report.records import Records, folder_of, read_run
from pipeline.report.reproduce import CONFIG
from pipeline.runner.run import StageResult
from pipeline.store.folder import Store
from pipeline.store.layout import RUN, RUN_LOCK
from pipeline.store.records import FAILED, FINISHED, RUNNING, STOPPED
from pipeline.trackers import MLFLOW, EndedRun, TrackedRun, figures, models
from pipeline.trackers.following import first_line
from pipeline.trackers.reach import check_server, with_defaults
from seqline.errors import UserError
from seqline.host.owner import who

# What a server takes at once, and how long a value may be in those of earlier versions, too.
BATCH, PARAM_CHARS, TAG_CHARS = 100, 500, 5000
# In seconds, and times: a server that is gone costs a run a quarter of a minute.
QUICK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "7", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
# A server answers an upload when it has stored it.
UPLOAD = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "600", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a run tells those whom the user named, and no one else
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",  # the files of the user's own project
}
WAY_OUT = "Start it, or set MLFLOW_TRACKING_URI to the address of one, such as http://host:5000."
DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:", re.IGNORECASE)
# MLflow 3 shows experiments of this kind by their training runs.
OF_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
# The verdict of a record -> MLflow's status. A record that is running was left by a kill.
STATUS = {FINISHED: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED", RUNNING: "KILLED"}


@contextmanager
def _settings(limits: Mapping[str, str]) -> Iterator[None]:
    log = logging.getLogger(MLFLOW)
    with with_defaults(QUIET), with_defaults(limits):
        import mlflow  # noqa: F401  # it sets the level of its log

        level = log.level
        try:
            log.setLevel(logging.ERROR)  # it warns of an environment without pip, as uv makes it
            yield
        finally:
            log.setLevel(level)


class MlflowTracker:
    """A run of MLflow for a run of seqline.

    Attributes:
        client: The client of the server.
        run_id: MLflow's id of the run.
        told: The names of the stages whose figures MLflow has.
    """

    name = MLFLOW

    def __init__(self) -> None:
        with _settings(QUICK):
            import mlflow

            self.place = place = mlflow.get_tracking_uri().rstrip("/")
            if DATABASE.match(place) and find_spec("sqlalchemy") is None:
                raise UserError(
                    f"--track {MLFLOW}: {place} is a database, which MLflow's client cannot open:"
                    " pip install mlflow (all of it), or set MLFLOW_TRACKING_URI to the address of"
                    " a server, such as http://host:5000."
                )
            check_server(MLFLOW, place, WAY_OUT)
            try:
                self.client = mlflow.MlflowClient()
                self.client.search_experiments(max_results=1)
            except Exception as error:  # of any library below: the place can be a database, too
                raise UserError(
                    f"--track {MLFLOW}: {place} cannot be used: {first_line(error)}. {WAY_OUT}"
                ) from None
        self.told: set[str] = set()

    def start(self, run: TrackedRun) -> None:
        """Begins a run, and ends those whose processes were killed."""
        self.run = run
        with _settings(QUICK):
            self.experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", run.model))
            self._end_left_running()
            owner = who()
            tags = {
                "seqline.run": run.name,
                "seqline.root": str(run.store.root),
                "mlflow.source.name": shlex.join(run.command),
                "mlflow.source.type": "LOCAL",
                "mlflow.user": owner["user"],
            }
            if owner["url"]:  # of the job in CI
                tags["seqline.job_url"] = owner["url"]
            if commit := figures.git_commit(os.getcwd()):
                tags["mlflow.source.git.commit"] = commit
            made = self.client.create_run(self.experiment, tags=_cut(tags), run_name=run.name)
            self.run_id = made.info.run_id
            self._log_params(figures.params(run.config))

    def stage_started(self, stage: str) -> None:
        with _settings(QUICK):
            self.client.set_tag(self.run_id, "seqline.stage", stage)

    def stage_ended(self, result: StageResult) -> None:
        stage, artifact = result.stage.name, result.artifact
        content = figures.file_of(stage, artifact.uri)
        with _settings(QUICK):
            self._log_stage(stage, artifact.key, result.figures, result.seconds, content)

    def end(self, ended: EndedRun) -> str:
        """Completes the figures, logs report and model, and ends the run. Returns its page."""
        records = ended.records
        try:
            with _settings(QUICK):
                for execution, content in figures.not_told(records, self.told):
                    self._log_stage(
                        execution.component,
                        execution.key,
                        execution.figures,
                        execution.seconds,
                        content,
                    )
                self._log_verdict(records)
            with _settings(UPLOAD):
                self._log_files(ended)
                self._log_model(records)
        finally:
            with _settings(QUICK):
                self._terminate(records)
        if not self.place.startswith("http"):
            return f"{self.place}, run {self.run_id}"
        return f"{self.place}/#/experiments/{self.experiment}/runs/{self.run_id}"

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        return str(self.client.create_experiment(name, tags=OF_TRAINING))

    def _end_left_running(self) -> None:
        """Ends the runs of this root that are running here alone: their processes are gone."""
        store = self.run.store
        for left in self.client.search_runs([self.experiment], "attributes.status = 'RUNNING'"):
            # A filter cannot take every root: it has no escape for quotes.
            if left.data.tags.get("seqline.root") != str(store.root):
                continue
            name = left.data.tags.get("seqline.run", "")
            with store.cleaning():
                is_alive = store.is_held(f"{RUN_LOCK}{name}")
            if not is_alive:
                self.client.set_terminated(left.info.run_id, _status_of(store, name))

    def _log_params(self, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        rows = [Param(name, value[:PARAM_CHARS]) for name, value in params.items()]
        for start in range(0, len(rows), BATCH):
            self.client.log_batch(self.run_id, params=rows[start : start + BATCH])

    def _log_stage(
        self, stage: str, key: str, numbers: Mapping[str, Any], seconds: float, content: Any
    ) -> None:
        """Logs the figures of a stage, and the key of its artifact as a tag."""
        steps = [figures.of_stage(stage, dict(numbers), seconds)]
        if stage == "evaluator" and content:
            steps[0] |= figures.of_test(content)
        if stage == "trainer" and content:
            steps += figures.of_epochs(content)  # step 1 is the first epoch
        self._log_metrics(steps)
        self.client.set_tag(self.run_id, f"seqline.key.{stage}", key)
        self.told.add(stage)

    def _log_metrics(self, steps: list[dict[str, float]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [
            Metric(name, value, now, step)
            for step, values in enumerate(steps)
            for name, value in values.items()
        ]
        for start in range(0, len(rows), BATCH):
            self.client.log_batch(self.run_id, metrics=rows[start : start + BATCH])

    def _log_verdict(self, records: Records) -> None:
        record = records.record
        tags = {
            "seqline.verdict": verdict.name_of(records),
            "seqline.version": str(record.about.get("seqline", "")),
            "seqline.error": record.error or "",
        }
        if pushed := records.figures("pusher"):
            tags["seqline.served_version"] = str(pushed["version"])
        summary = folder_of(self.run.store, self.run.name) / MARKDOWN
        if summary.is_file() and len(text := summary.read_text(encoding="utf-8")) < TAG_CHARS:
            tags["mlflow.note.content"] = text
        for name, value in _cut(tags).items():
            if value:
                self.client.set_tag(self.run_id, name, value)

    def _log_files(self, ended: EndedRun) -> None:
        """Logs the report, the record, the configuration, and the evaluation."""
        folder = folder_of(self.run.store, self.run.name)
        files = [folder / name for name in (RUN, CONFIG, MARKDOWN, JSON)]
        if ended.report:
            files.append(ended.report)
        for path in files:
            if path.is_file():
                self.client.log_text(self.run_id, path.read_text(encoding="utf-8"), path.name)
        for component, name in (("evaluator", "evaluation.json"), ("trainer", "history.json")):
            if component in ended.records.files:
                self.client.log_dict(self.run_id, ended.records.files[component], name)

    def _log_model(self, records: Records) -> None:
        """Logs the model, and registers it if it is good enough to be served."""
        from pipeline.trackers import mlflow_models

        saved_model = models.saved_model_of(self.run, records)
        if saved_model is None:
            return
        key = records.executions["exporter"].key
        model, alias = self.run.model, models.alias_of(records)
        found = mlflow_models.find_version(self.client, model, key) if alias else None
        if found:
            model_id = mlflow_models.model_id_of(found)
        else:
            model_id = mlflow_models.log_model(
                self.client, self.experiment, self.run_id, saved_model, records
            )
        mlflow_models.link(self.client, self.run_id, model_id)
        if not alias:
            return

        if not found:
            tags = {mlflow_models.KEY: key, "seqline.run": self.run.name}
            about = self._describe(records)
            found = mlflow_models.register(self.client, model, model_id, self.run_id, tags, about)
        self.client.set_registered_model_alias(model, alias, found.version)
        self.client.set_tag(self.run_id, "seqline.registered_version", str(found.version))

    def _describe(self, records: Records) -> str:
        """The line of the evaluator in the run's table."""
        stages = {stage.name: stage for stage in self.run.pipeline.stages}
        return stages["evaluator"].component.describe(records.figures("evaluator"))

    def _terminate(self, records: Records) -> None:
        self.client.set_terminated(self.run_id, STATUS[records.record.verdict])


def _status_of(store: Store, run: str) -> str:
    """MLflow's status for a run whose process is gone."""
    try:
        return STATUS[read_run(store, run).verdict]
    except UserError:
        return STATUS[STOPPED]


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:TAG_CHARS] for name, value in tags.items()}
