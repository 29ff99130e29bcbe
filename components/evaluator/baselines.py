"""Baselines: the simple models that a model has to beat to be worth its cost."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seqline.host import packages

MAJORITY = "majority class"
TFIDF = "tf-idf + logistic regression"
STATISTICS = "summary statistics + logistic regression"

# The most bytes of the weights of tf-idf's features, of which training holds a few copies: the most
# frequent features stay. Twenty classes have room for three million.
WEIGHT_BYTES = 2**29

# A trained baseline: rows -> labels, an array of str objects [rows].
Answer = Callable[[Sequence[Any]], np.ndarray]


def is_there() -> bool:
    """Whether scikit-learn is installed."""
    return packages.is_installed("sklearn")


def majority(train: Counter[str], test: Counter[str]) -> float:
    """The test accuracy of always answering train's most frequent class.

    Of two equally frequent classes it is the first by name.

    Args:
        train: Rows of train by label.
        test: Rows of test by label.
    """
    answer = min(train, key=lambda label: (-train[label], label))
    return test[answer] / test.total()


def tfidf_logistic_regression(
    rows: Sequence[str] | Sequence[list[str]],
    labels: Sequence[str],
    analyzer: str,
    weights: np.ndarray | None = None,
) -> Answer:
    """Trains scikit-learn's linear model on tf-idf of words (1-2) or characters (1-4).

    Args:
        rows: Texts, or lists of tokens. The words of a list are its tokens as they are, its
            characters those of the tokens joined by spaces.
        labels: The label of each row.
        analyzer: "word" or "char".
        weights: The weight of each row in the loss; None if all weigh the same.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    for_tokens: dict[str, Any] = {}
    if isinstance(rows[0], list) and analyzer == "word":
        for_tokens = {"tokenizer": lambda tokens: tokens, "token_pattern": None, "lowercase": False}
    elif isinstance(rows[0], list):
        for_tokens = {"preprocessor": " ".join}

    vectorizer = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2) if analyzer == "word" else (1, 4),
        sublinear_tf=True,
        max_features=WEIGHT_BYTES // (8 * len(set(labels))),
        **for_tokens,
    )

    # On BBC News, SAGA with a tolerance of 1e-2 has the accuracy of the default solver (.972) in a
    # twentieth of the time.
    weights, scale = _relative(weights)
    classifier = LogisticRegression(
        C=10 * scale, solver="saga", tol=1e-2, max_iter=1000, random_state=0
    )
    classifier.fit(vectorizer.fit_transform(rows), np.array(labels, object), weights)
    return lambda asked: classifier.predict(vectorizer.transform(asked))


def _relative(weights: np.ndarray | None) -> tuple[np.ndarray | None, float]:
    """Weights whose mean is 1, divided by their largest, and that largest: (weights, scale).

    The regularization is then that of rows without weights. SAGA's steps are made for weights of at
    most 1.
    """
    if weights is None:
        return None, 1.0
    wide = weights.astype(np.float64)
    return wide / wide.max(), float(wide.max() / wide.mean())


def statistics_logistic_regression(
    rows: Sequence[np.ndarray], labels: Sequence[str], weights: np.ndarray | None = None
) -> Answer:
    """Trains scikit-learn's linear model on `summary_statistics`.

    Args:
        rows: Sequences [time, dim].
        labels: The label of each.
        weights: The weight of each row in the loss; None if all weigh the same.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weights, scale = _relative(weights)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=scale, max_iter=1000))
    # The scaler's mean and deviation are of the rows as they are.
    classifier.fit(
        _statistics(rows), np.array(labels, object), logisticregression__sample_weight=weights
    )
    return lambda asked: classifier.predict(_statistics(asked))


def _statistics(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([summary_statistics(row) for row in rows])  # [rows, 6 * dim + 1]


def summary_statistics(sequence: np.ndarray) -> np.ndarray:
    """Summarizes a sequence [time, dim] without its order in time, [6 * dim + 1].

    The statistics are the mean, standard deviation, minimum, maximum, first and last of each
    number, and log(1 + time). A sequence without a time step has zeros.
    """
    if not len(sequence):
        return np.zeros(6 * sequence.shape[1] + 1)

    wide = sequence.astype(np.float64)
    statistics = [
        wide.mean(axis=0),
        wide.std(axis=0),
        wide.min(axis=0),
        wide.max(axis=0),
        wide[0],
        wide[-1],
    ]
    return np.concatenate([*statistics, [np.log1p(len(wide))]])
