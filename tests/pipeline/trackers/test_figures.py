"""Figures as trackers take them."""

import subprocess
from pathlib import Path

from pipeline.trackers import figures


def test_params_are_flat() -> None:
    config = {
        "name": "topics",
        "example_gen": {"source": "rows.csv", "columns": ["a", "é"], "split": None},
        "trainer": {"wide": False, "rnn_units": 8, "learning_rate": 0.02},
    }
    assert figures.params(config) == {
        "name": "topics",
        "example_gen.source": "rows.csv",
        "example_gen.columns": '["a", "é"]',
        "example_gen.split": "null",
        "trainer.wide": "false",
        "trainer.rnn_units": "8",
        "trainer.learning_rate": "0.02",
    }


def test_a_stage_has_its_numbers() -> None:
    values = {"num_rows": 5, "blessed": True, "rate": float("nan"), "labels": {"a": 1}}
    assert figures.of_stage("transform", values, 1.5) == {
        "transform/seconds": 1.5,
        "transform/num_rows": 5,
    }
    assert figures.of_stage("evaluator", {"accuracy": 1.0}, 1.5) == {"evaluator/seconds": 1.5}


def test_epochs_have_a_step_each() -> None:
    history = {"loss": [1.0, 0.5], "val_loss": [2.0, float("nan")]}
    assert figures.of_epochs(history) == [
        {"epochs/loss": 1.0, "epochs/val_loss": 2.0},
        {"epochs/loss": 0.5},
    ]
    assert figures.of_epochs({}) == []


def test_figures_of_test_have_the_ends_of_their_intervals() -> None:
    evaluation = {
        "accuracy": 0.9,
        "accuracy_interval": [0.8, 0.95],
        "roc_auc": None,
        "blessed": True,
        "baselines": {"tf-idf + logistic regression": 0.85},
        "served": {"accuracy": 0.7, "digest": "d"},
    }
    assert figures.of_test(evaluation) == {
        "test/accuracy": 0.9,
        "test/accuracy_low": 0.8,
        "test/accuracy_high": 0.95,
        "test/baseline tf-idf _ logistic regression": 0.85,
        "test/served accuracy": 0.7,
    }


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    assert figures.git_commit(str(tmp_path)) is None
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert len(figures.git_commit(str(tmp_path)) or "") == 40
