"""The advice that a person gets in the terminal after a refusal."""

import json
import os
from pathlib import Path

import pytest

from components.evaluator import EVALUATOR, EvaluatorParams, gates
from components.example_validator import ANOMALIES, EXAMPLE_VALIDATOR, ExampleValidatorParams
from components.exporter import EXPORTER, ExporterParams
from components.infra_validator import INFRA_VALIDATOR, InfraValidatorParams
from components.infra_validator import gates as server_gates
from components.trainer import TRAINER, TrainerParams
from pipeline.cli.advice import advise
from pipeline.report.advice import BUSY, FASTER
from pipeline.runner.plan import Stage
from pipeline.runner.run import StageResult
from seqline.component import Artifact, Component, Figures, Params
from seqline.errors import DataError, NotBlessedError, UserError
from seqline.gates import Gate, refusals
from serving.predict import InputError, find_model

REFUSED = NotBlessedError("The model is not blessed and was not pushed: ...")
MAJORITY, LINEAR = "majority class", "tf-idf + logistic regression"


def done(folder: Path, component: Component, params: Params, figures: Figures) -> StageResult:
    artifact = Artifact(component.output, folder / "artifacts" / component.name / "key", "key")
    return StageResult(Stage(component, params), artifact, figures, 1.0, False, "never ran")


def measured(folder: Path, accuracy: float, linear: float, **thresholds: float) -> StageResult:
    """A real verdict about a model of this accuracy."""
    params = EvaluatorParams(**thresholds)  # type: ignore[arg-type]
    metric = {"accuracy": accuracy, "macro_f1": accuracy, "cross_entropy": 1.0, "ece": 0.3}
    baselines = {MAJORITY: 0.2, LINEAR: linear}
    judged = gates.judge(metric, baselines, params)
    verdict = {"gates": [gate.to_json() for gate in judged], "blessed": not refusals(judged)}
    return done(folder, EVALUATOR, params, {**metric, "baselines": baselines, **verdict})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(here: Path) -> list[StageResult]:
    figures = {"num_epochs": 2, "best_epoch": 2}
    trained = done(here, TRAINER, TrainerParams(num_epochs=2), figures)
    return [trained, done(here, EXPORTER, ExporterParams(), {})]


def test_a_model_that_a_linear_one_beats(here: Path) -> None:
    lines = advise(REFUSED, [*made(here), measured(here, 0.41, 0.85, min_accuracy=0.8)])
    assert lines[:4] == [
        (
            "refused by",
            "evaluator: accuracy 0.4100 is under min_accuracy 0.8 (evaluator.min_accuracy)",
        ),
        ("accuracy", f"this model 41.0%, {MAJORITY} 20.0%, {LINEAR} 85.0% (better)"),
        ("the model", "artifacts/exporter/key/saved_model"),
        ("ask it", 'seqline predict --model artifacts/exporter/key/saved_model "Your text"'),
    ]
    assert lines[4][0] == "what helps"
    assert lines[4][1].startswith(f"- {LINEAR} is better: ")
    assert {label for label, _ in lines[5:]} == {""}
    assert lines[5][1].endswith("--set trainer.num_epochs=6.")


def test_a_slow_server_is_asked_again(here: Path) -> None:
    params = InfraValidatorParams(max_p99_seconds=0.01)
    judged = server_gates.limits(
        {"p50_seconds": 0.01, "p99_seconds": 0.5, "rss_mb": 300.0, "load_seconds": 2.0}, params
    )
    refused = done(
        here,
        INFRA_VALIDATOR,
        params,
        {"blessed": False, "gates": [gate.to_json() for gate in judged]},
    )

    lines = advise(REFUSED, [*made(here), measured(here, 0.9, 0.8), refused])
    assert lines[0][1].endswith("is over max_p99_seconds 0.01 (infra_validator.max_p99_seconds)")
    assert lines[-3:-1] == [("what helps", f"- {BUSY}"), ("", f"- {FASTER}")]


def test_the_log_of_a_server_that_answered_wrongly_is_named(here: Path) -> None:
    params = InfraValidatorParams()
    judged = Gate("server", 0.5, 1e-6, False, "it differs")
    figures = {"blessed": False, "gates": [judged.to_json()]}
    refused = done(here, INFRA_VALIDATOR, params, figures)
    lines = dict(advise(REFUSED, [refused]))
    assert lines["server log"] == "artifacts/infra_validator/key/server.log"


def test_data_that_are_refused_say_how_to_let_them_pass(here: Path) -> None:
    validated = done(
        here, EXAMPLE_VALIDATOR, ExampleValidatorParams(), {"num_errors": 1, "num_warnings": 0}
    )
    validated.artifact.uri.mkdir(parents=True)
    of_test = {"split": "test", "feature": "label", "line": "...", "examples": []}
    anomalies = [
        {**of_test, "kind": "label_skew", "severity": "error"},
        {**of_test, "kind": "duplicates", "severity": "warning"},
    ]
    (validated.artifact.uri / ANOMALIES).write_text(json.dumps(anomalies))

    lines = dict(advise(DataError("..."), [validated]))
    assert lines["all anomalies"] == f"artifacts/example_validator/key/{ANOMALIES}"
    assert (
        lines["to let it pass"] == "--set 'example_validator.severities={label_skew = \"warning\"}'"
    )


def test_other_errors_need_no_advice(here: Path) -> None:
    assert advise(UserError("..."), [measured(here, 0.41, 0.85, min_accuracy=0.8)]) == []
    assert advise(DataError("..."), []) == []


def test_predict_names_the_model_that_was_exported_last(here: Path) -> None:
    with pytest.raises(InputError, match=r"Push a model first: seqline run my\.toml$"):
        find_model(Path("serving_dir"))
    for number, key in enumerate(("new", "old", "unfinished")):
        model = here / "artifacts" / "exporter" / key / "saved_model"
        model.mkdir(parents=True)
        (model / "saved_model.pb").touch()
        os.utime(model / "saved_model.pb", (1e9 - number, 1e9 - number))
        if key != "unfinished":
            (model.parent / "execution.json").touch()
    os.utime(here / "artifacts" / "exporter" / "unfinished" / "saved_model" / "saved_model.pb")
    with pytest.raises(InputError, match=r"--model artifacts/exporter/new/saved_model$"):
        find_model(Path("serving_dir"))


def test_a_model_whose_path_holds_a_wildcard_cannot_be_loaded(here: Path) -> None:
    (here / "v[1]").mkdir()
    (here / "v[1]" / "saved_model.pb").touch()
    with pytest.raises(InputError, match=r"'v\[1\]' cannot be loaded: TensorFlow takes '\['"):
        find_model(Path("v[1]"))
