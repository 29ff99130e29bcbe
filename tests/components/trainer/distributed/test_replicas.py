"""Several devices of one process, which here are parts of one CPU.

Several workers: see test_distributed.py.
"""

import json
import math
from pathlib import Path

import pytest

from components.trainer import TrainerParams
from seqline.component import Figures
from seqline.model.network import load
from tests.support.corpus import TRAINER_PARAMS
from tests.support.training import train_on_replicas

# No dropout: replicas draw for their own rows.
STILL = {"word_dropout": 0, "dropout": 0, "skip_dropout": 0, "branch_dropout": 0}

SMALL = {"embedding_dim": 8, "rnn_units": 8, "skip_dim": 8, **STILL}


def histories(root: Path, *names: str) -> list[dict[str, list[float]]]:
    return [json.loads((root / name / "history.json").read_text()) for name in names]


def assert_same(root: Path, *names: str) -> None:
    first, *others = histories(root, *names)
    for history in others:
        for name, values in history.items():
            assert values == pytest.approx(first[name], abs=1e-5), name


@pytest.mark.slow
def test_two_replicas_have_the_losses_of_one_also_in_a_batch_that_does_not_divide(
    features: Path, tmp_path: Path
) -> None:
    # 163 rows in batches of 50, the last one of 13; the eval split is one batch of 23.
    params = TrainerParams(**SMALL, bidirectional=False, batch_size=50, num_epochs=2)
    trained = train_on_replicas({"one": (1, params), "two": (2, params)}, features, tmp_path)
    assert [figures["num_epochs"] for figures in trained.values()] == [2, 2]
    assert_same(tmp_path, "one", "two")


@pytest.mark.slow
def test_any_number_of_replicas_has_the_same_losses(features: Path, tmp_path: Path) -> None:
    params = TrainerParams(**SMALL, batch_size=50, num_epochs=3)
    trained = train_on_replicas({"1": (1, params), "2": (2, params)}, features, tmp_path)
    # TensorFlow lets the devices of a process join in groups of one size.
    trained |= train_on_replicas({"4": (4, params)}, features, tmp_path)
    assert [figures["num_epochs"] for figures in trained.values()] == [3] * 3
    assert_same(tmp_path, "1", "2", "4")


@pytest.mark.slow
def test_the_implementation_keras_learns_the_same_also_on_two_replicas(
    features: Path, tmp_path: Path
) -> None:
    # A token that is in a batch many times is one row of the embedding, and moves once.
    params = TrainerParams(**SMALL, clip_norm=0.1, batch_size=50, num_epochs=2)
    stock = params.with_values({"implementation": "keras"})
    train_on_replicas(
        {"fast": (1, params), "one": (1, stock), "two": (2, stock)}, features, tmp_path
    )
    assert_same(tmp_path, "fast", "one", "two")


@pytest.mark.slow
def test_two_replicas_learn_the_corpus_too(
    model: Path, features: Path, tmp_path: Path, figures: dict[str, Figures]
) -> None:
    trained = train_on_replicas({"two": (2, TRAINER_PARAMS)}, features, tmp_path)["two"]
    assert trained["eval_accuracy"] > 0.9
    assert trained["num_parameters"] == figures["trainer"]["num_parameters"]
    assert all(math.isfinite(loss) for loss in histories(tmp_path, "two")[0]["loss"])
    assert load(tmp_path / "two")[1] == load(model)[1]
