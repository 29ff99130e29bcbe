from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.input import dataset, shuffled
from seqline.data.features import TRAIN
from tests.support.training import SEQUENCES, TEXTS, batches, write_features


def texts_of(epoch: list[tuple[np.ndarray, np.ndarray]]) -> list[list[int]]:
    return [[token for token in row if token] for ids, _ in epoch for row in ids.tolist()]


def test_batches_are_padded_to_their_longest_text(rows: Path) -> None:
    for ids, label in batches(rows):
        assert ids.dtype == np.int64
        assert label.dtype == np.float32
        lengths = (ids > 0).sum(axis=1)
        assert ids.shape == (len(ids), lengths.max())
        np.testing.assert_array_equal(ids > 0, np.arange(ids.shape[1]) < lengths[:, None])
        np.testing.assert_array_equal(label, np.eye(3)[lengths % 3])
    assert [len(ids) for ids, _ in batches(rows)] == [6, 7, 7], "as even as possible"
    widths = [ids.shape[1] for ids, _ in batches(rows)]
    assert widths == sorted(widths), "rows of about the same length are together"


def test_pad_to_is_the_time_of_every_batch(rows: Path) -> None:
    padded = batches(rows, pad_to=6)
    assert [ids.shape for ids, _ in padded] == [(6, 6), (7, 6), (7, 6)]
    assert [ids.shape for ids, _ in batches(rows, pad_to=2)] == [(6, 2), (7, 2), (7, 2)]


def test_a_batch_of_texts_without_a_token_has_one_column(rows: Path) -> None:
    first, _ = batches(rows, batch_size=1)[0]
    np.testing.assert_array_equal(first, [[0]])


def test_without_a_seed_the_order_is_fixed(rows: Path) -> None:
    assert texts_of(batches(rows)) == texts_of(batches(rows))
    assert sorted(texts_of(batches(rows))) == sorted(TEXTS)


def passes(
    rows: Path, seed: int, first_pass: int = 0, first_batch: int = 0, **settings: int
) -> list[list[list[int]]]:
    """The texts of each batch of passes 0, 1 and 2, from a batch of a pass on."""
    settings |= {"first_pass": first_pass, "num_passes": 3, "first_batch": first_batch}
    data = shuffled(rows, 20, seed=seed, num_classes=3, batch_size=8, pad_to=None, **settings)
    return [texts_of([batch]) for batch in data.as_numpy_iterator()]


def test_every_pass_has_every_row_once_in_an_order_of_its_own(rows: Path) -> None:
    texts = passes(rows, 1)
    assert [sorted(map(len, texts[start : start + 3])) for start in (0, 3, 6)] == [[6, 7, 7]] * 3
    first, second, third = (
        [text for batch in texts[start : start + 3] for text in batch] for start in (0, 3, 6)
    )
    assert sorted(first) == sorted(second) == sorted(third) == sorted(TEXTS)
    assert first != second != third != first
    assert passes(rows, 1) == texts
    assert passes(rows, 2)[:3] != texts[:3]


@pytest.mark.parametrize(("first_pass", "first_batch"), [(0, 2), (1, 0), (1, 1), (2, 2)])
def test_the_order_can_be_taken_up_anywhere(rows: Path, first_pass: int, first_batch: int) -> None:
    assert (
        passes(rows, 1, first_pass, first_batch) == passes(rows, 1)[3 * first_pass + first_batch :]
    )


def test_the_number_of_rows_is_checked(rows: Path) -> None:
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 7 elements"):
        list(dataset(rows, TRAIN, 50, num_classes=3, batch_size=8, pad_to=None))


def test_a_split_of_several_blocks_has_every_row_once_a_pass(rows: Path) -> None:
    texts = passes(rows, 1, block_rows=9)  # blocks of 8: whole batches
    assert [sorted(map(len, texts[start : start + 3])) for start in (0, 3, 6)] == [[4, 8, 8]] * 3
    first, second = (
        [text for batch in texts[start : start + 3] for text in batch] for start in (0, 3)
    )
    assert sorted(first) == sorted(second) == sorted(TEXTS)
    assert first != second
    assert passes(rows, 1, 1, 1, block_rows=9) == texts[4:]


@pytest.mark.parametrize("pad_to", [None, 6])
def test_batches_of_sequences(sequences: Path, pad_to: int | None) -> None:
    read = []
    for (values, length), label in batches(
        sequences, num_rows=40, num_classes=2, pad_to=pad_to, dim=2
    ):
        assert (values.dtype, length.dtype, label.dtype) == (np.float32, np.int64, np.float32)
        assert values.shape == (8, pad_to or length.max(), 2)
        assert length.shape == (8,)
        for row, number, one_hot in zip(values, length, label, strict=True):
            assert not row[number:].any()
            read.append(row[:number].tolist())
            assert one_hot.tolist() == ([1, 0] if row[0, 0] > 0 else [0, 1])
    assert sorted(read) == sorted(SEQUENCES)


def test_a_batch_of_sequences_without_a_time_step_has_one_of_zeros(tmp_path: Path) -> None:
    write_features(tmp_path, TRAIN, [[{"values": [], "length": [0], "label": [0]}] * 2])
    [((values, length), _)] = batches(tmp_path, num_rows=2, dim=3)
    np.testing.assert_array_equal(values, np.zeros((2, 1, 3)))
    assert length.tolist() == [0, 0]
