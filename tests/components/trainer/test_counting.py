from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from components.trainer import counting
from components.trainer.counting import Counts
from seqline.model.layers import bigram_buckets
from tests.support.training import TEXTS


def test_counts_of_the_train_split(rows: Path) -> None:
    counts = counting.count(rows, num_classes=3, num_buckets=64, num_tokens=19, dim=0)
    assert counts.classes.tolist() == [
        sum(len(text) % 3 == number for text in TEXTS) for number in range(3)
    ]
    pairs = [pair for text in TEXTS for pair in pairwise(text)]
    buckets = [int(bigram_buckets(np.array([pair]), 64, 20)[0][0, 0]) for pair in pairs]
    assert counts.bigrams.tolist() == [buckets.count(number) for number in range(64)]
    numbers = counts.bigram_rows(3)
    assert [number > 0 for number in numbers] == [total >= 3 for total in counts.bigrams]
    assert sorted(numbers[numbers > 0]) == list(range(1, 1 + (counts.bigrams >= 3).sum()))


def test_balanced_class_weights_are_those_of_scikit_learn() -> None:
    counts = Counts(np.array([6, 0, 2]), np.zeros(0, np.int64))
    labels = np.array([0] * 6 + [2] * 2)
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=labels)
    np.testing.assert_allclose(counts.class_weights(), [expected[0], 0, expected[1]])
