"""The points of the ROC and the precision-recall curve."""

from collections import Counter

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from components.evaluator import curves
from components.evaluator.ranking import encode


def column(probabilities: list[float] | np.ndarray, is_true: list[bool] | np.ndarray) -> np.ndarray:
    """The sorted codes of one class."""
    given = np.array(probabilities, np.float32)[:, None]
    codes = encode(np.repeat(given, 2, axis=1), np.where(is_true, 0, 1))
    return np.sort(codes[:, 0])


def test_points_of_four_rows() -> None:
    curve = curves.points(column([0.1, 0.3, 0.3, 0.9], [False, True, False, True]))

    assert (curve["num_positive"], curve["num_negative"]) == (2, 2)
    even = [number / 50 for number in range(51)]
    assert curve["thresholds"] == even  # 0.1, 0.3 and 0.9 are among them
    # Up to 0.1 all rows, up to 0.3 all but the first, up to 0.9 the last, and then none.
    assert curve["true_positives"] == [2] * 16 + [1] * 30 + [0] * 5
    assert curve["false_positives"] == [2] * 6 + [1] * 10 + [0] * 35


def test_probabilities_close_to_each_other_have_points_of_their_own() -> None:
    curve = curves.points(column([1e-6, 2e-6, 3e-6, 4e-6], [False, True, False, True]))
    assert curve["thresholds"][:5] == [0.0, 2e-06, 3e-06, 4e-06, 0.02]
    assert curve["true_positives"][:5] == [2, 2, 1, 1, 0]
    assert curve["false_positives"][:5] == [2, 1, 1, 0, 0]


def test_many_rows_have_few_points_with_about_the_whole_areas() -> None:
    random = np.random.default_rng(0)
    is_true = random.random(200_000) < 0.02
    # A rare class whose probabilities are all small.
    score = random.normal(np.where(is_true, 1.5, 0.0))
    probability = (np.exp(score - 9) / (1 + np.exp(score - 9))).astype(np.float32)
    curve = curves.points(column(probability, is_true))

    assert len(curve["thresholds"]) == 101
    recall = np.array([*curve["true_positives"], 0]) / curve["num_positive"]
    fall_out = np.array([*curve["false_positives"], 0]) / curve["num_negative"]
    area = np.trapezoid(recall[::-1], fall_out[::-1])
    assert abs(area - roc_auc_score(is_true, probability)) < 0.002
    called = np.array(curve["true_positives"]) + np.array(curve["false_positives"])
    precision = np.array(curve["true_positives"]) / np.maximum(called, 1)
    num = int((called > 0).sum())
    # Up to the recall of the last point, its precision.
    recalls, precisions = [0, *recall[:num][::-1]], [precision[num - 1], *precision[:num][::-1]]
    average = np.trapezoid(precisions, recalls)
    assert abs(average - average_precision_score(is_true, probability)) < 0.01


def test_the_classes_with_the_most_rows_are_drawn() -> None:
    cells = Counter({(number, 0): 5 for number in range(30)}) + Counter({(29, 1): 1, (7, 2): 1})
    assert curves.classes_drawn(cells) == [*range(19), 29]
