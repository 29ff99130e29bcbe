"""What a person is told to do after a refusal, by the gates that refused."""

import json
import os
from pathlib import Path

import pytest

from components.evaluator import EVALUATOR, EvaluatorParams, gates
from components.example_validator import ANOMALIES, EXAMPLE_VALIDATOR, ExampleValidatorParams
from components.exporter import EXPORTER, ExporterParams
from components.infra_validator import INFRA_VALIDATOR, InfraValidatorParams
from components.infra_validator import gates as server_gates
from components.statistics_gen import STATISTICS_GEN, StatisticsGenParams
from components.trainer import TRAINER, TrainerParams
from components.transform import TRANSFORM, TransformParams
from pipeline.cli.advice import MACHINE, SERVED, SETTINGS, advise
from pipeline.config import Config
from pipeline.runner.plan import Stage
from pipeline.runner.run import StageResult
from seqline.component import Artifact, Component, Figures, Params
from seqline.errors import DataError, NotBlessedError, UserError
from seqline.gates import refusals
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
    compared = {MAJORITY: 0.2, LINEAR: linear}
    judged = gates.judge(metric, compared, params)
    verdict = {"gates": [gate.to_json() for gate in judged], "blessed": not refusals(judged)}
    return done(folder, EVALUATOR, params, {**metric, "baselines": compared, **verdict})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(here: Path, best_epoch: int = 2) -> list[StageResult]:
    trained = done(
        here, TRAINER, TrainerParams(num_epochs=2), {"num_epochs": 2, "best_epoch": best_epoch}
    )
    return [trained, done(here, EXPORTER, ExporterParams(), {})]


def test_a_model_that_a_linear_one_beats(here: Path) -> None:
    lines = advise(REFUSED, [*made(here), measured(here, 0.41, 0.85, min_accuracy=0.8)])
    assert lines[:5] == [
        (
            "refused by",
            "evaluator: accuracy 0.4100 is under min_accuracy 0.8 (evaluator.min_accuracy)",
        ),
        ("baselines", f"{MAJORITY} 0.200, {LINEAR} 0.850 (better than the model), the model 0.410"),
        ("the model", "artifacts/exporter/key/saved_model"),
        ("ask it", 'seqline predict --model artifacts/exporter/key/saved_model "Your text"'),
        (
            "what helps",
            (
                f"- {LINEAR} is better: the labels can be learned from these rows, and the network"
                " has not yet learned them"
            ),
        ),
    ]
    assert lines[5] == (
        "",
        (
            "- more epochs, the last one was the best, it was still learning: --set"
            " trainer.num_epochs=6"
        ),
    )
    assert lines[-1] == (
        "settings",
        (
            "min_accuracy under [evaluator] in the configuration file, or --set"
            " evaluator.min_accuracy=..."
        ),
    )


def test_a_threshold_that_no_model_comes_near(here: Path) -> None:
    texts = [
        text
        for _, text in advise(
            REFUSED, [*made(here, best_epoch=1), measured(here, 0.41, 0.4, min_accuracy=0.8)]
        )
    ]
    assert (
        "- a threshold that such data can reach: no baseline comes near it either; the report lists"
        " the wrong answers" in texts
    )
    assert any("the best epoch was 1 of at most 2" in text for text in texts)
    assert not any("is better" in text for text in texts)


def test_a_model_that_knows_no_more_than_the_majority(here: Path) -> None:
    texts = [text for _, text in advise(REFUSED, [*made(here), measured(here, 0.2, 0.19)])]
    assert (
        "- no better than one answer for all: are example_gen.text and example_gen.label the right"
        " columns?" in texts
    )


@pytest.mark.parametrize(
    ("tokens", "rate", "is_named"),
    [("word", 0.81, True), ("word", 0.17, False), ("char", 0.81, False)],
)
def test_characters_are_named_where_words_say_too_little(
    here: Path, tokens: str, rate: float, is_named: bool
) -> None:
    transform = done(here, TRANSFORM, TransformParams(tokens=tokens), {"content": "text"})  # type: ignore[arg-type]
    statistics = done(
        here,
        STATISTICS_GEN,
        StatisticsGenParams(),
        {"token_oov_rate": {"eval": rate, "test": None}},
    )
    texts = [
        text
        for _, text in advise(
            REFUSED, [statistics, transform, *made(here), measured(here, 0.2, 0.19)]
        )
    ]
    named = (
        "- 81% of the words of eval are unknown to train: take characters as tokens, --set"
        " transform.tokens=char"
    )
    assert (named in texts) == is_named


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
    assert (
        "what helps",
        "- a busy machine is slow: run the same command again, only the server is asked anew",
    ) in lines


def test_every_gate_has_a_setting_that_exists() -> None:
    fields = Config.model_fields
    for setting in SETTINGS.values():
        stage, _, name = setting.partition(".")
        assert name in fields[stage].annotation.model_fields, setting  # type: ignore[union-attr]
    assert {*MACHINE, *SERVED} <= set(SETTINGS)


def test_data_that_are_refused_say_how_to_let_them_pass(here: Path) -> None:
    validated = done(
        here, EXAMPLE_VALIDATOR, ExampleValidatorParams(), {"num_errors": 1, "num_warnings": 0}
    )
    validated.artifact.uri.mkdir(parents=True)
    anomalies = [
        {"kind": "label_skew", "severity": "error", "line": "..."},
        {"kind": "duplicates", "severity": "warning", "line": "..."},
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
    with pytest.raises(InputError, match=r"Has a model been pushed\? seqline run$"):
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
