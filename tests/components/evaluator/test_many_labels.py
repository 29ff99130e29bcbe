"""What an evaluation leaves out or writes otherwise where there are many classes or rows."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluator import EvaluatorParams, evaluation, figures, linear
from components.evaluator.metrics import classification, macro_f1, macro_f1_interval
from components.evaluator.tally import Tally, add_to_each
from seqline.data.evaluation import Evaluation
from tests.support.evaluations import evaluation as made_evaluation
from tests.support.examples import write_spans
from tests.support.linear_models import small


def test_the_confusion_of_many_classes_is_its_cells_with_rows() -> None:
    labels = [f"{number:03}" for number in range(201)]
    counted = Counter({(200, 0): 1, (0, 0): 3, (0, 7): 2})
    few = classification(labels[:200], Counter({(0, 0): 3, (0, 7): 2}), 0.5)
    many = classification(labels, counted, 0.5)

    assert [len(row) for row in few["confusion_matrix"]] == [200] * 200
    assert few["confusion_matrix"][0] == [3, *[0] * 6, 2, *[0] * 192]
    assert "confusion_cells" not in few
    assert many["confusion_matrix"] is None
    assert many["confusion_cells"] == [[0, 0, 3], [0, 7, 2], [200, 0, 1]]

    # 6 rows, 3 of them right. Of class 0: 5 rows, predicted 4 times; F1 2 * 3 / (5 + 4).
    assert (many["num_rows"], many["accuracy"]) == (6, 0.5)
    assert many["classes"]["000"] == {
        "precision": 0.75,
        "recall": 0.6,
        "f1": pytest.approx(2 / 3),
        "num_rows": 5,
    }
    # Classes 0, 7 and 200 occur.
    assert many["macro_f1"] == pytest.approx(2 / 9)


def test_cells_are_written_a_line_each_and_read_again(tmp_path: Path) -> None:
    content: dict[str, Any] = {**vars(made_evaluation())}
    content |= {"confusion_matrix": None, "confusion_cells": [(0, 1, 2), (1, 1, 3)]}
    written = Evaluation(**content)
    written.write(tmp_path / "evaluation.json")

    assert Evaluation.read(tmp_path / "evaluation.json") == written
    text = (tmp_path / "evaluation.json").read_text()
    assert (
        '  "confusion_matrix": null,\n  "confusion_cells": [\n    [0, 1, 2],\n    [1, 1, 3]\n  ],\n'
        '  "calibration": [],\n'
    ) in text
    assert json.loads(text) == json.loads(json.dumps(written.to_json()))


def test_slices_of_many_labels_are_listed_by_their_rows_and_all_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model calls every row b: it has all rows of b right and those of a wrong.
    examples, saved_model = small(tmp_path, [([[2.0]], "b")] * 3 + [([[2.0]], "a")] * 2)

    def evaluate(**params: Any) -> dict[str, Any]:
        set_params = EvaluatorParams(slices=("label",), min_slice_rows=1, baseline="none", **params)
        evaluation.evaluate(examples, saved_model, set_params, tmp_path / "evaluation.json")
        read: dict[str, Any] = json.loads((tmp_path / "evaluation.json").read_text())
        return read

    def listed(evaluated: dict[str, Any]) -> list[tuple[str, int]]:
        return [(of_slice["value"], of_slice["num_rows"]) for of_slice in evaluated["slices"]]

    whole = evaluate()
    assert listed(whole) == [("a", 2), ("b", 3)]
    assert "slices_left_out" not in whole

    monkeypatch.setattr(figures, "MAX_LABELS", 1)
    capped = evaluate(min_slice_accuracy=0.5)
    assert listed(capped) == [("b", 3)]
    assert capped["slices"] == whole["slices"][1:]
    assert capped["slices_left_out"] == {"label": 1}
    # The slice that is not listed is judged all the same.
    assert "accuracy 0.0000 of label=a (2 rows)" in capped["refusals"][-1]

    own = evaluate(min_slice_accuracy={"label=a": 0.0})
    assert listed(own) == [("a", 2), ("b", 3)]


def test_rows_are_added_to_their_groups() -> None:
    tallies = [Tally(), Tally(loss=5)]
    add_to_each(
        tallies,
        np.array([1, 0, 1]),
        np.array([0, 2, 0]),
        np.array([1, 2, 1]),
        np.array([0.5, 0.0, 0.25]),
        (np.array([0, -1, 1]), np.array([1.0, 2.0, 0.0])),
    )

    unit = 2**40
    assert tallies == [
        Tally(
            cells=Counter({(2, 2): 1}),
            served_cells=Counter({(2, -1): 1}),
            served_loss=2 * unit,
            gained=1,
        ),
        Tally(
            cells=Counter({(0, 1): 2}),
            loss=5 + 3 * unit // 4,
            loss_squared=5 * unit // 16,
            served_cells=Counter({(0, 0): 1, (0, 1): 1}),
            served_loss=unit,
            lost=1,
        ),
    ]


def test_macro_f1_is_the_same_whatever_the_numbers_of_the_classes() -> None:
    # With more than a thousand classes only those with rows have a column.
    cells = Counter({(0, 0): 3, (0, 1): 1, (1, 0): 2, (1, -1): 1})
    far = Counter({(0, 0): 3, (0, 1000): 1, (1000, 0): 2, (1000, -1): 1})
    assert macro_f1(far) == macro_f1(cells) == pytest.approx((2 * 3 / 9 + 0) / 2)
    assert macro_f1_interval(far) == macro_f1_interval(cells)


ROWS = [(f"{number}", "ab"[number % 2]) for number in range(40)]


def test_a_sample_of_shards_follows_the_sizes_of_spans_and_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Train has 4 shards of 10 rows in span 0 and 2 of 10 in span 1; eval has 2 of 5 in span 0.
    spans = {
        0: {"train": ROWS, "eval": ROWS[:10], "test": ROWS[:4]},
        1: {"train": ROWS[:20]},
    }
    examples = write_spans(tmp_path / "examples", spans, shard_rows=10)
    monkeypatch.setattr(linear, "NUM_SHARDS", 3)
    # 2 * 14 * 7 // 70 = 2 shards have 14 rows; of 7 shards the first, third and fifth are read.
    chosen = linear.sample(examples, ("train", "eval"), 70, 14)
    assert [path.name for path in chosen.paths] == [
        "data_tfrecord-00000-00000-00000.gz",
        "data_tfrecord-00000-00000-00002.gz",
        "data_tfrecord-00001-00000-00000.gz",
    ]
    assert chosen.num_first == [4, 4, 4]  # 14 * 10 / 30, rounded down

    # 70 rows are more than 2 * 14: the same.
    monkeypatch.setattr(linear, "SAMPLED_ABOVE", 2)
    learned = linear.learn(examples, 70, 14)
    assert learned.contents == ["0", "1", "2", "3", "20", "21", "22", "23", "0", "1", "2", "3"]
    assert learned.labels == ["a", "b"] * 6


def test_the_artifact_says_of_how_many_rows_the_linear_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = {0: {"train": ROWS, "eval": ROWS[:10], "test": ROWS[:30]}}
    examples = write_spans(tmp_path / "examples", spans, shard_rows=10)

    # Every third row of 50: 17, and all rows of test.
    _, told = linear.compare(examples, EvaluatorParams(max_baseline_rows=20))
    assert told == {"num_learned": 17, "num_train": 50, "num_asked": 30, "num_test": 30}

    # Twice ten are fewer than 50 and 30. Of train and eval 5 shards are read, 2 rows of each; of
    # test 3 shards, 20 // 3 rows of each.
    monkeypatch.setattr(linear, "SAMPLED_ABOVE", 2)
    accuracies, told = linear.compare(examples, EvaluatorParams(max_baseline_rows=10))
    assert told == {"num_learned": 10, "num_train": 50, "num_asked": 18, "num_test": 30}
    assert list(accuracies) == ["majority class", "tf-idf + logistic regression"]

    _, told = linear.compare(examples, EvaluatorParams(max_baseline_rows=50))
    assert told is None
