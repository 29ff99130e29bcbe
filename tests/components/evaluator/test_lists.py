"""The hardest and the most confidently wrong rows."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator import EvaluatorParams
from components.evaluator.evaluation import measure
from components.evaluator.measure import merge, second_best
from components.evaluator.tally import Measured
from tests.support.linear_models import small


def test_the_hardest_and_the_most_confidently_wrong(tmp_path: Path) -> None:
    examples, saved_model = small(
        tmp_path, [([[3.0]], "a"), ([[0.1]], "b"), ([[-1.0]], "b"), ([[3.0]], "a"), ([[5.0]], "b")]
    )
    figures = measure(examples, saved_model / "saved_model", EvaluatorParams(num_examples=3))

    told = {
        name: [
            (example["row"], example["label"], example["predicted"]) for example in figures[name]
        ]
        for name in ("confidently_wrong", "hardest")
    }
    assert told == {
        "confidently_wrong": [(0, "a", "b"), (3, "a", "b"), (2, "b", "a")],
        "hardest": [(1, "b", "b"), (4, "b", "b")],
    }

    first = figures["confidently_wrong"][0]
    assert first["runner_up"] == "a"
    assert first["probability_of_runner_up"] == first["probability_of_label"]
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
    """One list has the most confident wrong rows, the other more rows with small margins.

    The order and size of the shards do not matter.
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

    rows_listed = {
        name: [example["row"] for example in listed]
        for name, listed in merge(parts, num).listed().items()
    }

    wrong = sorted(
        (row for row, (is_right, *_) in enumerate(rows) if not is_right),
        key=lambda row: (-rows[row][2], row),
    )
    assert rows_listed["confidently_wrong"] == wrong[:num]

    others = [
        row
        for row in sorted(range(len(rows)), key=lambda row: (rows[row][1], row))
        if row not in wrong[:num]
    ]
    assert rows_listed["hardest"] == others[:num]


def test_the_runner_up_is_the_likeliest_of_the_other_classes() -> None:
    probabilities = np.array([[0.5, 0.125, 0.375], [0.25, 0.5, 0.25], [0.5, 0.5, 0.0]], np.float32)
    runner_up, margin = second_best(probabilities, np.array([0, 1, 0]))
    assert (runner_up.tolist(), margin.tolist()) == ([2, 0, 1], [0.125, 0.25, 0.0])


def test_redacted_evaluations_hold_no_text(examples: Path, saved_model: Path) -> None:
    shown, hidden = (
        measure(
            examples,
            saved_model / "saved_model",
            EvaluatorParams(redact=redact, slices=("script",)),
        )
        for redact in (False, True)
    )
    assert all("No. " in example["text"] for example in shown["hardest"])
    assert "text" not in json.dumps(hidden)
    assert [example["row"] for example in shown["hardest"]] == [
        example["row"] for example in hidden["hardest"]
    ]
    assert [slice_["value"] for slice_ in shown["slices"]] == ["latin"]
