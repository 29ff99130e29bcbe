"""The areas under the curves."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    roc_auc_score,
)

from components.evaluator import curves, ranking


def write_codes(path: Path, probabilities: np.ndarray, truth: np.ndarray) -> None:
    """The codes of a shard's rows as the measurer writes them, block by block."""
    size = ranking.block_rows(probabilities.shape[1])
    with path.open("wb") as file:
        for row in range(0, len(truth), size):
            block = slice(row, row + size)
            ranking.write(file, ranking.encode(probabilities[block], truth[block]))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_areas_are_exact_whatever_ties_and_blocks(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    num_rows, num_classes = data.draw(st.integers(2, 60)), data.draw(st.integers(2, 4))
    score = st.sampled_from(
        [0.0, 1e-30, 0.25, 0.5, float(np.nextafter(np.float32(0.5), np.float32(1))), 1.0]
    )
    drawn = data.draw(
        st.lists(score, min_size=num_rows * num_classes, max_size=num_rows * num_classes)
    )
    probabilities = np.array(drawn, np.float32).reshape(num_rows, num_classes)
    truth = np.array(
        data.draw(st.lists(st.integers(0, num_classes - 1), min_size=num_rows, max_size=num_rows))
    )
    folder = tmp_path_factory.mktemp("scores")
    cut = data.draw(st.integers(0, num_rows))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(curves, "NUM_CODES", data.draw(st.integers(1, 20)))
        patched.setattr(ranking, "NUM_SORTED", data.draw(st.integers(1, 200)))
        patched.setattr(ranking, "NUM_IN_BLOCK", data.draw(st.integers(1, 100)))
        for name, first, end in (("a", 0, cut), ("b", cut, num_rows)):
            write_codes(folder / name, probabilities[first:end], truth[first:end])
        roc, precision, drawn = ranking.areas(
            [str(folder / name) for name in "ab"], num_rows, num_classes, folder, range(num_classes)
        )

    for number in range(num_classes):
        is_true = truth == number
        if is_true.all() or not is_true.any():
            assert roc[number] is precision[number] is None
            assert number not in drawn
        else:
            assert roc[number] == pytest.approx(
                roc_auc_score(is_true, probabilities[:, number]), abs=1e-12
            )
            assert precision[number] == pytest.approx(
                average_precision_score(is_true, probabilities[:, number]), abs=1e-12
            )
            assert_points(drawn[number], is_true, probabilities[:, number])


def assert_points(curve: dict[str, Any], is_true: np.ndarray, probability: np.ndarray) -> None:
    """Every count is that of the rows."""
    assert curve["thresholds"] == sorted(set(curve["thresholds"]))
    thresholds = np.array(curve["thresholds"], np.float32)
    for name, rows in (("true_positives", is_true), ("false_positives", ~is_true)):
        assert curve[name] == [int((probability[rows] >= value).sum()) for value in thresholds]
    assert (curve["num_positive"], curve["num_negative"]) == (is_true.sum(), (~is_true).sum())


def test_codes_lie_class_by_class_in_each_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two rows a block: 1.0 is 0x3F800000, shifted by one 0x7F000000.
    monkeypatch.setattr(ranking, "NUM_IN_BLOCK", 4)
    probabilities = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    write_codes(tmp_path / "codes", probabilities, np.array([0, 0, 1]))

    one = 0x7F000000
    assert np.fromfile(tmp_path / "codes", np.uint32).tolist() == [
        *(1, one + 1),  # class 0 of the first two rows, of which it is the true one
        *(one, 0),  # class 1 of them
        *(0, one + 1),  # the last block has one row
    ]


def test_groups_of_classes_have_the_areas_of_all_at_once_and_read_each_code_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(50), 999).astype(np.float32)
    truth = random.integers(50, size=999)
    monkeypatch.setattr(ranking, "NUM_IN_BLOCK", 50 * 256)
    paths = []
    for number, (first, end) in enumerate([(0, 300), (300, 301), (301, 999)]):
        paths.append(str(tmp_path / str(number)))
        write_codes(Path(paths[-1]), probabilities[first:end], truth[first:end])

    at_once = ranking.areas(paths, 999, 50, tmp_path, [0, 30])
    assert list(at_once[2]) == [0, 30]

    num_read = []
    from_file = np.fromfile

    def counted(file: BinaryIO, dtype: type, count: int) -> np.ndarray:
        num_read.append(count)
        return from_file(file, dtype, count)

    monkeypatch.setattr(np, "fromfile", counted)
    monkeypatch.setattr(ranking, "NUM_SORTED", 999 * 7)  # groups of 7 classes, the last one of 1
    assert ranking.areas(paths, 999, 50, tmp_path, [0, 30]) == at_once  # bit for bit
    assert sum(num_read) == 999 * 50
