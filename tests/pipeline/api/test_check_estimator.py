"""scikit-learn's own checks of an estimator.

They have numbers only, so that of an estimator of texts they check nothing: with
`content="sequence"` all of them run.
"""

from typing import Any

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from seqline.sklearn import SequenceClassifier

# Check -> why it fails.
EXPECTED: dict[str, str] = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row of weight 2 is in one batch of an epoch, two equal rows may be in two"
    ),
}


@pytest.mark.slow  # some sixty fits
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_the_checks_of_sequences() -> None:
    model = SequenceClassifier("sequence", rnn_units=16, num_epochs=8)
    results: list[dict[str, Any]] = []
    check_estimator(
        model,
        expected_failed_checks=EXPECTED,
        on_skip=None,
        on_fail=None,
        callback=lambda **result: results.append(result),
    )
    failed = {
        result["check_name"]: repr(result["exception"])
        for result in results
        if result["status"] == "failed"
    }
    assert failed == {}
    excepted = {result["check_name"] for result in results if result["status"] == "xfail"}
    assert excepted == set(EXPECTED)
    # Another version of scikit-learn may have some more; this many are none too few.
    assert sum(result["status"] == "passed" for result in results) >= 50


def test_texts_are_not_tested_by_scikit_learn() -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator SequenceClassifier"):
        check_estimator(SequenceClassifier(), on_skip="warn")
