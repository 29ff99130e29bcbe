"""The figures against scikit-learn's, whatever the order in which rows are put together, and
wherever they are measured.
"""

import json
import warnings
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
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

from components.evaluator import EvaluatorParams, ranking, run, slices
from components.evaluator.aligned import AlignedModel
from components.evaluator.evaluation import measure
from components.evaluator.measure import Measurer, MeasureTask, merge, second_best
from components.evaluator.metrics import macro_f1_interval
from components.evaluator.paired import binomial_tail, loss_interval, p_value
from components.evaluator.rows import blocks, content_of, rows
from components.evaluator.tally import Measured
from seqline.data import features
from seqline.data.examples import read
from seqline.errors import UserError
from tests.conftest import write_examples


def linear_model(path: Path, labels: Sequence[str], weights: np.ndarray, bias: np.ndarray) -> Path:
    """A SavedModel.

    Softmax of a linear function of a sequence; weights [time, dim, num_classes].
    """
    (path / "assets.in").mkdir(parents=True)
    (path / "assets.in" / "labels").write_text("".join(f"{label}\n" for label in labels))
    module = tf.Module()
    module.labels = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(path / "assets.in" / "labels"),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
        ),
        "",
    )
    dim = weights.shape[1]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, dim], tf.float32, "sequence"),
            tf.TensorSpec([None], tf.int64, "length"),
        ]
    )
    def serve(sequence: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.einsum("btd,tdc->bc", sequence, tf.constant(weights, tf.float32)) + tf.constant(
            bias, tf.float32
        )
        probabilities = tf.nn.softmax(logits + 0 * tf.cast(length, tf.float32)[:, None])
        class_id = tf.argmax(probabilities, axis=-1)
        return {
            "probabilities": probabilities,
            "class_id": class_id,
            "label": module.labels.lookup(class_id),
        }

    module.serve = serve
    tf.saved_model.save(module, str(path / "saved_model"), signatures={"serving_default": serve})
    return path


def sequences(folder: Path, name: str) -> tuple[Path, Path]:
    """(Examples, SavedModel) of one of scikit-learn's own data sets.

    Rows as sequences, a linear model of the first half.
    """
    data = load_digits() if name == "digits" else load_breast_cancer()
    values = (
        (data.data / data.data.max(axis=0).clip(1))
        .astype(np.float32)
        .reshape(len(data.data), -1, 8 if name == "digits" else 1)
    )
    labels = [str(data.target_names[target]) for target in data.target]
    half = len(values) // 2
    found = LogisticRegression(max_iter=2000).fit(
        values[:half].reshape(half, -1), data.target[:half]
    )
    weights, bias = found.coef_.T.reshape(*values.shape[1:], -1), found.intercept_
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
        folder / "model", [str(each) for each in data.target_names], weights, bias
    )


def answers(examples: Path, saved_model: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(labels, true class [rows], probabilities [rows, num_classes]) of the test split, all in
    memory.

    They are asked for in the evaluator's batches, which are made of rows of about one length, so
    that ties are the same; in the order of the rows they are the same but for the rounding of
    float32.
    """
    folder = saved_model / "saved_model"
    labels = (folder / "assets" / "labels").read_text().splitlines()
    model = tf.saved_model.load(str(folder))
    truth, in_order = [], []
    for request, label in rows(examples, "test"):
        truth += [labels.index(each.decode()) for each in label.numpy()]
        in_order.append(model.signatures["serving_default"](**request)["probabilities"].numpy())
    content, _ = content_of(examples)
    aligned = AlignedModel(str(folder), labels)
    probabilities = np.concatenate(
        [
            aligned.answer(block)[0]
            for path in features.shards(examples, "test")
            for block in blocks(str(path), content, {})
        ]
    )
    np.testing.assert_allclose(probabilities, np.concatenate(in_order), atol=1e-6)
    return labels, np.array(truth), probabilities


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return sequences(tmp_path_factory.mktemp("digits"), "digits")


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "corpus"])
def test_every_figure_is_scikit_learns(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "corpus":  # texts, by the pipeline's own model
        examples, saved_model = (
            request.getfixturevalue("examples"),
            request.getfixturevalue("saved_model"),
        )
    else:
        examples, saved_model = (
            request.getfixturevalue("digits") if name == "digits" else sequences(tmp_path, name)
        )
    labels, truth, probabilities = answers(examples, saved_model)
    found = measure(examples, saved_model / "saved_model", EvaluatorParams(min_slice_rows=20))
    predicted, classes = probabilities.argmax(axis=1), range(len(labels))

    def same(value: Any, expected: Any, tolerance: float = 1e-9) -> None:
        assert value == pytest.approx(expected, abs=tolerance)

    # What is a mean of the probabilities themselves, or of their logarithms, is as exact as two
    # answers of one model in float32.
    rounding = 1e-6

    assert found["num_rows"] == len(truth)
    same(found["accuracy"], accuracy_score(truth, predicted))
    same(found["macro_f1"], f1_score(truth, predicted, average="macro"))
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1)
    losses = -np.log(clipped[np.arange(len(truth)), truth])
    same(found["cross_entropy"], losses.mean(), rounding)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that float32 sums to one only nearly
        same(found["cross_entropy"], log_loss(truth, clipped, labels=classes), rounding)
    assert found["confusion_matrix"] == confusion_matrix(truth, predicted, labels=classes).tolist()
    for number, label in enumerate(labels):
        same(
            found["classes"][label]["roc_auc"],
            roc_auc_score(truth == number, probabilities[:, number]),
        )
        same(
            found["classes"][label]["pr_auc"],
            average_precision_score(truth == number, probabilities[:, number]),
        )
    one_hot = np.eye(len(labels))[truth]
    same(found["roc_auc"], roc_auc_score(one_hot, probabilities, average="macro"))
    same(found["pr_auc"], average_precision_score(one_hot, probabilities, average="macro"))
    for k, value in found["top_k_accuracy"].items():
        same(value, top_k_accuracy_score(truth, probabilities, k=int(k), labels=classes))
    assert list(found["top_k_accuracy"]) == [str(k) for k in (2, 3, 5) if k < len(labels)]
    confidence = probabilities.max(axis=1).astype(np.float64)
    right, mean = calibration_curve(predicted == truth, confidence, n_bins=15, strategy="uniform")
    same([each["accuracy"] for each in found["calibration"]], right.tolist())
    same([each["confidence"] for each in found["calibration"]], mean.tolist(), rounding)
    weights = [each["num_rows"] / len(truth) for each in found["calibration"]]
    same(found["ece"], float(np.dot(weights, np.abs(right - mean))), rounding)
    by_label = {each["value"]: each for each in found["slices"] if each["feature"] == "label"}
    for number, label in enumerate(labels):
        chosen = truth == number
        same(by_label[label]["accuracy"], accuracy_score(truth[chosen], predicted[chosen]))
        same(
            by_label[label]["macro_f1"],
            f1_score(truth[chosen], predicted[chosen], average="macro", zero_division=0),
        )
        same(by_label[label]["cross_entropy"], losses[chosen].mean(), rounding)
    assert sum(each["num_rows"] for each in found["slices"] if each["feature"] == "length") == len(
        truth
    )


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
    for name, part in (("a", slice(None, cut)), ("b", slice(cut, None))):
        (folder / name).write_bytes(ranking.encode(probabilities[part], truth[part]).tobytes())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "NUM_CODES", data.draw(st.integers(1, 20)))
        patched.setattr(ranking, "NUM_SORTED", data.draw(st.integers(1, 200)))
        roc, precision = ranking.areas(
            [str(folder / name) for name in "ab"], num_rows, num_classes, folder
        )
    for number in range(num_classes):
        is_true = truth == number
        if is_true.all() or not is_true.any():
            assert roc[number] is precision[number] is None
        else:
            assert roc[number] == pytest.approx(
                roc_auc_score(is_true, probabilities[:, number]), abs=1e-12
            )
            assert precision[number] == pytest.approx(
                average_precision_score(is_true, probabilities[:, number]), abs=1e-12
            )


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
        each["probability"] - each["probability_of_runner_up"]
        for *_, each in forwards.hardest.examples
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
        slices=("label", "length", "language", "span"),
        baseline="none",
        serving_dir=str(tmp_path / "served"),
    )
    served = tmp_path / "served" / "4"
    served.parent.mkdir()
    other = linear_model(
        tmp_path / "other", ["9", "0", "ten"], np.zeros((8, 8, 3)), np.array([0.0, 2.0, 1.0])
    )
    (other / "saved_model").rename(served)
    found = []
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
        ]
        found.append((figures, (tmp_path / name / "evaluation.json").read_bytes()))
    assert found[0] == found[1]
    figures = found[0][0]["served"]
    # It always says "0", by name: the number of its class is another one.
    assert figures["version"] == 4
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


def small(tmp_path: Path, test: list[tuple[Any, str]], weight: float = 1.0) -> tuple[Path, Path]:
    """Sequences of one number x; the model gives class b the probability 1 / (1 + exp(-x))."""
    examples = write_examples(tmp_path / "examples", {"train": test, "test": test}, "sequence")
    return examples, linear_model(
        tmp_path / "model", ["a", "b"], np.array([[[0.0, weight]]]), np.zeros(2)
    )


def test_a_label_that_train_did_not_have_is_wrong_and_shown(tmp_path: Path) -> None:
    examples, saved_model = small(tmp_path, [([[-2.0]], "a"), ([[2.0]], "b"), ([[3.0]], "zebra")])
    found = measure(examples, saved_model / "saved_model")
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert list(found["classes"]) == ["a", "b", "zebra"]
    assert found["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert found["classes"]["zebra"]["recall"] == 0
    sigmoid = 1 / (1 + np.exp(-2.0))
    assert found["cross_entropy"] == pytest.approx(
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


def test_the_hardest_and_the_most_confidently_wrong(tmp_path: Path) -> None:
    examples, saved_model = small(
        tmp_path, [([[3.0]], "a"), ([[0.1]], "b"), ([[-1.0]], "b"), ([[3.0]], "a"), ([[5.0]], "b")]
    )
    found = measure(examples, saved_model / "saved_model", EvaluatorParams(num_examples=3))
    told = {
        name: [(each["row"], each["label"], each["predicted"]) for each in found[name]]
        for name in ("confidently_wrong", "hardest")
    }
    assert told == {
        "confidently_wrong": [(0, "a", "b"), (3, "a", "b"), (2, "b", "a")],
        "hardest": [(1, "b", "b"), (4, "b", "b")],
    }
    first = found["confidently_wrong"][0]
    assert (first["runner_up"], first["probability_of_runner_up"]) == (
        "a",
        first["probability_of_label"],
    )
    assert first["probability"] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-6)
    assert first["loss"] == pytest.approx(np.log(1 + np.exp(3.0)), abs=1e-5)
    assert "text" not in first
    assert (
        measure(examples, saved_model / "saved_model", EvaluatorParams(num_examples=0))["hardest"]
        == []
    )


@given(st.data())
@settings(deadline=None)
def test_no_row_is_listed_twice(data: st.DataObject) -> None:
    """However shards are cut.

    The wrong rows with the likeliest answers, and of the others those with the smallest margin.
    """
    num = data.draw(st.integers(0, 4))
    rows = data.draw(
        st.lists(
            st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.9]), st.floats(0, 1)),
            max_size=20,
        )
    )
    cut = data.draw(st.integers(0, len(rows)))
    parts = []
    for start, end in ((0, cut), (cut, len(rows))):
        part = Measured(num)
        chosen = list(enumerate(rows))[start:end]
        part.hardest.add((-margin, "s", row, {"row": row}) for row, (_, margin, _) in chosen)
        part.confidently_wrong.add(
            (sure, "s", row, {"row": row}) for row, (is_right, _, sure) in chosen if not is_right
        )
        parts.append(part)
    found = {
        name: [each["row"] for each in listed]
        for name, listed in merge(parts, num).listed().items()
    }
    wrong = sorted(
        (row for row, (is_right, *_) in enumerate(rows) if not is_right),
        key=lambda row: (-rows[row][2], row),
    )
    assert found["confidently_wrong"] == wrong[:num]
    others = [
        row
        for row in sorted(range(len(rows)), key=lambda row: (rows[row][1], row))
        if row not in wrong[:num]
    ]
    assert found["hardest"] == others[:num]


def test_the_runner_up_is_the_likeliest_of_the_other_classes() -> None:
    probabilities = np.array([[0.5, 0.125, 0.375], [0.25, 0.5, 0.25], [0.5, 0.5, 0.0]], np.float32)
    runner_up, margin = second_best(probabilities, np.array([0, 1, 0]))
    assert (runner_up.tolist(), margin.tolist()) == ([2, 0, 1], [0.125, 0.25, 0.0])


def test_redacted_evaluations_hold_no_text(examples: Path, saved_model: Path) -> None:
    shown, hidden = (
        measure(
            examples,
            saved_model / "saved_model",
            EvaluatorParams(redact=redact, slices=("language",)),
        )
        for redact in (False, True)
    )
    assert all("No. " in each["text"] for each in shown["hardest"])
    assert "text" not in json.dumps(hidden)
    assert [each["row"] for each in shown["hardest"]] == [each["row"] for each in hidden["hardest"]]
    assert [each["value"] for each in shown["slices"]] == ["en"]


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
    found = measure(
        examples,
        saved_model / "saved_model",
        EvaluatorParams(slices=("source", "year", "score"), min_slice_rows=2),
    )
    table = [
        (each["feature"], each["value"], each["num_rows"], each["accuracy"], each["judged"])
        for each in found["slices"]
    ]
    assert table[:4] == [
        ("source", "", 2, 0.5, True),
        ("source", "mail", 4, 0.5, True),
        ("year", "2000", 3, pytest.approx(2 / 3), True),
        ("year", "2001", 3, pytest.approx(1 / 3), True),
    ]
    assert [each[1] for each in table[4:]] == ["0", "0.5", "1", "1.5", "2", "2.5"]
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
    ("text", "language"),
    [
        ("The cat sat on the mat, and it was good.", "en"),
        ("Der Hund ist nicht auf dem Sofa.", "de"),
        ("Le chat est dans le jardin", "fr"),
        ("El perro y los gatos son muy buenos", "es"),
        ("Il gatto non è più della nonna", "it"),
        ("Não há mais pão em casa", "pt"),
        ("Het is een mooie dag voor ons", "nl"),
        ("Привет, как дела", "cyrillic"),
        ("今日は天気がいいですね", "hiragana"),
        ("中文文本", "cjk"),
        ("안녕하세요", "hangul"),
        ("Xyzzy plugh", "latin"),
        ("1234 !?", "none"),
        ("", "none"),
    ],
)
def test_guessed_languages(text: str, language: str) -> None:
    assert slices.language(text) == language


def tail(least: int, num: int, probability: float) -> float:
    return sum(
        comb(num, k) * probability**k * (1 - probability) ** (num - k)
        for k in range(max(least, 0), num + 1)
    )


@settings(deadline=None)
@given(num=st.integers(1, 200), share=st.floats(0, 1), probability=st.floats(0.01, 0.99))
def test_the_tail_of_the_binomial(num: int, share: float, probability: float) -> None:
    least = round(share * num)
    assert binomial_tail(least, num, probability) == pytest.approx(
        tail(least, num, probability), rel=1e-9, abs=1e-12
    )


def test_p_values_of_losses() -> None:
    # Without an allowance McNemar's test: of 13 rows 10 lost, P(X > 10) + P(X = 10) / 2 = (78 + 13
    # + 1 + 286 / 2) / 2^13.
    assert p_value(10, 3, 500, 0.0) == pytest.approx(235 / 8192, abs=1e-15)
    assert p_value(3, 10, 500, 0.0) == pytest.approx(1 - 235 / 8192, abs=1e-12)
    assert p_value(4, 0, 500, 0.0) == pytest.approx(1 / 32, abs=1e-15)
    assert p_value(7, 7, 500, 0.0) == pytest.approx(0.5, abs=1e-12)
    assert p_value(0, 0, 500, 0.0) == 1
    # 1 % of 500 rows may be lost, 5 more than gained: of 13 rows (13 + 5) / 2 are, on average, and
    # 10 are no surprise.
    assert p_value(10, 3, 500, 0.01) == pytest.approx(
        (tail(10, 13, 9 / 13) + tail(11, 13, 9 / 13)) / 2, rel=1e-12
    )
    assert p_value(10, 3, 500, 0.5) == 1
    assert p_value(600_000, 400_000, 10**7, 0.0) < 1e-300


def test_interval_of_a_loss() -> None:
    # Half a row more in each of four cells: 10.5 and 3.5 of 502.
    low, high = loss_interval(10, 3, 500)
    half = 1.959963984540054 * np.sqrt(14 - 49 / 502) / 502
    assert (low, high) == pytest.approx((7 / 502 - half, 7 / 502 + half), abs=1e-12)


def test_the_interval_of_macro_f1_is_the_bootstrap_of_rows() -> None:
    cells = {(0, 0): 60, (0, 1): 10, (1, 0): 5, (1, 1): 20, (2, 1): 4, (2, 2): 1}
    low, high = macro_f1_interval(cells)  # type: ignore[arg-type]
    truth, predicted = (
        np.repeat([pair[side] for pair in cells], list(cells.values())) for side in (0, 1)
    )
    random = np.random.default_rng(1)
    samples = [random.integers(100, size=100) for _ in range(1000)]
    slow = [
        f1_score(truth[each], predicted[each], average="macro", zero_division=0) for each in samples
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.02)
    assert macro_f1_interval(cells) == (low, high)  # type: ignore[arg-type]
