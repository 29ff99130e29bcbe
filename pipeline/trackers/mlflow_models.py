"""A run's model in MLflow: logged with the pyfunc flavour, and a version in the registry."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array, Map

from pipeline.report.records import Records
from pipeline.trackers import seqline_pyfunc

MODEL = "model"
REQUIREMENTS = ("tensorflow", "numpy", "pandas")
# What a request of one row may look like.
EXAMPLES: dict[str, Any] = {
    "text": "Your text",
    "tokens": ["your", "tokens"],
    "sequence": [[0.0], [0.0]],
}
TEXT, NUMBER = DataType.string, DataType.double
TYPES: dict[str, Any] = {
    "text": TEXT,
    "tokens": Array(TEXT),
    "sequence": Array(Array(NUMBER)),
}
# The tag of a model's version with the key of its SavedModel's artifact.
KEY = "seqline.key"


def signature_of(content: str) -> ModelSignature:
    """What `seqline_pyfunc` takes and gives."""
    return ModelSignature(
        inputs=Schema([ColSpec(TYPES[content], content)]),
        outputs=Schema([ColSpec(TEXT, "label"), ColSpec(Map(NUMBER), "probabilities")]),
    )


def log_model(
    client: Any, experiment: str, run_id: str, saved_model: Path, records: Records
) -> str:
    """Logs a SavedModel with a run.

    Args:
        client: An MlflowClient.
        experiment: The id of the run's experiment.
        run_id: The run's.
        saved_model: The folder of the SavedModel, on this machine.
        records: Those of the run.

    Returns:
        The id of the logged model.
    """
    content = str(records.params("example_gen").get("content", "text"))
    key = records.executions["exporter"].key
    logged = client.create_logged_model(
        experiment, name=MODEL, source_run_id=run_id, tags={KEY: key}, model_type="seqline"
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, MODEL)
            _save(place, saved_model, content, records, logged, run_id)
            client.log_model_artifacts(logged.model_id, str(place))
    except BaseException:
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
        raise

    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return str(logged.model_id)


def link(client: Any, run_id: str, model_id: str) -> None:
    """Shows a logged model on the page of a run."""
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _save(
    place: Path, saved_model: Path, content: str, records: Records, logged: Any, run_id: str
) -> None:
    """Writes MLflow's folder of a model."""
    import pandas as pd

    row = EXAMPLES[content]
    if content == "sequence":
        row = [[0.0] * (records.figures("transform").get("dim") or 1)] * 2
    mlflow.pyfunc.save_model(
        path=str(place),
        loader_module=seqline_pyfunc.__name__.rpartition(".")[2],
        data_path=str(saved_model),
        code_paths=[seqline_pyfunc.__file__],
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        signature=signature_of(content),
        input_example=pd.DataFrame({content: [row]}),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=run_id,
        ),
    )


def find_version(client: Any, model: str, key: str) -> Any:
    """The newest version of a registered model that was made of an artifact; None for none."""
    found = client.search_model_versions(f"name = '{model}' and tags.`{KEY}` = '{key}'")
    ready = [entry for entry in found if entry.status == "READY"]
    return max(ready, key=lambda entry: int(entry.version), default=None)


def register(
    client: Any, model: str, model_id: str, run_id: str, tags: dict[str, str], about: str
) -> Any:
    """Makes a logged model the next version of the registered model, and returns the version."""
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model, {"seqline": "true"}, "Made by seqline.")
    return client.create_model_version(
        model, f"models:/{model_id}", run_id, tags, description=about, model_id=model_id
    )
