"""The model of a run: where it is, and how far it came."""

from pathlib import Path

from pipeline.report import verdict
from pipeline.report.records import Records
from pipeline.store.records import FINISHED
from pipeline.trackers import TrackedRun
from seqline.component import Artifact
from seqline.data.features import SAVED_MODEL

CHAMPION, CANDIDATE = "champion", "candidate"


def saved_model_of(run: TrackedRun, records: Records) -> Path | None:
    """The folder of the run's SavedModel on this machine; None if the run made none."""
    if "exporter" not in records.executions:
        return None
    execution = records.executions["exporter"]
    path = run.store.path("exporter", execution.key)
    artifact = Artifact(execution.type, path, execution.key)
    return run.store.local_folder(artifact) / SAVED_MODEL


def alias_of(records: Records) -> str | None:
    """champion for the model that is served, candidate for another one that passed the evaluator.

    None for a model that was refused, or that was not judged.
    """
    if records.record.verdict != FINISHED or not records.figures("evaluator").get("blessed"):
        return None
    is_served = verdict.name_of(records) in ("pushed", "nothing new")
    is_stable = records.params("pusher").get("label", "stable") == "stable"
    return CHAMPION if is_served and is_stable else CANDIDATE
