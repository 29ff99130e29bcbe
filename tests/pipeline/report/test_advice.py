"""The advice after a refusal, by the gates that refused and the figures of the run."""

import re
from typing import Any

import pytest

from components.evaluator import EvaluatorParams, gates
from components.infra_validator import InfraValidatorParams
from components.infra_validator import gates as server_gates
from pipeline.config import Config
from pipeline.report import advice, units
from pipeline.report.advice import HELP, MAJORITY, Evidence, refusal, what_helps
from pipeline.retrain import thresholds

LINEAR = "tf-idf + logistic regression"
TUNER = "Search for better settings: --set tuner.num_trials=20."
MORE_ROWS = "Add labelled rows, above all of the classes that the report shows as weak."


def measured(accuracy: float, linear: float, **limits: Any) -> Evidence:
    """A real verdict about a model of this accuracy, whose training had two epochs."""
    metric = {"accuracy": accuracy, "macro_f1": accuracy, "cross_entropy": 1.0, "ece": 0.3}
    baselines = {MAJORITY: 0.2, LINEAR: linear}
    judged = gates.judge(metric, baselines, EvaluatorParams(**limits))
    return Evidence(
        gates=[gate.to_json() for gate in judged],
        figures={"evaluator": {**metric, "baselines": baselines}, "trainer": {"best_epoch": 2}},
        params={"trainer": {"num_epochs": 2}},
    )


def with_figures(evidence: Evidence, stage: str, **figures: Any) -> Evidence:
    return Evidence(evidence.gates, {**evidence.figures, stage: figures}, evidence.params)


def test_a_linear_model_is_better() -> None:
    assert what_helps(measured(0.41, 0.85, min_accuracy=0.8)) == [
        f"{LINEAR} is better: the labels can be learned from these rows, and the network has not"
        " learned them yet. If that accuracy is enough, use the linear model: it is smaller and"
        " faster.",
        "The last epoch was the best, so the model was still learning. Train for longer: --set"
        " trainer.num_epochs=6.",
        TUNER,
        MORE_ROWS,
        "If the model is good enough as it is, lower evaluator.min_accuracy (now 0.8) in the"
        " configuration or with --set evaluator.min_accuracy=...",
    ]


def test_no_model_comes_near_the_threshold() -> None:
    evidence = with_figures(measured(0.41, 0.4, min_accuracy=0.8), "trainer", best_epoch=1)
    assert what_helps(evidence)[:3] == [
        "The best epoch was 1 of at most 2, so more epochs will not help. Other settings may"
        " (docs/training.md).",
        TUNER,
        "No baseline comes near the threshold either: choose one that such data can reach. The"
        " report lists the wrong answers.",
    ]


def test_a_model_that_knows_no_more_than_the_majority() -> None:
    [columns] = HELP["gain_over_majority"].steps
    helps = what_helps(measured(0.2, 0.19))
    assert helps[0] == columns
    assert helps.count(columns) == 1


@pytest.mark.parametrize(
    ("stated", "by_script", "rate", "is_named"),
    [
        ("word", "word", 0.81, True),
        ("word", "word", 0.17, False),
        ("char", "char", 0.81, False),
        (None, "word", 0.81, True),
        (None, "char", 0.81, False),
    ],
)
def test_characters_are_named_if_words_say_too_little(
    stated: str | None, by_script: str, rate: float, is_named: bool
) -> None:
    refused = measured(0.2, 0.19)
    figures = {
        "statistics_gen": {"token_oov_rate": {"eval": rate, "test": None}},
        "transform": {"tokens": by_script},
    }
    evidence = Evidence(
        refused.gates, {**refused.figures, **figures}, {"transform": {"tokens": stated}}
    )
    named = (
        "81% of the words of eval are unknown to train. Take characters as tokens: --set"
        " transform.tokens=char."
    )
    assert (named in what_helps(evidence)) == is_named


def test_a_slow_server_is_asked_again() -> None:
    params = InfraValidatorParams(max_p99_seconds=0.01)
    figures = {"p50_seconds": 0.01, "p99_seconds": 0.5, "rss_mb": 300.0, "load_seconds": 2.0}
    judged = [gate.to_json() for gate in server_gates.limits(figures, params)]
    assert what_helps(Evidence(judged))[0] == advice.BUSY


def test_few_test_rows_tell_little() -> None:
    refused = measured(0.41, 0.4, min_accuracy=0.8)
    for num_rows, is_told in ((50, True), (5000, False)):
        evaluation = {**refused.evaluation, "num_rows": num_rows}
        helps = what_helps(with_figures(refused, "evaluator", **evaluation))
        assert (
            helps[-1] == "50 test rows tell little. With more, the verdict is surer."
        ) == is_told


def test_every_gate_has_help_and_a_unit() -> None:
    names = {rule.name for rule in thresholds.RULES}
    assert names <= set(HELP)
    assert names <= {*units.GATES, *units.COUNTS}
    for name, helps in HELP.items():
        gate = {"name": name, "value": 0.5, "threshold": 0.25, "passed": False, "reason": "why"}
        sentences = what_helps(Evidence([gate]))
        assert sentences
        assert not re.search(r"[{}]", " ".join([*sentences, refusal(gate)]))
        is_named = f"{helps.setting} (now 0.25)" in " ".join(sentences)
        assert is_named == bool(helps.relax)
        assert what_helps(Evidence([{**gate, "passed": None}])) == []


def test_settings_that_are_named_exist() -> None:
    """Whatever looks like section.field is a field of that section."""
    sentences = [text for helps in HELP.values() for text in (*helps.steps, helps.setting)]
    sentences += what_helps(measured(0.41, 0.85, min_accuracy=0.8))
    fields = {
        f"{section}.{name}"
        for section, info in Config.model_fields.items()
        for name in getattr(info.annotation, "model_fields", {})
    }
    sections = "|".join(Config.model_fields)
    named = set(re.findall(rf"\b((?:{sections})\.[a-z_0-9]+)", " ".join(sentences)))
    assert len(named - {"server.log"}) > 20
    assert named <= fields


@pytest.mark.parametrize(
    ("linear", "is_told", "is_chance"),
    [(0.9, False, False), (0.901, True, True), (0.97, True, False)],
)
def test_a_linear_model_is_better_if_its_accuracy_is_higher(
    linear: float, is_told: bool, is_chance: bool
) -> None:
    evaluation = {"accuracy": 0.9, "accuracy_interval": (0.85, 0.93)}
    sentence = advice.linear_is_better(
        {**evaluation, "baselines": {MAJORITY: 0.99, LINEAR: linear}}
    )
    assert (sentence is not None, "may be chance" in (sentence or "")) == (is_told, is_chance)


def test_nothing_is_better_than_what_was_not_measured() -> None:
    assert advice.linear_is_better({"accuracy": 0.9, "baselines": {MAJORITY: 0.99}}) is None
    assert advice.linear_is_better({}) is None
    assert advice.accuracies({}) == []
