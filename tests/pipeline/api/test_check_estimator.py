"""scikit-learn's own checks of an estimator. They have numbers only, and none for texts."""

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from seqline.sklearn import SequenceClassifier


def test_texts_are_not_tested_by_scikit_learn() -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator SequenceClassifier"):
        check_estimator(SequenceClassifier(), on_skip="warn")
