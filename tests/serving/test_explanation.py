"""`predict --explain`: what each n-gram and each part of a model adds."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.errors import InputError
from serving.explanation import explanations, lines
from serving.predict import main, predict
from tests.support.explained import explained_model
from tests.support.models import fake_model
from tests.support.openapi import CHECKS, operations
from tests.support.served import Server


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "words": explained_model(root / "words"),
        "alone": explained_model(root / "alone", recurrent=False),
        "characters": explained_model(root / "characters", "characters"),
        "tokens": explained_model(root / "tokens", "tokens"),
        "none": fake_model(root / "none", "tokens"),
    }


def why(model: Path, *texts: str) -> list[dict[str, Any]]:
    return [answer["explanation"] for answer in predict(model, texts, explained=True)]


# "The meow, loud" has four n-grams that the model knows, so N is 2, and a is 0.5: each adds a
# quarter of its weights. The four meows of the other text are one n-gram, whose N is 2 and whose
# factor is 0.5 * sqrt(4) / 2.
CAT = {
    "label": "cat",
    "for": [
        {"ngram": "meow", "count": 1, "score": 2.0},
        {"ngram": "the meow", "count": 1, "score": 0.5},
    ],
    "against": [{"ngram": "the", "count": 1, "score": -0.25}],
    "others": 0.0,
    "prior": 0.2,
    "recurrent": 0.3,
    "total": 2.75,
}


def test_what_each_ngram_and_each_part_adds(models: dict[str, Path]) -> None:
    texts = ["The meow, loud", "meow meow\tmeow Meow", "zzz"]
    answers = list(predict(models["words"], texts, explained=True))
    assert [answer["label"] for answer in answers] == ["cat", "cat", "cat"]
    first, second, third = (rounded(answer["explanation"]) for answer in answers)

    # By themselves: softmax of 0.4 + 4.5, 0.6 - 2.25 + 1 and -1 - 2.25 - 1, and of the logits.
    wide, recurrent = np.exp([4.9, -0.65, -4.25]), np.exp([0.6, 0.0, -0.6])
    alone = {
        "wide_probability": round(wide[0] / wide.sum(), 4),
        "recurrent_probability": round(recurrent[0] / recurrent.sum(), 4),
    }
    assert first == CAT | alone
    assert second["for"] == [{"ngram": "meow", "count": 4, "score": 4.0}]
    assert (second["against"], second["total"]) == ([], 4.5)
    assert (third["for"], third["against"], third["total"]) == ([], [], 0.5)

    # The total is the log-odds against the average label.
    for answer in answers:
        logs = np.log([*answer["probabilities"].values()])
        assert logs[0] - logs.mean() == pytest.approx(answer["explanation"]["total"], abs=1e-2)


def rounded(value: Any) -> Any:
    """The same with numbers of four digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def test_a_model_without_a_recurrent_part(models: dict[str, Path]) -> None:
    [answer] = predict(models["alone"], ["The meow, loud"], explained=True)
    explanation = rounded(answer["explanation"])
    assert explanation["recurrent"] is None
    assert explanation["recurrent_probability"] is None
    assert explanation["total"] == 2.45
    assert not [line for line in lines(answer) if "recurrent" in line]


def test_tokens_and_characters(models: dict[str, Path]) -> None:
    [tokens] = why(models["tokens"], '["the", "meow", "loud", "a b"]')
    assert rounded(tokens)["for"] == CAT["for"]

    # The features are the two letters, the pair and the one at the start, U+2402: N is 2.
    [letters] = why(models["characters"], "ab")
    assert rounded(letters)["for"] == [
        {"ngram": "a", "count": 1, "score": 1.0},
        {"ngram": "ab", "count": 1, "score": 0.5},
    ]
    assert rounded(letters)["against"] == [{"ngram": "b", "count": 1, "score": -0.5}]


def test_the_others_are_summed_up_and_the_label_is_the_one_that_was_given() -> None:
    """Of equally likely labels the first signature may name one that the second does not."""
    answer = {
        "top_labels": np.array([[b"dog", b"cat"]], object),
        "top_probabilities": np.array([[0.25, 0.25]]),
        "ngrams": np.array([[b"one", b"two", b""]], object),
        "counts": np.array([[2, 1, 0]]),
        "scores": np.array([[[-1.0, 2.0], [0.5, -0.25], [0.0, 0.0]]]),
        "others": np.array([[0.125, 0.5]]),
        "prior": np.array([[1.0, 2.0]]),
        "wide_probabilities": np.array([[0.5, 0.25]]),
    }
    cat = {
        "label": "cat",
        "for": [{"ngram": "one", "count": 2, "score": 2.0}],
        "against": [{"ngram": "two", "count": 1, "score": -0.25}],
        "others": 0.5,
        "prior": 2.0,
        "recurrent": None,
        "total": 4.25,
        "wide_probability": 0.25,
        "recurrent_probability": None,
    }
    assert list(explanations(answer, ["cat"])) == [cat]
    [other] = explanations(answer, ["eel"])
    assert (other["label"], other["total"]) == ("dog", 0.625)


# In a terminal.


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", *arguments])
    main()


def test_in_a_terminal_each_row_is_a_paragraph(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--explain", str(models["words"]), "The  meow, loud", "")
    assert (
        capsys.readouterr().out
        == """\
cat  95.1 %
  The meow, loud
  speaks for it
     +2.000  meow
     +0.500  the meow
  speaks against it
     -0.250  the
  besides
     +0.200  before any n-gram
     +0.300  recurrent part
  =  +2.750  log-odds of cat against the average label
  the n-grams alone: 99.6 %; the recurrent part alone: 54.1 %

cat  47.8 %
  (an empty text)
  no n-gram speaks for it
  no n-gram speaks against it
  besides
     +0.200  before any n-gram
     +0.300  recurrent part
  =  +0.500  log-odds of cat against the average label
  the n-grams alone: 40.5 %; the recurrent part alone: 54.1 %

"""
    )


def test_a_terminal_shows_the_first_ngrams_and_sums_up_the_others() -> None:
    score = {"label": "x", "others": 0.5, "prior": 0.0, "recurrent": None, "total": 10.25}
    ngrams = [{"ngram": f"n{number}", "count": 1, "score": 1.0} for number in range(9)]
    ngrams[0] = {"ngram": " the\x1b[2J", "count": 3, "score": 1.75}
    answer = {
        "text": "a" * 150 + "\udcff\n",
        "probabilities": {"x": 1.0},
        "explanation": score | {"for": ngrams, "against": []},
    }
    shown = list(lines(answer))
    assert shown[1] == f"  {'a' * 97}..."
    assert shown[3] == "     +1.750  ' the\\x1b[2J'  (3 times)"
    assert shown[4:11] == [f"     +1.000  n{number}" for number in range(1, 8)]
    assert shown[11:] == [
        "  no n-gram speaks against it",
        "  besides",
        "     +1.500  all other n-grams",
        "     +0.000  before any n-gram",
        "  = +10.250  log-odds of x against the average label",
    ]
    assert list(lines({"tokens": ["a", "b"], "error": "Row 1 has no class."})) == [
        "a b",
        "  Row 1 has no class.",
    ]


def test_as_json_the_same_is_a_field(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--explain", "--json", str(models["words"]), "The meow, loud")
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["text", "label", "probabilities", "explanation"]
    assert list(answer["explanation"])[:2] == ["label", "for"]

    run(monkeypatch, "--json", str(models["words"]), "The meow, loud")
    assert json.loads(capsys.readouterr().out) == {
        name: answer[name] for name in ("text", "label", "probabilities")
    }


def test_a_model_that_cannot_explain_is_one_line(models: dict[str, Path]) -> None:
    with pytest.raises(InputError) as raised:
        next(predict(models["none"], ["one two"], explained=True))
    assert str(raised.value) == (
        f"{models['none']} cannot explain its answers: it has no wide part (trainer.wide);"
        " --explain needs one. Leave --explain out, or name another model with --model."
    )


# Over HTTP.


def test_the_signature_answers_over_http_in_the_form_of_the_document(server: Server) -> None:
    request = {"signature_name": "serving_explain", "instances": ["The meow, loud", "zzz"]}
    first, second = server.answer("/v1/models/explained:predict", request)["predictions"]
    assert first["top_labels"] == ["cat", "dog"]
    assert first["ngrams"] == ["meow", "the meow", "the", "loud"]
    assert first["counts"] == [1, 1, 1, 1]
    assert first["scores"] == [[2, -1], [0.5, -0.25], [-0.25, 0.125], [0, 0.5]]
    assert [*map(rounded, (first["prior"], first["recurrent"]))] == [[0.2, 0.3], [0.3, 0.0]]
    assert (second["ngrams"], second["counts"]) == ([""] * 4, [0] * 4)

    paths = server.get("/openapi.json").json()["paths"]
    asked = paths["/v1/models/explained:predict"]["post"]
    schema = asked["requestBody"]["content"]["application/json"]["schema"]
    names = [form["properties"]["signature_name"]["enum"] for form in schema["anyOf"]]
    assert ["serving_explain"] in names

    # Each form of an answer is one of the document's, that of a text without n-grams, too.
    [operation] = [
        one for one in operations(server.url) if one.path == "/v1/models/explained:predict"
    ]
    columns = {"signature_name": "serving_explain", "inputs": ["zzz"]}
    for body in (request, request | {"instances": ["zzz"]}, columns):
        case = operation.Case(body=body, media_type="application/json")
        response = case.call(base_url=server.url, timeout=60)
        assert response.status_code == 200
        case.validate_response(response, checks=CHECKS[:-1])
