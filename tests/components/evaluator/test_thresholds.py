"""Thresholds of slices that cannot be."""

from pathlib import Path

import pytest

from components.evaluator import EvaluatorParams, check, check_examples
from seqline.data.manifest import Manifest, Span, write_manifest
from seqline.errors import UserError


def with_labels(root: Path) -> Path:
    """Examples of two spans with the labels sport, tech and (in train only) café."""
    for split in ("train", "eval", "test"):
        (root / f"Split-{split}").mkdir()
    both = {"sport": 60, "tech": 60}
    first = Span(7, "a", num_rows={"train": {**both, "caf\u00e9": 3}, "test": both})
    write_manifest(Manifest("text", None, (first, Span(8, "b", num_rows={"train": both}))), root)
    return root


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "label=sprot",
            "evaluator.min_slice_accuracy names 'label=sprot', of which the Examples have no row;"
            " they have 'caf\u00e9', 'sport', 'tech'. Did you mean 'label=sport'? Correct it, or"
            " remove it: a threshold of no slice would let everything pass.",
        ),
        (
            "span=9",
            "evaluator.min_slice_accuracy names 'span=9', of which the Examples have no row; they"
            " have '7', '8'. Did you mean 'span=8'? Correct it, or remove it: a threshold of no"
            " slice would let everything pass.",
        ),
    ],
)
def test_a_threshold_of_no_slice_is_refused_before_training(
    tmp_path: Path, name: str, message: str
) -> None:
    params = EvaluatorParams(slices=("label", "span"), min_slice_accuracy={name: 0.5})
    with pytest.raises(UserError) as raised:
        check_examples(params, with_labels(tmp_path))
    assert str(raised.value) == message


def test_thresholds_of_slices_that_exist_are_taken(tmp_path: Path) -> None:
    floors = {"label": 0.5, "label=tech ": 0.5, "label=cafe\u0301": 0.5, "span=7": 0.5}
    params = EvaluatorParams(slices=("label", "span"), min_slice_accuracy=floors)
    assert params.min_slice_accuracy == {
        "label": 0.5,
        "label=tech": 0.5,
        "label=caf\u00e9": 0.5,
        "span=7": 0.5,
    }
    check_examples(params, with_labels(tmp_path))


@pytest.mark.parametrize(("value", "meant"), [("5", "4-7"), ("4-8", "4-7"), ("010", "8-15")])
def test_lengths_are_in_fixed_ranges(value: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"8-15 and so on. Did you mean 'length={meant}'"):
        check(EvaluatorParams(min_slice_accuracy={f"length={value}": 0.5}))


@pytest.mark.parametrize("value", ["0", "1", "2-3", "64-127"])
def test_ranges_of_lengths_are_taken(value: str) -> None:
    check(EvaluatorParams(min_slice_accuracy={f"length={value}": 0.5}))
