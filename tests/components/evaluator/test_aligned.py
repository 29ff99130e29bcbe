"""A served model of an earlier version, which has classes for several forms of one label."""

from pathlib import Path

import numpy as np
import pytest

from components.evaluator.aligned import AlignedModel
from seqline.data import features
from seqline.data.examples import blocks
from seqline.model.identity import Identity, differences
from seqline.model.served import merge_labels
from tests.support.corpus import write_examples
from tests.support.linear_models import linear_model


def test_classes_of_one_label_are_one_column(tmp_path: Path) -> None:
    """With all weights 0 each of the four classes has the probability 1/4."""
    rows = {split: [([[1.0]], "bad")] for split in features.SPLITS}
    examples = write_examples(tmp_path / "examples", rows, "sequence")
    labels = ["bad", "good", "bad ", "gone"]
    folder = linear_model(tmp_path / "model", labels, np.zeros((1, 1, 4)), np.zeros(4))

    model = AlignedModel(str(folder / "saved_model"), ["bad", "good", "new"])
    (block,) = blocks(features.shards(examples, "test")[0], "sequence")
    probabilities, predicted = model.answer(block)
    assert probabilities.tolist() == [pytest.approx([0.5, 0.25, 0.0])]
    assert predicted.tolist() == [0]


def test_labels_of_a_model_are_merged_by_their_normal_form() -> None:
    assert merge_labels(["bad", "good", "bad ", "cafe\u0301"]) == (
        ["bad", "good", "caf\u00e9"],
        [0, 1, 0, 2],
    )
    assert differences(Identity(labels=("caf\u00e9",)), Identity(labels=("cafe\u0301",))) == []
