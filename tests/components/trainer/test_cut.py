from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.trainer.cut import cut, of_weight
from components.trainer.wide import wide_of
from seqline.data.features import EVAL, TRAIN
from seqline.data.ngrams import TABLE, Table
from seqline.model.wide import Wide
from tests.support.ngrams import LABELS, WORDS, features_of, write_ngrams


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("features")
    for split in (TRAIN, EVAL):
        write_ngrams(root, split, [(WORDS, LABELS)])
    return root


def whole(source: Path) -> Wide:
    """The wide part of three classes whose features count for nothing, but for four."""
    table = Table.read(source / TABLE)
    vocabulary = (source / "vocabularies" / "tokens").read_text().split()
    weights = np.full((table.num_features, 3), 1e-6, np.float32)
    weights[vocabulary.index("good"), 0] = 5
    weights[vocabulary.index("bad"), 1] = 5
    weights[len(table.tokens), 0] = 0.2  # the first sequence
    weights[-1, 0] = 0.1  # the last character n-gram
    prior = np.array([0, 0, 1], np.float32)
    places = np.arange(table.num_features)
    return wide_of(table, places, weights, prior, np.arange(len(vocabulary), dtype=np.uint64))


def test_the_features_of_the_largest_weights_stay_with_their_keys(source: Path) -> None:
    wide = whole(source)
    smaller = of_weight(wide, 4)
    vocabulary = (source / "vocabularies" / "tokens").read_text().split()
    words = sorted([vocabulary.index("good"), vocabulary.index("bad")])
    num_features = len(wide.features)
    assert smaller.features.tolist() == [*words, len(vocabulary), num_features - 1]
    assert smaller.sequence_keys.tolist() == wide.sequence_keys[:1].tolist()
    assert smaller.character_keys.tolist() == wide.character_keys[-1:].tolist()
    assert smaller.idf.tolist() == wide.idf[smaller.features].tolist()
    assert smaller.matrix.tolist() == wide.matrix[smaller.features].tolist()
    assert smaller.codes.tolist() == wide.codes.tolist()


def test_it_is_cut_three_times_where_nothing_is_lost(source: Path) -> None:
    wide = whole(source)
    assert len(cut(wide, source).features) == len(wide.features) >> 3


def test_what_the_eval_split_needs_is_not_cut(tmp_path: Path) -> None:
    write_ngrams(tmp_path, TRAIN, [(WORDS, LABELS)])
    write_ngrams(tmp_path, EVAL, [([["good"]], [0])])
    table = Table.read(tmp_path / TABLE)
    vocabulary = (tmp_path / "vocabularies" / "tokens").read_text().split()
    needed = features_of(["good"], vocabulary, table)

    # Larger weights of features that the eval split does not have.
    weights = np.full((table.num_features, 3), [9, -9, 0], np.float32)
    weights[list(needed)] = 0
    weights[vocabulary.index("good"), 0] = 0.5
    places = np.arange(table.num_features)
    prior = np.array([0, 0.1, 0], np.float32)
    wide = wide_of(table, places, weights, prior, np.arange(len(vocabulary), dtype=np.uint64))
    assert cut(wide, tmp_path) is wide


def test_a_weight_that_all_classes_share_tells_nothing(source: Path) -> None:
    wide = whole(source)
    matrix = wide.matrix.copy()
    matrix[5] = 100
    assert 5 not in of_weight(replace(wide, weights=matrix.ravel()), 2).features
