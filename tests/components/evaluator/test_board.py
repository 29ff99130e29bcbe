"""What TensorBoard shows of an Evaluation."""

import html
from pathlib import Path

import numpy as np
import pytest
from tensorboard.plugin_util import markdown_to_safe_html

from components.evaluator import board
from seqline.data.evaluation import Curve, Evaluation
from seqline.storage.staging import path_of
from tests.support.event_files import read, scalars, tensors


def points(num_positive: int) -> Curve:
    """Three rows of this many of the class: one is called positive up to 0.5, the others never."""
    return {
        "num_positive": num_positive,
        "num_negative": 3 - num_positive,
        "thresholds": [number / 50 for number in range(51)],
        "true_positives": [num_positive] + [1] * 25 + [0] * 25,
        "false_positives": [3 - num_positive] + [0] * 50,
    }


def test_figures_curves_and_tables_are_written(evaluation: Path) -> None:
    folder, figures = evaluation / "tensorboard", Evaluation.read(evaluation / "evaluation.json")
    assert scalars(folder) == {
        "accuracy/final_test": [(0, pytest.approx(figures.accuracy))],
        "test/cross_entropy": [(0, pytest.approx(figures.cross_entropy))],
        "test/ece": [(0, pytest.approx(figures.ece))],
        "test/macro_f1": [(0, pytest.approx(figures.macro_f1))],
        "test/pr_auc": [(0, pytest.approx(figures.pr_auc))],
        "test/roc_auc": [(0, pytest.approx(figures.roc_auc))],
    }
    tags = read(folder).Tags()["tensors"]
    curves = [tag for tag in tags if tag.endswith("/pr_curves")]
    assert curves == ["animals/pr_curves", "fruit/pr_curves", "metals/pr_curves"]

    (curve,) = tensors(folder, "animals/pr_curves")
    rows = figures.classes["animals"]["num_rows"]
    true, false, negative, missed, precision, recall = curve
    assert (true + missed).tolist() == [rows] * board.NUM_THRESHOLDS
    assert (false + negative).tolist() == [figures.num_rows - rows] * board.NUM_THRESHOLDS
    assert recall[0] == 1
    assert precision[0] == np.float32(rows / figures.num_rows)

    (table,) = tensors(folder, "hardest")
    assert table.shape == (len(figures.hardest) + 1, len(board.COLUMNS))
    assert table[0].tolist() == [f"**{column}**".encode() for column in board.COLUMNS]
    assert table[1, 0].decode() == figures.hardest[0]["label"]


def test_a_curve_has_even_thresholds_alone() -> None:
    given = points(2)
    for values, value in (("thresholds", 0.001), ("true_positives", 2), ("false_positives", 1)):
        given[values].insert(1, value)  # type: ignore[literal-required] # each is a name of Curve
    (value,) = board.curve("rare", given).value
    assert value.tag == "rare/pr_curves"
    curve = np.frombuffer(value.tensor.tensor_content, np.float32).reshape(6, 51)
    assert curve[:, 0].tolist() == [2, 1, 0, 0, np.float32(2 / 3), 1]
    assert curve[:, 1].tolist() == [1, 0, 1, 1, 1, 0.5]
    # Where no row is called positive, none is called so wrongly.
    assert curve[:, 50].tolist() == [0, 0, 1, 2, 1, 0]


def test_of_two_classes_the_rarer_one_is_drawn() -> None:
    assert list(board.drawn({"no": points(2), "yes": points(1)})) == ["yes"]
    assert list(board.drawn({"no": points(1), "yes": points(2)})) == ["no"]
    assert list(board.drawn({"no": points(1), "yes": points(1)})) == ["yes"]
    assert list(board.drawn({"a": points(1), "b": points(1), "c": points(1)})) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "a | b\n| c | d |\n|---|---|",
        "<script>alert(1)</script> &lt; &amp;",
        "# 1. **bold** _it_ `code` [l](javascript:x) ![i](u) \\* ~~s~~",
        "1. one",
        "naïve 東京 ça?",
    ],
)
def test_a_text_is_nothing_but_a_text(text: str) -> None:
    shown = markdown_to_safe_html(board.escaped(text))
    shown = shown.removeprefix("<p>").removesuffix("</p>")
    assert "<" not in shown
    assert html.unescape(shown) == " ".join(text.split())


def test_event_files_of_a_bucket_are_there_too(evaluation: Path, place: Path) -> None:
    board.write(Evaluation.read(evaluation / "evaluation.json"), place)
    (written,) = path_of(place / "tensorboard").iterdir()
    assert written.name.startswith("events.out.tfevents.")
    assert written.read_bytes()
