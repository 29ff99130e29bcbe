import json
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.asking import BATCH_SIZE
from serving.predict import (
    InputError,
    find_model,
    find_models,
    main,
    predict,
    version_folders,
    without_class,
)
from tests.support.models import fake_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that tell even from odd, by the number of tokens or the sum of the first numbers."""
    root = tmp_path_factory.mktemp("models")
    return {content: fake_model(root / content, content) for content in ("tokens", "sequence")}


def ask(model: Path, *texts: str) -> list[dict[str, Any]]:
    return list(predict(model, texts))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("one", ["one"]),
        ("  one\ttwo  three ", ["one", "two", "three"]),
        ('["one two", "three"]', ["one two", "three"]),
        (' [ "\\u00e9\\ud83d\\ude00" ]', ["\u00e9\U0001f600"]),
        ("[CLS] one [SEP]", ["[CLS]", "one", "[SEP]"]),
        ("42", ["42"]),
        ('{"a": 1}', ['{"a":', "1}"]),
        ("bad\udcff", ["bad\udcff"]),
    ],
)
def test_tokens_are_a_json_list_or_stand_between_white_space(
    models: dict[str, Path], text: str, tokens: list[str]
) -> None:
    [answer] = ask(models["tokens"], text)
    assert answer["tokens"] == tokens
    assert answer["label"] == ["even", "odd"][len(tokens) % 2]
    assert answer["probabilities"] == {
        answer["label"]: 0.75,
        {"odd": "even", "even": "odd"}[answer["label"]]: 0.25,
    }


def test_rows_of_any_length_are_answered_in_order(models: dict[str, Path]) -> None:
    sizes = [number % 5 + 1 for number in range(BATCH_SIZE + 3)]
    for content, item in (("tokens", "a"), ("sequence", [1, -7.5])):
        answers = ask(models[content], *(json.dumps([item] * size) for size in sizes))
        assert [answer["label"] for answer in answers] == [
            ["even", "odd"][size % 2] for size in sizes
        ]
        assert [len(answer[content]) for answer in answers] == sizes
    assert ask(models["tokens"]) == []


def test_a_row_without_a_class_is_an_error_and_the_others_are_answered(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sum of the numbers is infinite, and the model's probabilities are NaN."""
    large = "[[3e38, 9], [3e38, 9]]"
    rows = ["[[1, 9]]", large, "[[2, 9]]"]
    monkeypatch.setattr(sys, "argv", ["predict", str(models["sequence"]), *rows])
    with pytest.raises(SystemExit) as ended:
        main()

    problem = "Row 2 has no class: the model's probabilities for it are not finite numbers."
    assert ended.value.code == f"error: {problem}"
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer.get("label") for answer in answers] == ["odd", None, "even"]
    assert answers[1] == {"sequence": json.loads(large), "error": problem}
    assert without_class([problem, problem]) == f"2 rows have no class. The first: {problem}"


def test_numbers_may_be_integers_and_as_great_as_a_float32_is(models: dict[str, Path]) -> None:
    [answer] = ask(models["sequence"], "[[1, 3.4028234663852886e38], [2, -1e-50]]")
    assert answer == {
        "sequence": [[1, 3.4028234663852886e38], [2, -1e-50]],
        "label": "odd",
        "probabilities": {"odd": 0.75, "even": 0.25},
    }


HOW = "Give a JSON list of time steps with 2 finite number(s) each, [[number, ...], ...]."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Row 2 is not JSON, Expecting value: line 1 column 1 (char 0): ''. "),
        (
            "[[1, 2",
            "Row 2 is not JSON, Expecting ',' delimiter: line 1 column 7 (char 6): '[[1, 2'. ",
        ),
        (
            "[" * 100_000,
            (
                "Row 2 is not JSON, maximum recursion depth exceeded while decoding a JSON array"
                f" from a unicode string: '{'[' * 40}...'. "
            ),
        ),
        ("[]", "Row 2 is '[]', not a list of one time step or more. "),
        ("3", "Row 2 is '3', not a list of one time step or more. "),
        ("[1, 2]", "Row 2, time step 1 is '1', not a list. "),
        ("[[1, 2], [3]]", "Row 2, time step 2 has 1 number(s); the model reads 2. "),
        ("[[1, 2, 3]]", "Row 2, time step 1 has 3 number(s); the model reads 2. "),
        ('[[1, 2], [3, "4"]]', "Row 2, time step 2 holds '\"4\"'. "),
        ("[[1, null]]", "Row 2, time step 1 holds 'null'. "),
        ("[[1, true]]", "Row 2, time step 1 holds 'true'. "),
        ("[[NaN, 1]]", "Row 2, time step 1 holds 'NaN'. "),
        ("[[1, -Infinity]]", "Row 2, time step 1 holds '-Infinity'. "),
        ("[[1, 1e400]]", "Row 2 is not JSON, '1e400' is too large for a number: '[[1, 1e400]]'. "),
        ("[[1, 1e39]]", "Row 2, time step 1 holds '1e+39'. "),
        (f"[[1, 1{'0' * 400}]]", f"Row 2, time step 1 holds '1{'0' * 39}...'. "),
        ("[[1, [2]]]", "Row 2, time step 1 holds '[2]'. "),
    ],
)
def test_a_text_that_is_not_a_sequence_is_one_line_that_says_why(
    models: dict[str, Path], text: str, message: str
) -> None:
    with pytest.raises(InputError) as raised:
        ask(models["sequence"], "[[1, 2]]", text)
    assert str(raised.value) == message + HOW


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" ", "Row 1 has no token: ' '. "),
        ("[]", "Row 1 has no token: '[]'. "),
        ('["a", ""]', "Row 1, token 2 is '\"\"', not a string of one character or more. "),
        ("[1]", "Row 1, token 1 is '1', not a string of one character or more. "),
        (
            '["\\ud800"]',
            "Row 1, token 1 is '\"\\\\ud800\"', not a string of one character or more. ",
        ),
    ],
)
def test_a_text_without_tokens_is_one_line_that_says_why(
    models: dict[str, Path], text: str, message: str
) -> None:
    with pytest.raises(InputError) as raised:
        ask(models["tokens"], text)
    assert (
        str(raised.value)
        == message
        + 'Give a JSON list of strings, ["one", "two"], or tokens with white space between.'
    )


def test_rows_before_the_batch_of_a_wrong_one_are_answered(models: dict[str, Path]) -> None:
    answers = predict(models["sequence"], ["[[1, 2]]"] * BATCH_SIZE + ["[]"])
    assert next(answers)["label"] == "odd"
    with pytest.raises(InputError, match=f"Row {BATCH_SIZE + 1} is"):
        list(answers)


def test_the_newest_version_is_asked(tmp_path: Path) -> None:
    for version in ("9", "10", "latest"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    assert find_model(tmp_path) == tmp_path / "10"
    assert find_model(tmp_path / "9") == tmp_path / "9"

    # As the server takes names: zeros may come first, the shorter name counts.
    for name in ("00000012", "012", "+99", "\u0663\u0663", str(2**63)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert find_model(tmp_path) == tmp_path / "012"
    model = tmp_path / "several" / "model"
    for name in ("0012", "12", str(2**63)):
        (model / name).mkdir(parents=True)
        (model / name / "saved_model.pb").touch()
    assert find_models(model.parent) == {"model": model}
    assert version_folders(model) == {12: model / "12"}

    with pytest.raises(InputError, match="No SavedModel at"):
        find_model(tmp_path / "nothing")


def test_a_flag_behind_the_model_is_not_asked_as_a_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", "model", "--explain", "a text"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == (
        "error: --explain is a flag, and stands before MODEL; here it would be a text."
    )
    assert capsys.readouterr().out == ""
