"""A whole run, told to a real MLflow server, to a server of events, and to W&B's files."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.report.records import read_run
from pipeline.runner.plan import Pipeline
from pipeline.store.folder import Store
from pipeline.trackers import TrackedRun
from serving.predict import predict
from tests.support.command_line import environment
from tests.support.corpus import SMALL_SETTINGS, corpus_rows, set_flags, write_jsonl
from tests.support.lineage_schema import problems
from tests.support.lineage_server import LineageServer, lineage_server
from tests.support.mlflow_server import MlflowServer, mlflow_server, values
from tests.support.wandb_files import read_offline_run

# Five runs, of which each loads TensorFlow.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TEXTS = ["The cat and dog!", "an apple; a pear", "gold \u00e9 iron", "nothing known"]
# `seqline retrain` has a threshold for each gate.
RETRAIN = """
name = "retrained"
[example_gen]
source = "corpus.jsonl"
[evaluator]
min_accuracy = 0.5
min_macro_f1 = 0.5
max_cross_entropy = 1.0
max_ece = 1.0
min_gain_over_linear = -0.5
min_slice_accuracy = 0.1
[infra_validator]
max_p99_seconds = 60.0
max_model_mb = 50.0
"""
# A process that has MLflow, pandas and TensorFlow, and nothing of seqline.
ASK = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("seqline", "components", "pipeline", "serving"):
            raise ImportError(f"{name} is absent")

sys.meta_path.insert(0, Absent())
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(pandas.DataFrame({"text": json.loads(sys.argv[2])}))
print(json.dumps([model.metadata.signature.to_dict(), answers.to_dict("records")]))
"""


@dataclass
class Tracked:
    """The servers after five runs.

    A first one, the same again, a refused one, a retraining by another name, and a stopped one.

    Attributes:
        folder: Where the runs were.
        mlflow: MLflow's server.
        lineage: The server of events, which were all received before a test begins.
        printed: What the first run printed.
        codes: The exit codes of the runs.
    """

    folder: Path
    mlflow: MlflowServer
    lineage: LineageServer
    printed: str
    codes: list[int]

    @property
    def runs(self) -> list[dict[str, Any]]:
        return self.mlflow.runs("topics")

    @property
    def versions(self) -> list[dict[str, Any]]:
        answer = self.mlflow.get("model-versions/search", filter="name = 'topics'")
        return list(answer["model_versions"])

    def artifact(self, run: dict[str, Any], name: str) -> bytes:
        answer = requests.get(
            f"{self.mlflow.url}/get-artifact",
            params={"path": name, "run_uuid": run["info"]["run_id"]},
            timeout=60,
        )
        assert answer.ok, answer.text
        return answer.content


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracked")
    served = folder / "mlflow"
    served.mkdir()
    write_jsonl(folder / "corpus.jsonl", corpus_rows())
    with mlflow_server(served) as mlflow, lineage_server() as lineage:
        env = environment() | {
            "MLFLOW_TRACKING_URI": mlflow.url,
            "OPENLINEAGE_URL": lineage.url,
            "WANDB_MODE": "offline",
            "SEQLINE_TRACK": "mlflow,openlineage,wandb",
        }
        settings = {**SMALL_SETTINGS, "name": "topics", "trainer.num_epochs": 4}
        command = [sys.executable, "-m", "pipeline", "run", "corpus.jsonl", *set_flags(settings)]
        done = []
        refused = {"evaluator.max_cross_entropy": 0.0001}
        (folder / "retrain.toml").write_text(RETRAIN)
        retrain = [*command[:3], "retrain", "retrain.toml", "--bootstrap"]
        retrain += set_flags({**SMALL_SETTINGS, "trainer.num_epochs": 4})
        for arguments in (command, command, [*command, *set_flags(refused)], retrain):
            done.append(
                subprocess.run(
                    arguments,
                    cwd=folder,
                    env=env,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            )
        for run in done:
            assert "Traceback" not in run.stderr, run.stderr
            print(run.stdout)  # shown with a failure
        stopped = stop_in_trainer(
            [*command, "--set", "trainer.num_epochs=5000"], folder, env, lineage
        )
        yield Tracked(
            folder, mlflow, lineage, done[0].stdout, [*(run.returncode for run in done), stopped]
        )


def stop_in_trainer(
    command: list[str], folder: Path, env: dict[str, str], lineage: LineageServer
) -> int:
    """Stops a run when its training has started, and returns the exit code."""
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL) as running:
        while lineage.types("topics.trainer")[-1] != "START" and running.poll() is None:
            time.sleep(0.05)
        running.terminate()
    return running.returncode


def test_the_runs_end_as_without_trackers(tracked: Tracked) -> None:
    assert tracked.codes == [0, 0, 30, 0, 50]
    url = f"{tracked.mlflow.url}/#/experiments/{tracked.runs[0]['info']['experiment_id']}"
    assert (
        f"tracked        mlflow {url}/runs/{tracked.runs[0]['info']['run_id']}" in tracked.printed
    )


def test_mlflow_has_each_run_by_its_name_and_how_it_ended(tracked: Tracked) -> None:
    store = Store(tracked.folder / "artifacts")
    names = [path.name for path in store.runs() if read_run(store, path.name).name == "topics"]
    assert [run["info"]["run_name"] for run in tracked.runs] == names
    statuses = [run["info"]["status"] for run in tracked.runs]
    assert statuses == ["FINISHED", "FINISHED", "FAILED", "KILLED"]
    tags = [values(run["data"]["tags"]) for run in tracked.runs]
    verdicts = [tag["seqline.verdict"] for tag in tags]
    assert verdicts == ["pushed", "nothing new", "refused", "interrupted"]
    assert [tag.get("seqline.registered_version") for tag in tags] == ["1", "1", None, None]
    assert tags[0]["seqline.served_version"] == "1"
    assert tags[2]["seqline.error"].startswith("NotBlessedError: ")

    key = next((tracked.folder / "artifacts" / "exporter").iterdir()).name
    assert [tag.get("seqline.key.exporter") for tag in tags] == [key] * 3 + [None]


def test_mlflow_has_the_configuration(tracked: Tracked) -> None:
    params = values(tracked.runs[0]["data"]["params"])
    assert params["trainer.rnn_units"] == "8"
    assert params["example_gen.source"] == "corpus.jsonl"
    assert len(params) > 100  # more than a server takes at once


def test_mlflow_has_the_figures_of_epochs_with_their_steps(tracked: Tracked) -> None:
    history = json.loads(next(tracked.folder.glob("artifacts/trainer/*/history.json")).read_text())
    for run in tracked.runs[:3]:
        for name in ("loss", "val_accuracy"):
            expected = list(enumerate(history[name], start=1))
            assert tracked.mlflow.history(run, f"epochs/{name}") == expected


def test_mlflow_has_the_figures_of_test_with_intervals(tracked: Tracked) -> None:
    evaluation = json.loads(
        next(tracked.folder.glob("artifacts/evaluator/*/evaluation.json")).read_text()
    )
    metrics = values(tracked.runs[0]["data"]["metrics"])
    low, high = evaluation["accuracy_interval"]
    assert metrics["test/accuracy"] == evaluation["accuracy"]
    assert (metrics["test/accuracy_low"], metrics["test/accuracy_high"]) == (low, high)
    assert metrics["transform/num_tokens"] == 199


def test_mlflow_has_the_report_and_the_evaluation(tracked: Tracked) -> None:
    run = tracked.runs[0]
    page = tracked.folder / "artifacts" / "runs" / run["info"]["run_name"] / "report.html"
    assert tracked.artifact(run, "report.html") == page.read_bytes()
    assert json.loads(tracked.artifact(run, "evaluation.json"))["blessed"] is True
    assert b"rnn_units = 8" in tracked.artifact(run, "config.toml")


def test_the_registry_has_one_version_that_is_the_champion(tracked: Tracked) -> None:
    assert [version["version"] for version in tracked.versions] == ["1"]
    model = tracked.mlflow.get("registered-models/get", name="topics")["registered_model"]
    aliases = {alias["alias"]: alias["version"] for alias in model["aliases"]}
    assert aliases == {"champion": "1"}
    assert tracked.versions[0]["description"].startswith("test accuracy 1.000 (0.934 to 1.000); ")
    linked = [run["outputs"]["model_outputs"][0]["model_id"] for run in tracked.runs[:3]]
    assert linked[0] == linked[1] != linked[2]


def test_the_registered_model_answers_without_seqline(tracked: Tracked) -> None:
    env = {**environment(), "MLFLOW_TRACKING_URI": tracked.mlflow.url}
    del env["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-c", ASK, "models:/topics@champion", json.dumps(TEXTS)],
        cwd=tracked.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    signature, answers = json.loads(done.stdout.splitlines()[-1])

    assert json.loads(signature["inputs"]) == [{"type": "string", "name": "text", "required": True}]
    saved_model = next(tracked.folder.glob("artifacts/exporter/*/saved_model"))
    expected = list(predict(saved_model, TEXTS))
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in expected]
    for answer, row in zip(answers, expected, strict=True):
        assert answer["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)


def test_a_retraining_is_a_run_with_its_verdict(tracked: Tracked) -> None:
    (run,) = tracked.mlflow.runs("retrained")
    tags = values(run["data"]["tags"])
    assert run["info"]["status"] == "FINISHED"
    assert (tags["seqline.verdict"], tags["seqline.registered_version"]) == ("pushed", "1")
    assert tags["mlflow.source.name"].startswith("seqline retrain retrain.toml --bootstrap ")
    assert tracked.lineage.types("retrained") == ["START", "COMPLETE"]
    assert tracked.lineage.types("retrained.pusher") == ["START", "COMPLETE"]


def test_the_model_names_what_it_needs(tracked: Tracked) -> None:
    files = list((tracked.folder / "mlflow" / "artifacts").rglob("requirements.txt"))
    # Of the pushed models and of the refused one, which is logged with its run alone.
    assert len(files) == 3
    names = [line.partition("==")[0] for line in files[0].read_text().splitlines()]
    assert names == ["mlflow", "tensorflow", "numpy", "pandas"]


def test_a_run_that_was_killed_is_ended_by_the_next_one(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.trackers.mlflow_runs import MlflowTracker

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.mlflow.url)
    store = Store(tmp_path / "artifacts")
    pipe = Pipeline()
    pipe.name = "killed"
    for _ in range(2):
        run = TrackedRun(store.start_run(), pipe, store, {"name": "killed"}, ["seqline", "run"])
        MlflowTracker().start(run)
    statuses = [run["info"]["status"] for run in tracked.mlflow.runs("killed")]
    assert statuses == ["KILLED", "RUNNING"]


def test_events_are_valid_and_complete(tracked: Tracked) -> None:
    wrong = [
        (event["job"]["name"], problem)
        for event in tracked.lineage.events
        for problem in problems(event)
    ]
    assert wrong == []
    assert tracked.lineage.types("topics") == [
        *("START", "COMPLETE"),
        *("START", "COMPLETE"),
        *("START", "FAIL"),
        *("START", "ABORT"),
    ]
    trained = ["START", "COMPLETE"] * 3
    assert tracked.lineage.types("topics.trainer") == [*trained, "START", "ABORT"]
    pushed = ["START", "COMPLETE"] * 2  # the pusher itself refuses a model
    assert tracked.lineage.types("topics.pusher") == [*pushed, "START", "FAIL"]


def test_lineage_leads_from_the_source_to_the_served_model(tracked: Tracked) -> None:
    source = str(tracked.folder / "corpus.jsonl")
    read = tracked.lineage.of("topics.example_gen")[1]
    assert [dataset["name"] for dataset in read["inputs"]] == [source]

    made_of: dict[str, list[str]] = {}
    for event in tracked.lineage.events:
        for output in event["outputs"]:
            if event["job"]["name"] != "topics":
                made_of[output["name"]] = [dataset["name"] for dataset in event["inputs"]]
    reached, waiting = set(), [str(tracked.folder / "serving_dir" / "topics" / "1")]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += set(made_of.get(name, ())) - reached
    assert source in reached


def test_datasets_have_columns_rows_and_checks(tracked: Tracked) -> None:
    made = tracked.lineage.of("topics.example_gen")[1]["outputs"][0]
    columns = [(field["name"], field["type"]) for field in made["facets"]["schema"]["fields"]]
    assert columns == [("text", "string"), ("label", "string")]
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 240
    lineage = made["facets"]["columnLineage"]["fields"]["label"]["inputFields"][0]
    assert (lineage["name"], lineage["field"]) == (str(tracked.folder / "corpus.jsonl"), "label")

    counted = tracked.lineage.of("topics.statistics_gen")[1]["inputs"][0]["inputFacets"]
    assert counted["dataQualityMetrics"]["rowCount"] == 240
    metrics = counted["dataQualityMetrics"]["columnMetrics"]
    assert (metrics["label"]["nullCount"], metrics["label"]["distinctCount"]) == (0, 3)

    examples, saved_model = tracked.lineage.of("topics.evaluator")[5]["inputs"]
    judged = saved_model["inputFacets"]
    assert examples["inputFacets"] == {}
    refused = [
        check["assertion"]
        for check in judged["dataQualityAssertions"]["assertions"]
        if not check["success"]
    ]
    assert refused == ["cross_entropy"]


def test_wandb_wrote_each_run_into_a_folder(tracked: Tracked) -> None:
    folders = sorted((tracked.folder / "wandb").glob("offline-run-*"), key=os.path.getmtime)
    assert len(folders) == 5
    run = read_offline_run(folders[0])
    assert run.project == "topics"
    assert run.config["trainer"]["rnn_units"] == 8
    assert run.summary["verdict"] == "pushed"
    assert run.summary["test/accuracy"] == 1.0
    assert [row["epochs/loss"] for row in run.history if "epochs/loss" in row] == json.loads(
        next(tracked.folder.glob("artifacts/trainer/*/history.json")).read_text()
    )["loss"]
    assert run.artifacts == ["topics"]
