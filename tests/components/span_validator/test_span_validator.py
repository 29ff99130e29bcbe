"""A real model of the corpus is asked about new spans, good and bad ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.span_validator import SPAN_VALIDATOR, SpanValidatorParams, describe, gate, run
from components.span_validator.asking import Answers
from components.span_validator.judge import claims, figures_of
from seqline.data.features import SAVED_MODEL
from seqline.errors import DataError, UserError
from tests.support.corpus import TOPICS, corpus_rows, write_examples

SWAPPED = dict(zip(sorted(TOPICS), [*sorted(TOPICS)[1:], sorted(TOPICS)[0]], strict=True))
Rows = Sequence[tuple[str, str]]


def rows(first: int, last: int) -> list[tuple[str, str]]:
    return [(row["text"], row["label"]) for row in corpus_rows(last)[first:]]


def in_splits(chosen: Rows) -> dict[str, Rows]:
    return {
        "train": chosen[: len(chosen) // 2],
        "eval": chosen[len(chosen) // 2 :: 2],
        "test": chosen[len(chosen) // 2 + 1 :: 2],
    }


@pytest.fixture
def judge(saved_model: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The verdict on spans 1, 2, ... after span 0, which is good."""

    def judge(*spans: Rows, **params: Any) -> dict[str, Any]:
        examples = write_examples(tmp_path / "examples", in_splits(rows(0, 120)))
        for number, span in enumerate(spans, start=1):
            write_examples(examples, in_splits(span), span=number)
        new = {
            "served_model": str(saved_model / SAVED_MODEL),
            "served": "digest",
            "new": range(1, len(spans) + 1),
            **params,
        }
        (tmp_path / "output").mkdir()

        return run(
            examples=examples,
            params=SpanValidatorParams(**{**new, "new": tuple(new["new"])}),
            output=tmp_path / "output",
        )

    return judge


def passed(verdict: dict[str, Any]) -> dict[str, bool | None]:
    return {judged["name"]: judged["passed"] for judged in verdict["gates"]}


def test_a_span_like_the_others_passes_every_gate(
    judge: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    verdict = judge(rows(120, 180), rows(180, 240))
    assert passed(verdict) == {"classes": True, "vocabulary_drift": True, "label_noise": True}
    assert verdict["refused"] == {}
    assert list(verdict["spans"]) == ["1", "2"]
    assert verdict["known"]["num_rows"] == 60
    assert verdict["spans"]["1"]["accuracy"] > 0.9
    assert describe(verdict).startswith("span 1: 60 rows, ")
    gate(tmp_path / "output", SpanValidatorParams())


def test_exchanged_labels_are_seen_before_anything_learns_from_them(
    judge: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    verdict = judge(rows(120, 180), [(text, SWAPPED[label]) for text, label in rows(180, 240)])
    assert passed(verdict) == {"classes": True, "vocabulary_drift": True, "label_noise": False}
    assert list(verdict["refused"]) == ["2"]
    assert verdict["spans"]["2"]["noise"] > 0.4 > 0.1 > verdict["spans"]["1"]["noise"]
    with pytest.raises(
        DataError,
        match=r"of the labels of span 2 are contradicted .* let it in: retrain\.accept = \[2\]\.$",
    ):
        gate(tmp_path / "output", SpanValidatorParams())


def test_a_span_in_other_words_is_drift_and_no_noise(judge: Callable[..., dict[str, Any]]) -> None:
    other = [(f"Das {text[::-1].replace(' ', 'x ')} und", label) for text, label in rows(120, 180)]
    verdict = judge(other)
    assert passed(verdict) == {"classes": True, "vocabulary_drift": False, "label_noise": True}
    assert "1" in verdict["refused"]


def test_a_class_that_came_and_one_that_is_gone(
    judge: Callable[..., dict[str, Any]], saved_model: Path, tmp_path: Path
) -> None:
    span = [*rows(120, 160), *(("The oak and elm", "trees") for _ in range(4))]
    verdict = judge(span)
    assert passed(verdict)["classes"] is False
    assert list(verdict["refused"]) == ["1"]

    [reason] = [judged["reason"] for judged in verdict["gates"] if judged["name"] == "classes"]
    assert (
        reason
        == "the class 'trees' is new (4 rows of span 1) and the served model never heard of it."
        " Correct the labels, or allow it: span_validator.classes = ['trees']"
    )
    known = {"served_model": str(saved_model / SAVED_MODEL), "new": (1,), "classes": ("trees",)}
    (tmp_path / "allowed").mkdir()
    allowed = run(
        examples=tmp_path / "examples",
        params=SpanValidatorParams(**known),
        output=tmp_path / "allowed",
    )

    assert passed(allowed)["classes"] is True
    two = write_examples(
        tmp_path / "two", in_splits([row for row in rows(0, 90) if row[1] != "fruit"])
    )
    (tmp_path / "gone").mkdir()
    gone = run(
        examples=two, params=SpanValidatorParams(**{**known, "new": (0,)}), output=tmp_path / "gone"
    )

    # Without earlier rows there is nothing to compare with.
    assert passed(gone) == {"classes": False, "vocabulary_drift": None, "label_noise": None}
    assert gone["refused"] == {}


def test_only_some_rows_are_asked_evenly_spread(judge: Callable[..., dict[str, Any]]) -> None:
    verdict = judge(rows(120, 220), num_rows=20)
    assert (verdict["known"]["num_rows"], verdict["spans"]["1"]["num_rows"]) == (20, 20)


def test_a_model_that_reads_something_else_is_named(
    judge: Callable[..., dict[str, Any]], saved_model: Path, tmp_path: Path
) -> None:
    examples = write_examples(tmp_path / "tokens", {"train": [(["a"], "fruit")]}, "tokens")
    (tmp_path / "output").mkdir()
    params = SpanValidatorParams(served_model=str(saved_model / SAVED_MODEL), new=(0,))
    with pytest.raises(UserError, match="cannot read these Examples"):
        run(examples=examples, params=params, output=tmp_path / "output")


def test_it_is_on_only_where_somebody_can_be_asked() -> None:
    assert not SpanValidatorParams().is_on
    assert not SpanValidatorParams(served_model="served/1").is_on
    assert SpanValidatorParams(served_model="served/1", new=(3,)).is_on
    assert "served_model" not in SpanValidatorParams().key_fields()
    assert SPAN_VALIDATOR.gate is gate


def answers(labels: str, probabilities: list[list[float]]) -> Answers:
    return Answers(list(labels), [np.array(probabilities, np.float32)])


def test_a_claim_is_the_mean_probability_of_a_class_or_of_all_where_it_has_few_rows() -> None:
    held_out = answers("a" * 10 + "b" * 2, [[0.8, 0.2]] * 5 + [[0.6, 0.4]] * 5 + [[0.5, 0.5]] * 2)
    assert claims(held_out, ["a", "b"]).tolist() == pytest.approx([0.7, (0.7 * 10 + 0.5 * 2) / 12])


def test_a_label_is_contradicted_by_the_strongest_claim_only() -> None:
    thresholds = np.array([0.7, 0.5, 0.6])
    table = [[0.9, 0.1, 0.0], [0.4, 0.45, 0.15], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7], [0.9, 0.1, 0.0]]
    # Right; unclaimed, though another class is likelier; b claims a row of c; right; a label that
    # the model does not know.
    measured = figures_of(answers("aacc?", table), ["a", "b", "c"], thresholds)
    assert measured == {"num_rows": 5, "oov": None, "accuracy": 0.5, "noise": 0.25}
