"""How labels and texts are written."""

from pathlib import Path

from components.example_validator import ExampleValidatorParams
from tests.support.validated import Rows, Splits, chain, good_rows

SIMILAR = (
    " only in case, spaces, characters that look alike or a .0: {}. Write them alike in the source"
    " if they are one class, or set example_validator.severities = {{similar_labels = "
    '"ignore"}} if they are not'
)


def with_labels(labels: dict[str, list[str]]) -> Splits:
    """The good rows; the rows of each label take turns with its forms."""
    splits: Splits = {}
    number = 0
    for split, rows in good_rows().items():
        changed: Rows = []
        for text, label in rows:
            changed.append((text, labels[label][number // 2 % len(labels[label])]))
            number += 1
        splits[split] = changed
    return splits


def test_labels_that_differ_in_case_are_warned_of_once(tmp_path: Path) -> None:
    # 70 rows of each: 35 of each form.
    rows = with_labels({"animals": ["animals", "Animals"], "fruit": ["1", "1.0"]})
    figures = chain(tmp_path, {1: rows})
    groups = "'1' (35 rows), '1.0' (35 rows); 'Animals' (35 rows), 'animals' (35 rows)"
    assert figures["lines"] == [
        "train split, label: 2 groups of labels differ" + SIMILAR.format(groups)
    ]


def test_labels_that_look_alike_are_shown_by_their_codes(tmp_path: Path) -> None:
    rows = with_labels({"animals": ["coop", "co\u00adop"], "fruit": ["fruit"]})
    figures = chain(tmp_path, {1: rows})
    assert figures["lines"] == [
        "train split, label: 1 group of labels differs"
        + SIMILAR.format("'coop' (35 rows), 'co\\xadop' (35 rows)")
    ]


def test_a_label_of_a_rare_class_is_compared_too(tmp_path: Path) -> None:
    rare = {
        "label": "FRUIT",
        "num_rows": {"test": 3},
        "place": "b.csv:2",
        "done": "left out",
        "is_unseen": True,
    }
    figures = chain(
        tmp_path, {1: good_rows()}, rare_classes=[rare], severities={"unseen_class": "ignore"}
    )
    assert figures["lines"] == [
        "train split, label: 1 group of labels differs"
        + SIMILAR.format("'FRUIT' (3 rows), 'fruit' (70 rows)")
    ]


def test_the_severity_says_that_similar_labels_are_meant(tmp_path: Path) -> None:
    rows = with_labels({"animals": ["a", "A"], "fruit": ["f"]})
    figures = chain(tmp_path, {1: rows}, severities={"similar_labels": "ignore"})
    assert figures["lines"] == []


def test_a_curated_domain_is_normalised_as_labels_are(
    tmp_path: Path, schemas: dict[str, Path]
) -> None:
    curated = tmp_path / "schema.pbtxt"
    text = schemas["text"].read_text().replace('"fruit"', '" fru\u0069\u0308t"')
    curated.write_text(text, encoding="utf-8")
    rows = with_labels({"animals": ["animals"], "fruit": ["fru\u00eft"]})
    assert chain(tmp_path, {1: rows}, curated=curated)["kinds"] == []


def thai(split: str, number: int) -> str:
    """A sentence without spaces, of which no two are the same."""
    letters = "\u0e01\u0e02\u0e04\u0e07\u0e08\u0e09\u0e0a\u0e0b\u0e0d\u0e15"
    return "\u0e20\u0e32\u0e29\u0e32" + "".join(letters[int(digit)] for digit in f"{number:05d}")


def with_texts(share: int, separator: str = "") -> Splits:
    """The good rows, of which one in `share` is Thai; with a separator between its letters."""
    number = 0
    splits: Splits = {}
    for split, rows in good_rows().items():
        splits[split] = []
        for text, label in rows:
            if number % share == 0:
                text = separator.join(thai(split, number))
            splits[split].append((text, label))
            number += 1
    return splits


def test_words_of_a_script_without_spaces_are_warned_of(tmp_path: Path) -> None:
    figures = chain(tmp_path / "word", {1: with_texts(1)}, tokens="word")
    assert figures["lines"] == [
        "train split, text: 100.0% of the letters are of a script without spaces between words"
        " (thai), and 100.0% of what stands between spaces there occurs once: a word token would"
        ' be a whole sentence. Set transform.tokens = "char"'
    ]
    assert chain(tmp_path / "char", {1: with_texts(1)}, tokens="char")["kinds"] == []


def test_a_mixed_set_is_judged_by_its_letters(tmp_path: Path) -> None:
    figures = chain(tmp_path / "half", {1: with_texts(2)}, tokens="word")
    assert "unspaced_script" in figures["kinds"]
    few = chain(
        tmp_path / "few", {1: with_texts(2)}, tokens="word", min_unspaced_share=0.5,
        severities={"token_oov": "ignore"},
    )  # fmt: skip
    assert "unspaced_script" not in few["kinds"]


def test_texts_whose_words_are_separated_have_words(tmp_path: Path) -> None:
    figures = chain(tmp_path, {1: with_texts(1, " ")}, tokens="word")
    assert "unspaced_script" not in figures["kinds"]


def test_the_tokens_are_those_of_the_transform() -> None:
    assert ExampleValidatorParams().with_defaults_from("char").tokens == "char"
    assert ExampleValidatorParams(tokens="word").with_defaults_from("char").tokens == "word"
