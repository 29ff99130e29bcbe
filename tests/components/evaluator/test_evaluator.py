import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from components.evaluator import EVALUATOR, EvaluatorParams
from components.evaluator.baselines import (
    MAJORITY,
    STATISTICS,
    TFIDF,
    majority,
    statistics_logistic_regression,
    summary_statistics,
    tfidf_logistic_regression,
)
from components.evaluator.evaluation import TABLES, measure
from components.evaluator.gates import judge
from components.evaluator.linear import compare
from components.evaluator.metrics import classification, log_losses
from components.evaluator.tally import cells
from seqline.component import Figures
from seqline.gates import refusals
from tests.support.corpus import write_examples
from tests.support.models import fake_model

LABELS = ["animals", "fruit", "metals"]


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_classes = 2 + seed
    labels = [f"class {number}" for number in range(num_classes)]
    probabilities = random.dirichlet(np.ones(num_classes), 200)
    truth = random.integers(num_classes, size=200)
    predicted = probabilities.argmax(axis=1)
    loss = log_losses(probabilities, truth).mean()

    figures = classification(labels, cells(truth, predicted), loss)

    assert figures["num_rows"] == 200
    assert figures["accuracy"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
    assert figures["macro_f1"] == pytest.approx(
        f1_score(truth, predicted, average="macro"), abs=1e-12
    )
    assert figures["cross_entropy"] == pytest.approx(
        log_loss(truth, probabilities, labels=range(num_classes)), abs=1e-12
    )
    assert figures["confusion_matrix"] == confusion_matrix(truth, predicted).tolist()

    expected = precision_recall_fscore_support(
        truth, predicted, labels=range(num_classes), zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "num_rows"), expected, strict=True):
        assert [figures["classes"][label][name] for label in labels] == pytest.approx(
            list(values), abs=1e-12
        )


def test_a_class_never_predicted_and_one_that_never_occurs() -> None:
    # Of 4 rows of a, 3 are called a and 1 b; both rows of b are called a; c neither occurs nor is
    # predicted.
    counted = Counter({(0, 0): 3, (0, 1): 1, (1, 0): 2})
    figures = classification(["a", "b", "c"], counted, 0.5)
    assert figures["confusion_matrix"] == [[3, 1, 0], [2, 0, 0], [0, 0, 0]]
    assert figures["accuracy"] == 0.5
    assert figures["classes"] == {
        "a": {"precision": 0.6, "recall": 0.75, "f1": pytest.approx(2 / 3), "num_rows": 4},
        "b": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "num_rows": 2},
        "c": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "num_rows": 0},
    }
    assert figures["macro_f1"] == pytest.approx(1 / 3)

    never = classification(["a", "b"], Counter({(0, 0): 4, (1, 0): 2}), 0.5)
    assert never["classes"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "num_rows": 2}
    assert never["macro_f1"] == pytest.approx(
        f1_score([0] * 4 + [1] * 2, [0] * 6, average="macro", zero_division=0), abs=1e-12
    )


def test_a_probability_of_0_has_a_finite_loss() -> None:
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    assert log_losses(probabilities, np.array([1, 0])) == pytest.approx(
        [-np.log(1e-7), -np.log(0.5)], abs=1e-9
    )
    assert log_losses(probabilities, np.array([0, 1])) == pytest.approx(
        [0, -np.log(0.5)], abs=1e-12
    )


def test_majority_is_the_most_frequent_class_of_train() -> None:
    assert majority(Counter(["a", "b", "b"]), Counter(["a", "a", "b", "c"])) == 0.25
    assert majority(Counter(["b", "a", "c", "b", "a"]), Counter(["a", "a", "b"])) == pytest.approx(
        2 / 3
    )


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_tfidf_learns_what_words_tell(analyzer: str) -> None:
    train = (
        ["cat dog", "dog horse", "apple pear", "pear plum"] * 3,
        ["animals", "animals", "fruit", "fruit"] * 3,
    )
    answer = tfidf_logistic_regression(*train, analyzer)
    assert answer(["horse cat", "plum apple", "pear cat apple"]).tolist() == [
        "animals",
        "fruit",
        "fruit",
    ]


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_tfidf_reads_tokens_as_they_are(analyzer: str) -> None:
    # In small letters and with spaces between, these are the same text: the classes differ in where
    # a token ends, and in a capital.
    train = ([["a b", "C"], ["a", "b", "c"]] * 4, ["x", "y"] * 4)
    predicted = tfidf_logistic_regression(*train, analyzer)(
        [["a b"], ["a", "c"], ["C"], ["b"]]
    ).tolist()
    assert (predicted == ["x", "y", "x", "y"]) == (analyzer == "word")


def test_summary_statistics() -> None:
    statistics = summary_statistics(np.array([[1, 5], [3, 5], [8, 2]], np.float32))
    means, deviations = [4, 4], [np.sqrt(26 / 3), np.sqrt(2)]
    np.testing.assert_allclose(statistics, [*means, *deviations, 1, 2, 8, 5, 1, 5, 8, 2, np.log(4)])
    assert summary_statistics(np.zeros((0, 2), np.float32)).tolist() == [0.0] * 13


def test_statistics_learn_what_the_level_tells_and_not_what_the_order_tells() -> None:
    ramp = np.arange(6, dtype=np.float32)[:, None]
    answer = statistics_logistic_regression([ramp, ramp + 9] * 5, ["low", "high"] * 5)
    assert answer([ramp + 8, ramp - 1]).tolist() == ["high", "low"]
    orders = [ramp[[0, 1, 2, 3, 4, 5]], ramp[[0, 2, 1, 4, 3, 5]]]
    first, second = statistics_logistic_regression(orders * 5, ["a", "b"] * 5)(orders)
    assert first == second


METRIC: Figures = {"accuracy": 0.8, "macro_f1": 0.7, "cross_entropy": 0.6}


def refuse(metric: Figures, compared: dict[str, float], params: EvaluatorParams) -> list[str]:
    return refusals(judge(metric, compared, params))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, []),
        (
            {
                "min_accuracy": 0.8,
                "min_macro_f1": 0.7,
                "max_cross_entropy": 0.6,
                "min_gain_over_majority": 0.29,
            },
            [],
        ),
        ({"min_accuracy": 0.9}, ["accuracy 0.8000 is under min_accuracy 0.9"]),
        ({"min_macro_f1": 0.71}, ["macro F1 0.7000 is under min_macro_f1 0.71"]),
        ({"max_cross_entropy": 0.5}, ["cross-entropy 0.6000 nats is over max_cross_entropy 0.5"]),
        (
            {"min_gain_over_majority": 0.4},
            ["gain over the majority class 0.3000 is under min_gain_over_majority 0.4"],
        ),
        (
            {"min_accuracy": 0.9, "max_cross_entropy": 0.1},
            [
                "accuracy 0.8000 is under min_accuracy 0.9",
                "cross-entropy 0.6000 nats is over max_cross_entropy 0.1",
            ],
        ),
    ],
)
def test_every_threshold_refuses(params: dict[str, float], expected: list[str]) -> None:
    assert refuse(METRIC, {MAJORITY: 0.5}, EvaluatorParams(**params)) == expected


@pytest.mark.parametrize("params", [EvaluatorParams(), EvaluatorParams(max_cross_entropy=10.0)])
def test_a_cross_entropy_that_is_no_number_is_refused(params: EvaluatorParams) -> None:
    [refusal] = refuse({**METRIC, "cross_entropy": float("nan")}, {MAJORITY: 0.5}, params)
    assert refusal.startswith("cross-entropy nan")


def test_a_model_no_better_than_the_majority_class_is_refused_by_default() -> None:
    assert refuse({**METRIC, "accuracy": 0.5}, {MAJORITY: 0.5}, EvaluatorParams()) == [
        "gain over the majority class 0.0000 is under min_gain_over_majority 0.001"
    ]


def test_the_evaluation_of_the_corpus(evaluation: Path, figures: dict[str, Figures]) -> None:
    measured = json.loads((evaluation / "evaluation.json").read_text())
    assert measured["blessed"] is True
    assert measured["refusals"] == []
    assert list(measured["classes"]) == LABELS

    num_test = figures["example_gen"]["num_rows"]["test"]
    confusion = np.array(measured["confusion_matrix"])
    assert measured["num_rows"] == confusion.sum() == sum(num_test.values())
    assert {
        label: of_class["num_rows"] for label, of_class in measured["classes"].items()
    } == num_test
    assert confusion.sum(axis=1).tolist() == [num_test[label] for label in LABELS]
    assert measured["accuracy"] == np.trace(confusion) / confusion.sum()
    assert measured["accuracy"] > 0.9

    low, high = measured["accuracy_interval"]
    assert low <= measured["accuracy"] <= high
    assert 0 < measured["cross_entropy"] < 1
    assert set(measured["baselines"]) == {MAJORITY, TFIDF}
    assert measured["baselines"][TFIDF] > 0.9


def test_the_returned_figures_are_the_evaluation_without_its_tables(
    evaluation: Path, figures: dict[str, Figures]
) -> None:
    measured = json.loads((evaluation / "evaluation.json").read_text())
    returned = json.loads(json.dumps(figures["evaluator"]))
    assert returned == {name: value for name, value in measured.items() if name not in TABLES}
    assert set(TABLES) - {"confusion_cells"} < set(measured)
    described = EVALUATOR.describe(figures["evaluator"])
    assert described.startswith(f"test accuracy {measured['accuracy']:.3f} (")
    assert described.endswith("; blessed")
    refused = {**figures["evaluator"], "blessed": False, "refusals": ["too bad", "too slow"]}
    assert EVALUATOR.describe(refused).endswith("; NOT blessed: too bad; too slow")


def test_the_majority_baseline_of_the_corpus(examples: Path, figures: dict[str, Figures]) -> None:
    num_rows = figures["example_gen"]["num_rows"]
    answer = max(LABELS, key=lambda label: num_rows["train"][label])
    expected = num_rows["test"][answer] / sum(num_rows["test"].values())
    assert compare(examples, EvaluatorParams(baseline="none")) == ({MAJORITY: expected}, None)


@pytest.mark.parametrize("content", ["tokens", "sequence"])
def test_rows_of_any_content_are_measured_as_they_are(content: str, tmp_path: Path) -> None:
    # 300 rows, more than a batch; every tenth label is wrong.
    rows = []
    for number in range(300):
        size = number % 7 + 1
        row = ["token"] * size if content == "tokens" else [[1.0, 9.0]] * size
        rows.append((row, ["even", "odd"][(size + (number % 10 == 0)) % 2]))
    examples = write_examples(
        tmp_path / "examples",
        {"train": rows[:100], "eval": rows[100:120], "test": rows},
        content,
        num_shards=2,
    )

    figures = measure(examples, fake_model(tmp_path / "model", content))
    assert figures["num_rows"] == 300
    assert figures["accuracy"] == 0.9
    assert figures["cross_entropy"] == pytest.approx(
        -0.9 * np.log(0.75) - 0.1 * np.log(0.25), abs=1e-6
    )
    assert {label: of_class["num_rows"] for label, of_class in figures["classes"].items()} == dict(
        Counter(label for _, label in rows)
    )

    compared, read = compare(examples, EvaluatorParams())
    assert read is None  # all rows
    assert list(compared) == [MAJORITY, TFIDF if content == "tokens" else STATISTICS]
    assert list(compare(examples, EvaluatorParams(baseline="none"))[0]) == [MAJORITY]
