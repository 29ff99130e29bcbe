"""Tokens by script: characters for texts whose words have no spaces between them."""

from pathlib import Path

import numpy as np
import pytest

from components.example_gen import ExampleGenParams
from components.transform import TRANSFORM, TransformParams, by_script
from components.transform.by_script import Letters
from seqline.data.features import EVAL, TEST, TRAIN
from seqline.data.span_cache import SpanCache
from seqline.errors import UserError
from tests.support.corpus import write_examples
from tests.support.transformed import Rows, lines, transform

CHINESE = "这部电影非常好看我很喜欢"


def letters_of(rows: list[list[str]]) -> Letters:
    """The letters of rows of words."""
    words = sorted({word for row in rows for word in row})
    indices = np.array([words.index(word) for row in rows for word in row], np.int64)
    lengths = np.array([len(row) for row in rows], np.int32)
    return by_script.count([word.encode() for word in words], indices, lengths)


def test_letters_and_spaces_are_counted_by_hand() -> None:
    rows = [["我们", "爱", "ok", "!"], ["电影", ",", "好"], [], ["好"], ["e\u0301é", "12"]]
    # Marks count; digits and punctuation do not. Only 我们 and 爱 have a space between them.
    assert letters_of(rows) == Letters(12, 7, 1, {"Han": 7})
    assert letters_of([["good", "film"]]) == Letters(8)


@pytest.mark.parametrize(
    ("rows", "tokens", "language"),
    [
        ([[CHINESE], [CHINESE]], "char", "Chinese"),  # also where each row is there twice
        # Spaces were put between them.
        ([["这", "部", "电影", "非常", "好看"]], "word", ""),
        ([["映画はとても面白かった"]], "char", "Japanese"),
        ([["ハリー"], ["トム"]], "char", "Japanese"),
        ([["หนังเรื่องนี้สนุกมาก"]], "char", "Thai"),
        ([["หนัง", "เรื่อง", "นี้", "สนุก"]], "word", ""),
        ([["ຮູບເງົາເລື່ອງນີ້ດີຫຼາຍ"]], "char", "Lao"),
        ([["រឿងនេះល្អណាស់"]], "char", "Khmer"),
        ([["ဒီရုပ်ရှင်ကောင်းတယ်"]], "char", "Burmese"),
        ([["영화가", "정말", "재미있다"]], "word", ""),  # Korean has spaces
        ([["good", "film"], [CHINESE[:8]]], "word", ""),  # half of the letters is not most
        ([["good", "film"], [CHINESE[:9]]], "char", "Chinese"),
        ([["12", "!"]], "word", ""),
        ([[]], "word", ""),
    ],
)
def test_most_letters_decide(rows: list[list[str]], tokens: str, language: str) -> None:
    letters = letters_of(rows)
    assert letters.tokens() == tokens
    if tokens == "char":
        assert letters.language() == language


def week(text: str, times: int = 1) -> Rows:
    return {TRAIN: [(text, "a"), ("again", "b")] * times, EVAL: [(text, "a")], TEST: [(text, "b")]}


def test_a_window_decides_over_the_sum_of_its_spans(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    write_examples(tmp_path / "first", week(CHINESE), span=0, key="week 0")
    for root, number in (("both", 0), ("both", 1), ("second", 1)):
        rows = week(CHINESE) if number == 0 else week("a long film", times=9)
        write_examples(tmp_path / root, rows, span=number, key=f"week {number}")

    first = transform(tmp_path / "first", tmp_path / "of_first", span_cache=span_cache)
    assert (first["tokens"], first["language"]) == ("char", "Chinese")
    assert TRANSFORM.describe(first).startswith(
        "texts are Chinese: tokens are characters (transform.tokens); vocabulary of "
    )
    assert "电" in lines(tmp_path / "of_first" / "vocabularies" / "tokens")

    # Together most letters are Latin: both spans have words. Week 0 had its words counted before.
    both = transform(tmp_path / "both", tmp_path / "of_both", span_cache=span_cache)
    assert (both["tokens"], "language" in both, both["num_spans_analyzed"]) == ("word", False, 1)
    assert CHINESE in lines(tmp_path / "of_both" / "vocabularies" / "tokens")

    # Stated ones are used as they are, with the parts that there are.
    stated = {"tokens": "char", "span_cache": span_cache}
    assert transform(tmp_path / "first", tmp_path / "c", **stated)["num_spans_analyzed"] == 0
    stated = {"tokens": "word", "span_cache": span_cache}
    assert transform(tmp_path / "both", tmp_path / "w", **stated)["num_spans_analyzed"] == 0
    same = [tmp_path / name / "vocabularies" / "tokens" for name in ("of_both", "w")]
    assert same[0].read_bytes() == same[1].read_bytes()


def test_damaged_letters_are_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / by_script.FOLDER).mkdir()
    by_script.write(str(tmp_path), "shard", Letters(5, 2, 1, {"Han": 2}))
    assert by_script.of_window([tmp_path, tmp_path]) == Letters(10, 4, 2, {"Han": 4})

    (tmp_path / by_script.FOLDER / "shard.json").write_text('{"num": -1}')
    with pytest.raises(UserError, match=r"shard\.json.*the next run counts its span again"):
        by_script.of_window([tmp_path])


def test_a_plan_says_what_is_known() -> None:
    assert TRANSFORM.from_data
    params = TransformParams(max_length=9)
    texts, numbers = (
        {"examples": ExampleGenParams(source="a.jsonl", content=content)}
        for content in ("text", "sequence")
    )
    before = TRANSFORM.from_data(params, texts, None)
    assert before == {"tokens": "by script: words, or characters where words have no spaces"}
    after = TRANSFORM.from_data(params, texts, {"tokens": "char", "language": "Thai"})
    assert after == {"tokens": "char, as the texts are Thai"}
    after = TRANSFORM.from_data(params, texts, {"tokens": "word"})
    assert after == {"tokens": "word, as the texts are of a script with spaces"}
    assert TRANSFORM.from_data(params, numbers, None) == {}
