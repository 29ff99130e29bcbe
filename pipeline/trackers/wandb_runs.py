"""Runs in Weights & Biases: a project for each model, a run for each run of seqline.

WANDB_MODE=offline writes the run into a folder and needs no server and no account.
"""

import os

import wandb

from pipeline.report import verdict
from pipeline.report.records import Records
from pipeline.runner.run import StageResult
from pipeline.store.records import FINISHED
from pipeline.trackers import WANDB, EndedRun, TrackedRun, figures, models
from pipeline.trackers.following import first_line
from pipeline.trackers.reach import check_server, with_defaults
from seqline.errors import UserError

WITHOUT_SERVER = ("offline", "disabled", "dryrun")
INIT_SECONDS = 20
WAY_OUT = "WANDB_MODE=offline writes the run into a folder instead; wandb sync sends it later."


class WandbTracker:
    """A run of Weights & Biases for a run of seqline.

    Attributes:
        told: The names of the stages whose figures it has.
    """

    name = WANDB

    def __init__(self) -> None:
        self.told: set[str] = set()
        if os.environ.get("WANDB_MODE", "").lower() in WITHOUT_SERVER:
            return
        if not wandb.api.api_key:
            raise UserError(
                f"--track {WANDB}: no account: run wandb login, or set WANDB_API_KEY. {WAY_OUT}"
            )
        check_server(WANDB, wandb.Settings().base_url, WAY_OUT)

    def start(self, run: TrackedRun) -> None:
        self.run = run
        try:
            with with_defaults({"WANDB_SILENT": "true"}):
                self.there = wandb.init(
                    project=os.environ.get("WANDB_PROJECT", run.model),
                    id=run.name,
                    name=run.name,
                    config=run.config,
                    resume="allow",
                    reinit="create_new",  # a notebook may have a run of its own
                    settings=wandb.Settings(
                        console="off", init_timeout=INIT_SECONDS, x_disable_stats=True
                    ),
                )
        except Exception as error:  # of the service that wandb starts, or of its server
            raise UserError(f"--track {WANDB}: {first_line(error)}. {WAY_OUT}") from None

    def stage_started(self, stage: str) -> None:
        self.there.summary["stage"] = stage

    def stage_ended(self, result: StageResult) -> None:
        stage = result.stage.name
        content = figures.file_of(stage, result.artifact.uri)
        self._log(stage, dict(result.figures), result.seconds, result.artifact.key, content)

    def end(self, ended: EndedRun) -> str:
        """Completes the figures, logs report and model, and ends the run."""
        records = ended.records
        record = records.record
        try:
            for execution, content in figures.not_told(records, self.told):
                numbers, seconds = execution.figures, execution.seconds
                self._log(execution.component, numbers, seconds, execution.key, content)

            self.there.summary["verdict"] = verdict.name_of(records)
            if record.error:
                self.there.summary["error"] = record.error
            if ended.report:
                page = ended.report.read_text(encoding="utf-8")
                self.there.log({"report": wandb.Html(page, inject=False)})
            self._log_model(records)
        finally:
            self.there.finish(exit_code=0 if record.verdict == FINISHED else 1)
        if self.there.offline:
            return os.path.dirname(self.there.dir)
        return str(self.there.url)

    def _log(
        self, stage: str, numbers: figures.Figures, seconds: float, key: str, content: object
    ) -> None:
        summary: dict[str, object] = {f"key/{stage}": key}
        summary |= figures.of_stage(stage, numbers, seconds)
        if stage == "evaluator" and isinstance(content, dict):
            summary |= figures.of_test(content)
        if stage == "trainer" and isinstance(content, dict):
            for epoch, values in enumerate(figures.of_epochs(content), start=1):
                self.there.log(values, step=epoch)
        self.there.summary.update(summary)
        self.told.add(stage)

    def _log_model(self, records: Records) -> None:
        """Logs the model. The same content again is the same version."""
        saved_model = models.saved_model_of(self.run, records)
        if saved_model is None:
            return
        artifact = wandb.Artifact(self.run.model, type="model")
        artifact.add_dir(str(saved_model))
        alias = models.alias_of(records)
        self.there.log_artifact(artifact, aliases=[alias] if alias else None)
