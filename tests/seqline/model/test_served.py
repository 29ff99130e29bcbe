"""A SavedModel is asked about rows of any content, as tensors and as JSON."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from seqline.errors import DataError
from seqline.model.served import (
    RowSignature,
    ServedModel,
    arguments,
    has_class,
    labels_of,
    signatures_of,
)
from tests.support.models import fake_model

TOKENS = tf.ragged.constant([[b"a", b"b", b"c"], [b"a", b"b"]])
# Two rows of three and two time steps with two numbers each; the first ones sum up to 3 and 2.
SEQUENCES = tf.ragged.constant([[1.0, 9.0] * 3, [1.0, 9.0] * 2])
CASES = [("tokens", None, TOKENS), ("sequence", 2, SEQUENCES)]


@pytest.mark.parametrize(("content", "dim", "rows"), CASES)
def test_a_model_answers_rows_that_are_padded_for_it(
    content: str, dim: int | None, rows: tf.RaggedTensor, tmp_path: Path
) -> None:
    folder = fake_model(tmp_path / "model", content)
    model = ServedModel(folder)
    assert (model.content, model.dim, model.labels) == (content, dim, ["even", "odd"])
    assert signatures_of(folder) == {"serving_default": RowSignature(model.content, dim)}
    assert labels_of(str(folder)) == model.labels

    answers = model.ask(rows)
    assert answers["class_id"].tolist() == [1, 0]
    assert answers["label"].tolist() == [b"odd", b"even"]
    assert answers["probabilities"].tolist() == [[0.25, 0.75], [0.75, 0.25]]
    assert answers["probabilities"].dtype == np.float32


@pytest.mark.parametrize(
    ("content", "row"),
    [("tokens", {"tokens": ["a"]}), ("sequence", {"sequence": [[1, 9]], "length": 1})],
)
def test_a_row_of_json_is_an_argument(content: str, row: dict[str, Any], tmp_path: Path) -> None:
    model = ServedModel(fake_model(tmp_path / "model", content))
    answers = model.call({name: [value] for name, value in row.items()})
    assert answers["label"].tolist() == [b"odd"]
    assert not model.has("serving_examples")


def test_a_row_whose_probabilities_are_not_finite_has_no_class(tmp_path: Path) -> None:
    model = ServedModel(fake_model(tmp_path / "model", "sequence"))
    answers = model.ask(tf.ragged.constant([[3e38, 9.0] * 2, [1.0, 9.0]]))
    assert answers["class_id"].tolist() == [-1, 1]
    assert answers["label"].tolist() == [b"", b"odd"]
    assert has_class(answers["probabilities"]).tolist() == [False, True]


def test_a_damaged_saved_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x0a\xff")
    with pytest.raises(DataError, match=r"saved_model\.pb is damaged\. Copy or push"):
        signatures_of(tmp_path)


def test_rows_are_padded_to_the_longest() -> None:
    padded = arguments("tokens", None, TOKENS)
    assert padded["tokens"].numpy().tolist() == [[b"a", b"b", b"c"], [b"a", b"b", b""]]
    padded = arguments("sequence", 2, SEQUENCES)
    assert padded["length"].numpy().tolist() == [3, 2]
    assert padded["sequence"].numpy().tolist() == [[[1, 9]] * 3, [[1, 9], [1, 9], [0, 0]]]
    texts = tf.constant(["a text", ""])
    assert arguments("text", None, texts) == {"text": texts}
