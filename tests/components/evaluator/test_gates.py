"""The gates and the version that a model is compared with."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.evaluator import EVALUATOR, EvaluatorParams, external_digest, served_version
from components.evaluator.baselines import MAJORITY, TFIDF
from components.evaluator.gates import judge, levels
from components.pusher.publish import push
from pipeline.config import load
from pipeline.definition import define
from pipeline.runner.plan import Pipeline
from seqline.component import Figures
from seqline.errors import UserError
from seqline.gates import Gate, refusals

NAMES = [
    *(
        "finite",
        "accuracy",
        "macro_f1",
        "cross_entropy",
        "calibration",
        "gain_over_majority",
        "gain_over_linear",
    ),
    *("slice_accuracy", "served_accuracy", "served_slice_accuracy"),
]


def against(lost: int, gained: int, num: int, p_value: float) -> Figures:
    return {
        "num_lost": lost,
        "num_gained": gained,
        "loss_of_accuracy": (lost - gained) / num,
        "p_value": p_value,
    }


def figures(**given: Any) -> Figures:
    slices = [
        {
            "feature": "label",
            "value": "a",
            "num_rows": 400,
            "judged": True,
            "accuracy": 0.9,
            "served": against(8, 8, 400, 0.6),
        },
        {
            "feature": "label",
            "value": "b",
            "num_rows": 100,
            "judged": True,
            "accuracy": 0.6,
            "served": against(12, 2, 100, 0.0065),
        },
        {
            "feature": "length",
            "value": "0",
            "num_rows": 3,
            "judged": False,
            "accuracy": 0.0,
            "served": against(3, 0, 3, 0.001),
        },
    ]

    served = {**against(20, 10, 500, 0.049), "level": 0.025, "slice_level": 0.0125}
    return {
        "accuracy": 0.8,
        "macro_f1": 0.7,
        "cross_entropy": 0.6,
        "ece": 0.1,
        "num_not_finite": 0,
        "slices": slices,
        "served": served,
        **given,
    }


def gates(metric: Figures, **params: Any) -> dict[str, Gate]:
    judged = judge(metric, {MAJORITY: 0.5, TFIDF: 0.78}, EvaluatorParams(**params))
    assert [gate.name for gate in judged] == NAMES
    json.dumps([gate.to_json() for gate in judged], allow_nan=False)
    return {gate.name: gate for gate in judged}


def test_what_has_no_threshold_is_not_judged() -> None:
    judged = gates(figures(), max_loss_of_accuracy=None)
    assert {name: gate.passed for name, gate in judged.items()} == {
        **dict.fromkeys(("finite", "accuracy", "macro_f1", "gain_over_majority"), True),
        **dict.fromkeys(
            (
                "cross_entropy",
                "calibration",
                "gain_over_linear",
                "slice_accuracy",
                "served_accuracy",
                "served_slice_accuracy",
            ),
            None,
        ),
    }
    assert judged["calibration"] == Gate("calibration", 0.1, None, None, "max_ece is not set")
    assert judged["served_accuracy"].value == 0.02


@pytest.mark.parametrize(
    ("params", "name", "reason"),
    [
        (
            {"max_ece": 0.09},
            "calibration",
            "expected calibration error 0.1000 is over max_ece 0.09",
        ),
        (
            {"min_gain_over_linear": 0.03},
            "gain_over_linear",
            "gain over the linear model 0.0200 is under min_gain_over_linear 0.03",
        ),
        (
            {"min_slice_accuracy": 0.65},
            "slice_accuracy",
            "accuracy 0.6000 of label=b (100 rows) is under min_slice_accuracy 0.65",
        ),
        (
            {"min_slice_accuracy": 0.95},
            "slice_accuracy",
            (
                "accuracy 0.6000 of label=b (100 rows) is under min_slice_accuracy 0.95, as are 1"
                " others"
            ),
        ),
        (
            {"min_slice_accuracy": {"label": 0.5, "label=a": 0.95}},
            "slice_accuracy",
            "accuracy 0.9000 of label=a (400 rows) is under min_slice_accuracy 0.95",
        ),
    ],
)
def test_a_threshold_that_is_not_met_refuses(
    params: dict[str, Any], name: str, reason: str
) -> None:
    judged = gates(figures(served=None), **params)
    assert (judged[name].passed, judged[name].reason) == (False, reason)
    assert refusals(list(judged.values())) == [reason]


def test_a_slice_is_judged_by_its_own_threshold_and_only_with_rows_enough() -> None:
    judged = gates(figures(), min_slice_accuracy={"label": 0.6, "length": 0.5})["slice_accuracy"]
    assert judged.passed is True
    judged = gates(figures(), min_slice_accuracy={"length": 0.5})["slice_accuracy"]
    assert (judged.passed, judged.reason) == (None, "no slice with a threshold has 50 rows")


def test_a_threshold_of_a_slice_without_rows_refuses() -> None:
    floors = {"label": 0.6, "label=a": 0.5, "length=4-7": 0.5}
    judged = gates(figures(), min_slice_accuracy=floors)["slice_accuracy"]
    assert (judged.value, judged.passed) == (None, False)
    assert judged.reason == (
        "test has no row of slices that min_slice_accuracy names: length=4-7 (it has '0')"
    )


def test_a_linear_model_that_is_asked_for_and_not_there_refuses() -> None:
    [gate] = [
        gate
        for gate in judge(figures(), {MAJORITY: 0.5}, EvaluatorParams(min_gain_over_linear=0.0))
        if gate.name == "gain_over_linear"
    ]
    assert gate.passed is False
    assert "install scikit-learn" in gate.reason


def test_a_loss_against_the_served_version_refuses_beyond_its_level_only() -> None:
    judged = gates(figures())
    assert judged["served_accuracy"].passed is True
    assert (
        judged["served_accuracy"].reason
        == "accuracy is 0.0200 under the served version's (20 rows lost, 10 gained): "
        "not beyond max_loss_of_accuracy 0.0 (p = 0.049, level 0.025)"
    )

    worst = judged["served_slice_accuracy"]
    assert (worst.value, worst.threshold, worst.passed) == (0.1, 0.0, False)
    assert (
        worst.reason
        == "accuracy of label=b (100 rows) is 0.1000 under the served version's (12 rows lost, 2"
        " gained): beyond max_loss_of_accuracy 0.0 (p = 0.0065, level 0.013)"
    )

    none = gates(figures(served=None))["served_accuracy"]
    assert (none.passed, none.reason) == (None, "no other version is served")


def test_the_levels_add_up_to_alpha() -> None:
    assert levels(0, 0.05) == (0.05, 0.0)
    overall, slice_level = levels(7, 0.05)
    assert overall + 7 * slice_level == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "evaluator.min_slice_accuracy={script = 0.5}",
            "names 'script'; evaluator.slices are label, length",
        ),
        (
            "evaluator.min_slice_accuracy={'lable=tech' = 0.5}",
            "names 'lable=tech'; evaluator.slices are label, length. Did you mean 'label'?",
        ),
        (
            "evaluator.min_slice_accuracy={'label=tech' = 0.5, 'label=tech ' = 0.6}",
            "evaluator.min_slice_accuracy names 'label=tech' twice",
        ),
        (
            "evaluator={slices = [], min_slice_accuracy = 0.5}",
            "evaluator.min_slice_accuracy is set, and evaluator.slices is empty",
        ),
        (
            "evaluator.min_slice_accuracy=1.5",
            "evaluator.min_slice_accuracy must be between 0 and 1",
        ),
        ('evaluator.slices=["label", "label"]', "evaluator.slices names one twice"),
        ("evaluator.alpha=0", "--set evaluator.alpha: input should be greater than 0, not 0"),
    ],
)
def test_thresholds_that_make_no_sense_are_named(setting: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        load("bbc_news", [setting])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_slices_come_from_the_configuration() -> None:
    config = load(
        "bbc_news",
        [
            "evaluator.slices=['label', 'source']",
            "evaluator.min_slice_accuracy={label = 0.7, 'label=tech' = 0.8}",
        ],
    )

    assert config.evaluator.slices == ("label", "source")
    assert config.evaluator.min_slice_accuracy == {"label": 0.7, "label=tech": 0.8}

    here = config.evaluator.with_defaults_from("here")
    there = config.evaluator.with_defaults_from("there")
    assert (here.serving_dir, there.with_defaults_from("here").serving_dir) == ("here", "there")
    assert here.key_fields() == there.key_fields()


def model(path: Path, content: str) -> Path:
    (path / "saved_model" / "variables").mkdir(parents=True)
    (path / "saved_model" / "saved_model.pb").write_text(content)
    (path / "saved_model" / "variables" / "variables.index").write_text("index")
    return path


def test_the_version_compared_with_is_the_same_before_and_after_the_push(tmp_path: Path) -> None:
    """A finished run stays finished, although by then its own model is the newest version."""
    serving_dir = tmp_path / "served [1]"
    params = EvaluatorParams(serving_dir=str(serving_dir))
    first, second = ({"saved_model": model(tmp_path / name, name)} for name in ("first", "second"))
    assert external_digest(params, None, first) == ""

    push(first["saved_model"] / "saved_model", serving_dir)
    assert external_digest(params, None, first) == ""

    before = external_digest(params, None, second)
    assert before
    push(second["saved_model"] / "saved_model", serving_dir)
    assert external_digest(params, None, second) == before
    served = served_version.find(str(serving_dir), second["saved_model"] / "saved_model")
    assert served == served_version.ServedVersion(1, f"{serving_dir}/1", before)
    # For the first model the second is now the one that is served.
    assert external_digest(params, None, first) not in ("", before)
    assert external_digest(EvaluatorParams(), None, first) == ""


def test_a_version_that_somebody_else_put_there_counts_by_its_files(tmp_path: Path) -> None:
    one = model(tmp_path / "one", "one") / "saved_model"
    (model(tmp_path / "served", "other") / "saved_model").rename(tmp_path / "served" / "12")
    served = served_version.find(str(tmp_path / "served"), one)
    assert served is not None
    assert (served.version, served.uri) == (12, str(tmp_path / "served" / "12"))
    (tmp_path / "served" / "12" / "saved_model.pb").write_text("again")
    changed = served_version.find(str(tmp_path / "served"), one)
    assert changed is not None
    assert changed.digest != served.digest
    (tmp_path / "served" / "13").mkdir()  # no model in it: no version
    (tmp_path / "served" / "temporary").mkdir()
    assert served_version.find(str(tmp_path / "served"), one) == changed


def test_the_evaluator_reads_where_the_pusher_writes() -> None:
    config = load("bbc_news", ["pusher.serving_dir=there"])
    pipe = Pipeline()
    define(pipe, config)
    # The list has stages of every kind, so the type of their params is the common one.
    [stage] = [stage for stage in pipe.stages if stage.component is EVALUATOR]
    assert stage.params.serving_dir == "there"  # type: ignore[attr-defined]
