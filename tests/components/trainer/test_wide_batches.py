from pathlib import Path

import numpy as np
import pytest

from components.trainer import wide_batches
from components.trainer.wide_batches import Batch, Batches, Texts
from seqline.data.features import TRAIN
from seqline.data.ngrams import TABLE, Table
from tests.support.ngrams import LABELS, WORDS, features_of, write_ngrams


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of WORDS in two shards, of three and two texts."""
    root = tmp_path_factory.mktemp("features")
    write_ngrams(root, TRAIN, [(WORDS[:3], LABELS[:3]), (WORDS[3:], LABELS[3:])])
    return root


def make(source: Path, held_bytes: int, kept: np.ndarray | None = None) -> Batches:
    texts = Texts(source, (TRAIN,), Table.read(source / TABLE), kept)
    return Batches(texts, np.array([1, 2, 3], np.float32), seed=0, held_bytes=held_bytes)


def texts_of(batch: Batch) -> list[tuple[int, float, dict[int, float]]]:
    """(label, weight, features) of each text of a batch."""
    texts: list[dict[int, float]] = [{} for _ in range(len(batch))]
    for number, feature in enumerate(batch.features.tolist()):
        for place in range(batch.starts[number], batch.starts[number + 1]):
            texts[batch.rows[place]][feature] = pytest.approx(float(batch.values[place]), rel=1e-5)
    return list(zip(batch.labels.tolist(), batch.weights.tolist(), texts, strict=True))


@pytest.mark.parametrize("held_bytes", [1, 10**6])
def test_an_epoch_has_each_text_once_in_another_order(
    held_bytes: int, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide_batches, "BATCH_ROWS", 1)
    monkeypatch.setattr(wide_batches, "MOST_ROWS", 1)
    table = Table.read(source / TABLE)
    vocabulary = (source / "vocabularies" / "tokens").read_text().split()
    expected = [
        (label, [1.0, 2.0, 3.0][label], features_of(text, vocabulary, table))
        for text, label in zip(WORDS, LABELS, strict=True)
    ]

    batches = make(source, held_bytes)
    first = [text for batch in batches.all() for text in texts_of(batch)]
    assert len(first) == 5
    assert all(text in first for text in expected)

    orders = []
    for epoch in range(6):
        texts = [text for batch in batches.epoch(epoch) for text in texts_of(batch)]
        assert len(texts) == 5
        assert all(text in texts for text in expected)
        orders.append([first.index(text) for text in texts])
    assert len({tuple(order) for order in orders}) > 1

    # Only where all are held do the texts of two shards mix.
    is_mixed = any(set(order[:3]) not in ({0, 1, 2}, {3, 4, *order[:3]}) for order in orders)
    assert is_mixed == (held_bytes > 1)


def test_batches_are_bounded(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(batch) for batch in make(source, 1).all()] == [3, 2]
    monkeypatch.setattr(wide_batches, "BATCH_VALUES", 1)
    assert [len(batch) for batch in make(source, 1).all()] == [1] * 5


def test_features_that_do_not_count_have_no_part_in_the_length(source: Path) -> None:
    kept = np.array([0, 3])
    for batch in make(source, 1, kept).all():
        for _, _, features in texts_of(batch):
            if features:
                assert sum(value.expected**2 for value in features.values()) == pytest.approx(1)


def test_with_many_classes_a_batch_has_as_many_texts(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide_batches, "BATCH_ROWS", 1)
    # Three classes, and shards of three and two texts.
    assert [len(batch) for batch in make(source, 10**6).all()] == [3, 2]
    monkeypatch.setattr(wide_batches, "MOST_ROWS", 2)
    assert [len(batch) for batch in make(source, 10**6).all()] == [2, 1, 2]
