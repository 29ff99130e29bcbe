"""The areas under the curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    roc_auc_score,
)

from components.evaluator import ranking


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
