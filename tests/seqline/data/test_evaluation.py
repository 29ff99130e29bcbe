"""evaluation.json is written as it was, and refused in one line where it is damaged."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqline.data.evaluation import Curve, Evaluation
from seqline.errors import UserError
from seqline.gates import Gate
from tests.support.evaluations import evaluation

FILE = "evaluation.json"
CURVE: Curve = {
    "num_positive": 2,
    "num_negative": 1,
    "thresholds": [0.0, 0.5],
    "true_positives": [2, 1],
    "false_positives": [1, 0],
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / FILE
    gates = [Gate("finite", 0, 0, True, "ü"), Gate.not_judged("size", "not set")]
    for written in (
        evaluation(),
        replace(evaluation(["too bad"]), gates=gates, served={"accuracy": 0.5}),
        replace(evaluation(), not_compared={"version": 3, "why": "it is another model"}),
        replace(evaluation(), curves={}),
        replace(evaluation(), curves={"ü": CURVE, 'a\n  "curves": {': CURVE}),
    ):
        written.write(path)
        assert Evaluation.read(path) == written


def test_the_keys_have_their_order_and_only_an_absent_comparison_is_left_out() -> None:
    keys = list(evaluation().to_json())
    assert keys[:3] == ["num_rows", "accuracy", "accuracy_interval"]
    assert keys[-5:] == ["confidently_wrong", "baselines", "gates", "blessed", "refusals"]
    other = replace(evaluation(), not_compared={"version": 3, "why": ""})
    assert list(other.to_json())[-6:-3] == ["confidently_wrong", "not_compared", "baselines"]


def test_a_curve_has_a_line(tmp_path: Path) -> None:
    replace(evaluation(), curves={"ü": CURVE}).write(tmp_path / FILE)
    assert (
        '  "calibration": [],\n'
        '  "curves": {\n'
        '    "ü": {"num_positive": 2, "num_negative": 1, "thresholds": [0.0, 0.5],'
        ' "true_positives": [2, 1], "false_positives": [1, 0]}\n'
        '  },\n  "slices": [],\n'
    ) in (tmp_path / FILE).read_text(encoding="utf-8")


def without(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda content: json.dumps({name: content[name] for name in content if name != key})


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: "", "Expecting value: line 1"),
        (lambda content: json.dumps(content)[:100], "Unterminated string"),
        (lambda content: "<html>", "Expecting value: line 1"),
        (lambda content: "[]", "Input should be an object"),
        (
            lambda content: json.dumps({**content, "refusals": ["x"]}),
            "blessed: it is true, with 1 refusals",
        ),
        (
            lambda content: json.dumps({**content, "blessed": False}),
            "blessed: it is false, with 0 refusals",
        ),
        (without("blessed"), "blessed: Field required"),
        (lambda content: json.dumps({**content, "blessed": "yes"}), "blessed: Input should be a"),
        (lambda content: json.dumps({**content, "refusals": None}), "refusals: Input should be a"),
        (
            lambda content: json.dumps({**content, "gates": [{"name": "size"}]}),
            "gates.0.value: Field required",
        ),
        (
            lambda content: json.dumps({**content, "confusion_matrix": [["many"]]}),
            "confusion_matrix.0.0: Input should be a valid integer",
        ),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    tmp_path: Path, damage: Callable[[dict[str, Any]], str], problem: str
) -> None:
    path = tmp_path / FILE
    path.write_text(damage(evaluation().to_json()))
    with pytest.raises(UserError) as raised:
        Evaluation.read(path)
    message = str(raised.value)
    assert message.startswith(f"{path} is damaged ({problem}")
    assert message.endswith("). seqline run --verify makes it again.")
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}/{FILE} is missing\. seqline run --verify"):
        Evaluation.read(tmp_path / FILE)
