"""The module that asks the model of a package, on models that a test can work out."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from serving import packaged
from serving.errors import InputError
from serving.packaged import Model
from tests.support.models import fake_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    root = tmp_path_factory.mktemp("models")
    folders = {content: fake_model(root / content, content) for content in ("tokens", "sequence")}
    for folder in folders.values():
        (folder / "README.md").write_text("# caf\u00e9\n", encoding="utf-8")
    return {content: Model(folder) for content, folder in folders.items()}


def test_rows_of_every_kind(models: dict[str, Model]) -> None:
    tokens, sequence = models["tokens"], models["sequence"]
    assert (tokens.content, tokens.labels, tokens.card) == (
        "tokens",
        ["even", "odd"],
        "# caf\u00e9\n",
    )
    assert tokens.predict([["a", "b"], ["a"], "a b c", '["a b"]']) == ["even", "odd", "odd", "odd"]
    steps = np.array([[1, 9], [2, 9]], np.float32)
    assert sequence.predict([steps, steps.tolist(), "[[2, 0]]"]) == ["odd", "odd", "even"]


def test_probabilities_are_float32_in_the_order_of_the_labels(models: dict[str, Model]) -> None:
    probabilities = models["tokens"].predict_proba([["a"]] * 300 + [["a", "b"]])
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (301, 2))
    np.testing.assert_array_equal(probabilities[[0, 299, 300]], [[0.25, 0.75]] * 2 + [[0.75, 0.25]])
    assert models["tokens"].predict_proba([]).shape == (0, 2)
    assert models["tokens"].predict([]) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a text", r"Give a list of rows, such as \['a text'\], not 'a text'\."),
        (None, r"Give a list of rows, such as \['a text'\], not None\."),
        ([["a", 1]], "Row 1, token 2 is '1', not a string"),
        ([["a"], []], r"Row 2 has no token"),
        ([["a"], None], r"Row 2 is None; this model reads a list\."),
        ([1], r"Row 1 is 1; this model reads a list\."),
        ([["\ud800"]], "Row 1, token 1 is .* not a string"),
    ],
)
def test_a_row_of_another_kind_is_refused(
    models: dict[str, Model], rows: list, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        models["tokens"].predict(rows)


@pytest.mark.parametrize("row", [None, 1, 1.5, ["a"], b"a"])
def test_what_is_no_text_is_none_for_a_model_of_texts(row: object) -> None:
    with pytest.raises(InputError, match=r"^Row 3 is .*; this model reads a text\.$"):
        packaged._text(row, "Row 3", "text")


def test_the_program_prints_a_line_for_each_row(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packaged, "load", lambda: models["sequence"])
    monkeypatch.setattr(sys, "argv", ["topics", "[[1, 9]]", "[[3e38, 9], [3e38, 9]]"])
    with pytest.raises(SystemExit) as ended:
        packaged.main()
    assert str(ended.value).startswith("error: Row 2 has no class")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["label"], first["probabilities"]) == ("odd", {"odd": 0.75, "even": 0.25})
    assert second["error"].startswith("Row 2 has no class")


def test_a_folder_without_a_model_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be loaded \(.*\)\. Install the package again\.$"):
        Model(tmp_path)
