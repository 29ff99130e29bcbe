"""What a model has to beat to be worth its cost."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seqline.host import packages

MAJORITY = "majority class"
TFIDF = "tf-idf + logistic regression"
STATISTICS = "summary statistics + logistic regression"


# What a model trained here answers: rows -> labels [rows], an array of str objects.
Answer = Callable[[Sequence[Any]], np.ndarray]


def is_there() -> bool:
    """Whether scikit-learn is installed."""
    return packages.is_installed("sklearn")


def majority(train: Counter[str], test: Counter[str]) -> float:
    """The test accuracy of always answering train's most frequent class (the first in order where
    two are equal). label -> rows.
    """
    answer = min(train, key=lambda label: (-train[label], label))
    return test[answer] / test.total()


def tfidf_logistic_regression(
    rows: Sequence[str] | Sequence[list[str]], labels: Sequence[str], analyzer: str
) -> Answer:
    """scikit-learn's linear model on words (1-2) or characters (1-4).

    A row is a text, or a list of tokens: its words are then the tokens as they are, its characters
    those of the tokens with spaces between.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    given: dict[str, Any] = {}
    if isinstance(rows[0], list) and analyzer == "word":
        given = {"tokenizer": lambda tokens: tokens, "token_pattern": None, "lowercase": False}
    elif isinstance(rows[0], list):
        given = {"preprocessor": " ".join}
    vectorizer = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2) if analyzer == "word" else (1, 4),
        sublinear_tf=True,
        **given,
    )
    # On BBC News SAGA stopped at 1e-2 has the accuracy of the default solver (.972), at a twentieth
    # of its time.
    classifier = LogisticRegression(C=10, solver="saga", tol=1e-2, max_iter=1000, random_state=0)
    classifier.fit(vectorizer.fit_transform(rows), np.array(labels, object))
    return lambda asked: classifier.predict(vectorizer.transform(asked))


def statistics_logistic_regression(rows: Sequence[np.ndarray], labels: Sequence[str]) -> Answer:
    """scikit-learn's linear model on `summary_statistics`. A row is a sequence [time, dim]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(np.stack([summary_statistics(each) for each in rows]), np.array(labels, object))
    return lambda asked: classifier.predict(np.stack([summary_statistics(each) for each in asked]))


def summary_statistics(sequence: np.ndarray) -> np.ndarray:
    """A sequence [time, dim] without its order in time, [6 * dim + 1].

    Mean, standard deviation, minimum, maximum, first and last of each number, and log(1 + time).
    Zeros for a sequence without a time step.
    """
    if not len(sequence):
        return np.zeros(6 * sequence.shape[1] + 1)
    wide = sequence.astype(np.float64)
    found = [
        wide.mean(axis=0),
        wide.std(axis=0),
        wide.min(axis=0),
        wide.max(axis=0),
        wide[0],
        wide[-1],
    ]
    return np.concatenate([*found, [np.log1p(len(wide))]])
