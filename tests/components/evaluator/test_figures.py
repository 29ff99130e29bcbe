"""The figures are scikit-learn's, in whatever order and wherever the shards are measured."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)

from components.evaluator import EvaluatorParams, run
from components.evaluator.aligned import AlignedModel
from components.evaluator.evaluation import measure
from components.evaluator.measure import Measurer, MeasureTask, merge
from components.evaluator.metrics import macro_f1_interval
from components.evaluator.rows import rows
from seqline.data import features
from seqline.data.examples import blocks, read
from seqline.data.manifest import content_of
from seqline.errors import UserError
from tests.support.corpus import write_examples
from tests.support.linear_models import linear_model, small


def sequences(folder: Path, name: str) -> tuple[Path, Path]:
    """(Examples, SavedModel) of one of scikit-learn's own data sets.

    The rows are sequences, and the model is a linear model of their first half.
    """
    data = load_digits() if name == "digits" else load_breast_cancer()
    values = (
        (data.data / data.data.max(axis=0).clip(1))
        .astype(np.float32)
        .reshape(len(data.data), -1, 8 if name == "digits" else 1)
    )

    labels = [str(data.target_names[target]) for target in data.target]
    half = len(values) // 2
    fitted = LogisticRegression(max_iter=2000).fit(
        values[:half].reshape(half, -1), data.target[:half]
    )

    weights, bias = fitted.coef_.T.reshape(*values.shape[1:], -1), fitted.intercept_
    if weights.shape[-1] == 1:
        weights, bias = (
            np.concatenate([-weights, weights], axis=-1) / 2,
            np.concatenate([-bias, bias]) / 2,
        )

    pairs = list(zip(values, labels, strict=True))
    examples = write_examples(
        folder / "examples", {"train": pairs[:half], "test": pairs[half:]}, "sequence", num_shards=3
    )
    return examples, linear_model(
        folder / "model", [str(name) for name in data.target_names], weights, bias
    )


def answers(examples: Path, saved_model: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(labels, true class [rows], probabilities [rows, num_classes]) of the test split.

    The model is asked in the evaluator's batches, which have rows of about one length, so that ties
    are the same. Batches in the order of the rows give the same up to the rounding of float32.
    """
    folder = saved_model / "saved_model"
    labels = (folder / "assets" / "labels").read_text().splitlines()
    model = tf.saved_model.load(str(folder))
    truth, in_order = [], []
    for request, label in rows(examples, "test"):
        truth += [labels.index(value.decode()) for value in label.numpy()]
        in_order.append(model.signatures["serving_default"](**request)["probabilities"].numpy())

    content, _ = content_of(examples)
    aligned = AlignedModel(str(folder), labels)
    probabilities = np.concatenate(
        [
            aligned.answer(block)[0]
            for path in features.shards(examples, "test")
            for block in blocks(path, content)
        ]
    )

    np.testing.assert_allclose(probabilities, np.concatenate(in_order), atol=1e-6)
    return labels, np.array(truth), probabilities


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return sequences(tmp_path_factory.mktemp("digits"), "digits")


# What is a mean of the probabilities themselves, or of their logarithms, is as exact as two answers
# of one model in float32.
ROUNDING = 1e-6


def same(value: Any, expected: Any, tolerance: float = 1e-9) -> None:
    assert value == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "corpus"])
def test_every_figure_is_scikit_learns(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "corpus":  # texts, by the pipeline's own model
        examples = request.getfixturevalue("examples")
        saved_model = request.getfixturevalue("saved_model")
    elif name == "digits":
        examples, saved_model = request.getfixturevalue("digits")
    else:
        examples, saved_model = sequences(tmp_path, name)
    labels, truth, probabilities = answers(examples, saved_model)
    predicted, classes = probabilities.argmax(axis=1), range(len(labels))
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1)
    losses = -np.log(clipped[np.arange(len(truth)), truth])

    figures = measure(examples, saved_model / "saved_model", EvaluatorParams(min_slice_rows=20))

    assert figures["num_rows"] == len(truth)
    same(figures["accuracy"], accuracy_score(truth, predicted))
    same(figures["macro_f1"], f1_score(truth, predicted, average="macro"))
    same(figures["cross_entropy"], losses.mean(), ROUNDING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that float32 sums to one only nearly
        same(figures["cross_entropy"], log_loss(truth, clipped, labels=classes), ROUNDING)
    assert (
        figures["confusion_matrix"] == confusion_matrix(truth, predicted, labels=classes).tolist()
    )
    for k, value in figures["top_k_accuracy"].items():
        same(value, top_k_accuracy_score(truth, probabilities, k=int(k), labels=classes))
    assert list(figures["top_k_accuracy"]) == [str(k) for k in (2, 3, 5) if k < len(labels)]

    assert_areas(figures, labels, truth, probabilities)
    assert_calibration(figures, truth, probabilities)
    assert_slices(figures, labels, truth, predicted, losses)


def assert_areas(
    figures: dict[str, Any], labels: list[str], truth: np.ndarray, probabilities: np.ndarray
) -> None:
    for number, label in enumerate(labels):
        is_class, of_class = truth == number, figures["classes"][label]
        same(of_class["roc_auc"], roc_auc_score(is_class, probabilities[:, number]))
        same(of_class["pr_auc"], average_precision_score(is_class, probabilities[:, number]))

        curve = figures["curves"][label]
        thresholds = np.array(curve["thresholds"], np.float32)[:, None]
        is_called = probabilities[:, number] >= thresholds
        assert curve["true_positives"] == (is_called & is_class).sum(axis=1).tolist()
        assert curve["false_positives"] == (is_called & ~is_class).sum(axis=1).tolist()

    assert list(figures["curves"]) == labels
    one_hot = np.eye(len(labels))[truth]
    same(figures["roc_auc"], roc_auc_score(one_hot, probabilities, average="macro"))
    same(figures["pr_auc"], average_precision_score(one_hot, probabilities, average="macro"))


def assert_calibration(
    figures: dict[str, Any], truth: np.ndarray, probabilities: np.ndarray
) -> None:
    confidence = probabilities.max(axis=1).astype(np.float64)
    is_right = probabilities.argmax(axis=1) == truth
    right, mean = calibration_curve(is_right, confidence, n_bins=15, strategy="uniform")
    same([bin_["accuracy"] for bin_ in figures["calibration"]], right.tolist())
    same([bin_["confidence"] for bin_ in figures["calibration"]], mean.tolist(), ROUNDING)

    weights = [bin_["num_rows"] / len(truth) for bin_ in figures["calibration"]]
    same(figures["ece"], float(np.dot(weights, np.abs(right - mean))), ROUNDING)


def assert_slices(
    figures: dict[str, Any],
    labels: list[str],
    truth: np.ndarray,
    predicted: np.ndarray,
    losses: np.ndarray,
) -> None:
    by_label = {
        slice_["value"]: slice_ for slice_ in figures["slices"] if slice_["feature"] == "label"
    }
    for number, label in enumerate(labels):
        chosen = truth == number
        same(by_label[label]["accuracy"], accuracy_score(truth[chosen], predicted[chosen]))
        same(
            by_label[label]["macro_f1"],
            f1_score(truth[chosen], predicted[chosen], average="macro", zero_division=0),
        )
        same(by_label[label]["cross_entropy"], losses[chosen].mean(), ROUNDING)

    assert sum(
        slice_["num_rows"] for slice_ in figures["slices"] if slice_["feature"] == "length"
    ) == len(truth)


def task_of(
    examples: Path, saved_model: Path, scores: Path, served: Path | None = None
) -> MeasureTask:
    labels = (saved_model / "saved_model" / "assets" / "labels").read_text().splitlines()
    scores.mkdir()
    return MeasureTask(
        "sequence",
        8,
        tuple(labels),
        str(saved_model / "saved_model"),
        str(served) if served else None,
        ("label", "span"),
        {},
        3,
        False,
        str(scores),
    )


def test_shards_can_be_put_together_in_any_order(digits: tuple[Path, Path], tmp_path: Path) -> None:
    task = task_of(*digits, tmp_path / "scores", digits[1] / "saved_model")
    measurer = Measurer(task)
    parts = [measurer.measure(str(path)) for path in features.shards(digits[0], "test")]
    assert len(parts) == 3

    forwards = merge(parts, 3)
    again = merge([merge([parts[2]], 3), merge([parts[1], parts[0]], 3)], 3)
    assert forwards == again
    assert forwards.overall.num_rows == len(read_all(digits[0]))
    assert forwards.overall.lost == forwards.overall.gained == 0
    assert forwards.overall.served_cells == forwards.overall.cells

    margins = [
        example["probability"] - example["probability_of_runner_up"]
        for *_, example in forwards.hardest.examples
    ]
    assert margins == sorted(margins)
    assert len(margins) == 6  # twice as many as are listed


def read_all(examples: Path) -> list[bytes]:
    return [
        label
        for path in features.shards(examples, "test")
        for label in read(path, "sequence", 8).labels
    ]


def test_on_beam_the_evaluation_is_the_same_byte_for_byte(
    digits: tuple[Path, Path], tmp_path: Path
) -> None:
    examples, saved_model = digits
    params = EvaluatorParams(
        slices=("label", "length", "script", "span"),
        baseline="none",
        serving_dir=str(tmp_path / "served"),
    )
    served = tmp_path / "served" / "4"
    served.parent.mkdir()
    other = linear_model(
        tmp_path / "other", ["9", "0", "ten"], np.zeros((8, 8, 3)), np.array([0.0, 2.0, 1.0])
    )
    (other / "saved_model").rename(served)

    evaluations = []
    for name, beam_args in (
        ("local", ()),
        ("beam", ("--runner=FnApiRunner", "--direct_num_workers=1")),
    ):
        (tmp_path / name).mkdir()
        figures = run(
            examples=examples,
            saved_model=saved_model,
            params=params,
            output=tmp_path / name,
            beam_args=beam_args,
        )

        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
            "answers.jsonl",
            "evaluation.json",
            "tensorboard",
        ]
        evaluations.append((figures, (tmp_path / name / "evaluation.json").read_bytes()))

    assert evaluations[0] == evaluations[1]
    figures = evaluations[0][0]["served"]

    assert figures["version"] == 4

    # The served model always says "0", by name: the number of its class is another one.
    labels = read_all(examples)
    assert figures["accuracy"] == labels.count(b"0") / len(labels)
    assert figures["new_labels"] == [str(number) for number in range(1, 9)]
    assert figures["lost_labels"] == ["ten"]
    right = np.exp([0.0, 2.0, 1.0]) / np.exp([0.0, 2.0, 1.0]).sum()
    of_label = {b"9": right[0], b"0": right[1]}
    assert figures["cross_entropy"] == pytest.approx(
        np.mean([-np.log(of_label.get(label, 1e-7)) for label in labels]), abs=1e-6
    )


def test_a_served_version_that_reads_something_else_is_named(
    digits: tuple[Path, Path], saved_model: Path, tmp_path: Path
) -> None:
    task = task_of(*digits, tmp_path / "scores", saved_model / "saved_model")
    with pytest.raises(
        UserError,
        match=(
            r"saved_model reads text \[None\], this model length \[None\], sequence \[None,"
            r" None, 8\]"
        ),
    ):
        Measurer(task).measure(str(features.shards(digits[0], "test")[0]))


def test_a_label_that_train_did_not_have_is_wrong_and_shown(tmp_path: Path) -> None:
    examples, saved_model = small(tmp_path, [([[-2.0]], "a"), ([[2.0]], "b"), ([[3.0]], "zebra")])
    figures = measure(examples, saved_model / "saved_model")
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert list(figures["classes"]) == ["a", "b", "zebra"]
    assert figures["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert figures["classes"]["zebra"]["recall"] == 0
    sigmoid = 1 / (1 + np.exp(-2.0))
    assert figures["cross_entropy"] == pytest.approx(
        (-2 * np.log(sigmoid) - np.log(1e-7)) / 3, abs=1e-6
    )


def test_probabilities_that_are_no_numbers_are_counted_and_refused(tmp_path: Path) -> None:
    rows = [([[-2.0]], "a"), ([[2.0]], "b")] * 3
    examples, saved_model = small(tmp_path, rows, weight=float("nan"))
    (tmp_path / "out").mkdir()
    figures = run(
        examples=examples,
        saved_model=saved_model,
        params=EvaluatorParams(baseline="none"),
        output=tmp_path / "out",
    )
    assert figures["num_not_finite"] == 6
    assert figures["refusals"][0] == "6 rows have probabilities that are no numbers"
    json.loads((tmp_path / "out" / "evaluation.json").read_text(), parse_constant=pytest.fail)


def test_the_interval_of_macro_f1_is_the_bootstrap_of_rows() -> None:
    cells = {(0, 0): 60, (0, 1): 10, (1, 0): 5, (1, 1): 20, (2, 1): 4, (2, 2): 1}
    low, high = macro_f1_interval(cells)  # type: ignore[arg-type]
    truth, predicted = (
        np.repeat([pair[side] for pair in cells], list(cells.values())) for side in (0, 1)
    )
    random = np.random.default_rng(1)
    samples = [random.integers(100, size=100) for _ in range(1000)]
    slow = [
        f1_score(truth[sample], predicted[sample], average="macro", zero_division=0)
        for sample in samples
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.02)
    assert macro_f1_interval(cells) == (low, high)  # type: ignore[arg-type]
