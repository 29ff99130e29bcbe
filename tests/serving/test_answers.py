"""Long answers, which are written piece by piece."""

import json
from typing import Any

import numpy as np
import pytest

from serving import answers
from serving.answers import SLICE


def plain(by_row: bool, **outputs: np.ndarray) -> Any:
    return json.loads(answers.predict_answer(by_row, outputs))


def strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    "shape",
    [
        (1,),
        (SLICE,),
        (SLICE + 1,),
        (3 * SLICE,),
        (1, 2 * SLICE + 1),
        (3, SLICE + 1),
        (700, 3),
        (0,),
        (2, 0),
    ],
)
def test_the_pieces_are_the_whole(shape: tuple[int, ...]) -> None:
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    assert plain(True, y=value) == {"predictions": value.tolist()}
    assert plain(False, y=value) == {"outputs": value.tolist()}
    assert plain(False, y=value, z=value / 2) == {
        "outputs": {"y": value.tolist(), "z": (value / 2).tolist()}
    }
    rows = [{"y": y, "z": z} for y, z in zip(value.tolist(), (value / 2).tolist(), strict=True)]
    assert plain(True, y=value, z=value / 2) == {"predictions": rows}


@pytest.mark.parametrize("num_rows", [1, SLICE, SLICE + 1, 2 * SLICE + 1])
def test_strings_of_many_rows(num_rows: int) -> None:
    labels = strings(*(b"label %d" % row for row in range(num_rows)))
    expected = [f"label {row}" for row in range(num_rows)]
    assert plain(True, y=labels) == {"predictions": expected}
    assert plain(True, y=labels, n=np.arange(num_rows))["predictions"] == [
        {"y": label, "n": row} for row, label in enumerate(expected)
    ]


def test_a_long_row_beside_a_string() -> None:
    wide = np.arange(2 * (SLICE + 1) * 3).reshape(2, -1)
    got = plain(True, wide=wide, label=strings(b"a", b"b"))
    assert got["predictions"] == [
        {"wide": wide[0].tolist(), "label": "a"},
        {"wide": wide[1].tolist(), "label": "b"},
    ]


def test_classes_of_many_examples() -> None:
    scores = np.arange(3 * SLICE, dtype=np.float32).reshape(-1, 3)
    got = json.loads(answers.classify_answer({"scores": scores}, ["a", "b", "c"]))
    assert got["results"] == [
        [["a", first], ["b", second], ["c", third]] for first, second, third in scores.tolist()
    ]
    assert got["result"] == got["results"]


def test_each_piece_is_counted_before_it_is_kept() -> None:
    held: list[int] = []
    answer = answers.predict_answer(True, {"y": np.zeros(5 * SLICE, np.int64)}, held.append)
    assert len(held) >= 5
    assert sum(held) == len(answer) - len(b'{"predictions":') - len(b"}")
