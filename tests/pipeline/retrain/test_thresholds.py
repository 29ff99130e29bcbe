"""Every gate has a threshold, or is waived by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.retrain import thresholds
from seqline.errors import UserError
from tests.support.command_line import environment


def load(*settings: str) -> configuration.Config:
    return configuration.load("bbc_news", settings)


def test_gates_without_a_threshold_are_named_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        "[example_gen]\nsource = 'rows.csv'\n[infra_validator]\nserver = 'none'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "retrain", "-c", "c.toml", "--bootstrap"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        env=environment(),
    )

    assert done.returncode == 2
    assert (
        done.stderr
        == "error: A gate without a threshold would let everything pass; these have none: accuracy"
        " (evaluator.min_accuracy), macro_f1 (evaluator.min_macro_f1), cross_entropy"
        " (evaluator.max_cross_entropy), gain_over_linear (evaluator.min_gain_over_linear),"
        " slice_accuracy (evaluator.min_slice_accuracy), calibration (evaluator.max_ece), size"
        " (infra_validator.max_model_mb), latency (infra_validator.max_p99_seconds), server"
        " (infra_validator.server). Set them, or say that they are to be left out:"
        ' retrain.without = ["accuracy", "macro_f1", "cross_entropy", "gain_over_linear",'
        ' "slice_accuracy", "calibration", "size", "latency", "server"].\n'
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["retrain.without=['parities']"],
            (
                "retrain.without names 'parities', which is not a gate; the gates are anomalies,"
                " classes, "
            ),
        ),
        (
            ["retrain.without=['calibration']"],
            "'calibration', which has a threshold by evaluator.max_ece: remove one of them",
        ),
        (["retrain.without=['anomalies']"], "has a threshold by example_validator's own checks"),
        (["infra_validator.server=none"], r"these have none: server \(infra_validator.server\)"),
    ],
)
def test_a_waiver_has_to_be_of_something(settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        thresholds.check(load(*settings))


def test_what_ships_has_every_threshold_and_a_zero_that_is_meant_counts() -> None:
    thresholds.check(load())
    thresholds.check(load("evaluator.min_accuracy=0.0"))
