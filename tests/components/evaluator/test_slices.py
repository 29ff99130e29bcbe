"""Slices of rows."""

from pathlib import Path

import pytest
import tensorflow as tf

from components.evaluator import EvaluatorParams, slices
from components.evaluator.evaluation import measure
from seqline.data import features
from seqline.errors import UserError
from tests.support.linear_models import small


def with_features(examples: Path) -> Path:
    """The same Examples, each with `source`, `year` and `score`."""
    for split in ("train", "test"):
        for path in features.shards(examples, split):
            held = [
                record.numpy()
                for record in tf.data.TFRecordDataset(str(path), compression_type="GZIP")
            ]

            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for number, record in enumerate(held):
                    example = tf.train.Example.FromString(record)
                    example.features.feature["source"].bytes_list.value.extend(
                        [b"mail", b"more"][: number % 3]
                    )
                    example.features.feature["year"].int64_list.value.append(2000 + number % 2)
                    example.features.feature["score"].float_list.value.append(number / 2)
                    writer.write(example.SerializeToString())

    return examples


def test_slices_by_features_of_the_examples(tmp_path: Path) -> None:
    examples, saved_model = small(tmp_path, [([[2.0]], "b")] * 3 + [([[2.0]], "a")] * 3)
    with_features(examples)
    figures = measure(
        examples,
        saved_model / "saved_model",
        EvaluatorParams(slices=("source", "year", "score"), min_slice_rows=2),
    )

    table = [
        (
            slice_["feature"],
            slice_["value"],
            slice_["num_rows"],
            slice_["accuracy"],
            slice_["judged"],
        )
        for slice_ in figures["slices"]
    ]

    assert table[:4] == [
        ("source", "", 2, 0.5, True),
        ("source", "mail", 4, 0.5, True),
        ("year", "2000", 3, pytest.approx(2 / 3), True),
        ("year", "2001", 3, pytest.approx(1 / 3), True),
    ]
    assert [cells[1] for cells in table[4:]] == ["0", "0.5", "1", "1.5", "2", "2.5"]

    with pytest.raises(
        UserError,
        match=(
            r"evaluator.slices names 'country'; the Examples hold label, score, sequence, source,"
            r" year, and"
        ),
    ):
        measure(examples, saved_model / "saved_model", EvaluatorParams(slices=("country",)))


def test_a_slice_with_too_many_values_is_named(tmp_path: Path) -> None:
    examples, saved_model = small(tmp_path, [([[2.0]], "b")] * 1001)
    with_features(examples)
    with pytest.raises(UserError, match=r"evaluator\.slices: 'score' has over 1,000 values"):
        measure(examples, saved_model / "saved_model", EvaluatorParams(slices=("score",)))


@pytest.mark.parametrize(
    ("length", "bucket"),
    [(0, "0"), (1, "1"), (2, "2-3"), (3, "2-3"), (4, "4-7"), (255, "128-255"), (256, "256-511")],
)
def test_buckets_of_lengths(length: int, bucket: str) -> None:
    assert slices.bucket(length) == bucket


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("The cat sat on the mat.", "latin"),
        ("Não há mais pão em casa", "latin"),
        ("Привет, как дела", "cyrillic"),
        ("Привет, Tom, как дела", "cyrillic"),
        ("今日は天気がいいですね", "hiragana"),
        ("中文文本", "cjk"),
        ("안녕하세요", "hangul"),
        ("1234 !?", "none"),
        ("", "none"),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert slices.script(text) == script
