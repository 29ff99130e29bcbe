"""Labels from the source to the Examples."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.example_gen import ExampleGenParams, describe
from components.example_gen.row_counts import MAX_FORMS, RowCounts
from seqline.data.manifest import read_manifest
from tests.components.example_gen.support import make, read_all, read_examples, write
from tests.support.corpus import corpus_rows, write_jsonl

# The corpus has 40 rows of each class; these forms take turns with `animals` and `fruit`.
FORMS = {
    "animals": ["animals", " animals", "animals\u00a0", "animals"],
    "fruit": ["fru\u00eft", "frui\u0308t"],
    "metals": ["metals"],
}


def test_forms_of_one_label_are_one_class(tmp_path: Path) -> None:
    rows = corpus_rows(120)
    seen: Counter[str] = Counter()
    for row in rows:
        forms = FORMS[row["label"]]
        seen[row["label"]] += 1
        row["label"] = forms[seen[row["label"]] % len(forms)]

    source = str(write_jsonl(tmp_path / "a.jsonl", rows))
    figures = make(ExampleGenParams(source=source), tmp_path / "output")

    num_rows: Counter[str] = Counter()
    for labels in figures["num_rows"].values():
        num_rows.update(labels)
    assert num_rows == {"animals": 40, "fru\u00eft": 40, "metals": 40}

    written = {" animals": 10, "animals\u00a0": 10, "frui\u0308t": 20}
    assert figures["num_normalized_labels"] == 40
    assert figures["labels_as_written"] == written
    assert "; 3 classes; 40 labels normalised" in describe(figures)
    assert figures["warnings"] == [
        "40 of 120 rows have labels with white space at an end or in another Unicode form than NFC;"
        " they count as the normal form: ' animals' as 'animals' (10), 'frui\\u0308t' as"
        " 'fru\\xeft' (20), 'animals\\xa0' as 'animals' (10)."
    ]

    (span,) = read_manifest(tmp_path / "output").spans
    assert (span.num_normalized, span.written) == (40, written)
    labels = {
        label for split in span.num_rows for _, label in read_examples(tmp_path / "output", split)
    }
    assert labels == {"animals", "fru\u00eft", "metals"}


def test_the_forms_that_are_counted_are_bounded() -> None:
    counts, more = RowCounts(), RowCounts()
    for number in range(MAX_FORMS):
        counts.note_written(f"{number} ")
    for form in ("0 ", "other ", "other "):
        more.note_written(form)

    counts.merge(RowCounts(**json.loads(json.dumps(asdict(more)))))
    assert counts.num_normalized == MAX_FORMS + 3
    assert counts.written == {"0 ": 2} | {f"{number} ": 1 for number in range(1, MAX_FORMS)}


def test_other_class_is_a_label() -> None:
    params = ExampleGenParams(source="a.csv", other_class=" cafe\u0301 ")
    assert params.other_class == "caf\u00e9"
    assert (
        ExampleGenParams(source="a.csv", other_class="\u2764\ufe0f").other_class == "\u2764\ufe0f"
    )

    for name in (" ", "\u200b", "a\tb"):
        with pytest.raises(ValidationError, match="it has to show something"):
            ExampleGenParams(source="a.csv", other_class=name)


def test_lines_within_quotes_that_look_like_rows_are_counted(tmp_path: Path) -> None:
    """A quote opens in line 3 and closes in line 6: three of the 90 rows are gone."""
    rows = corpus_rows(90)
    lines = [f"{row['text'].replace(',', ' ')},{row['label']}" for row in rows]
    lines[1] = '"' + lines[1]
    lines[4] = lines[4].replace(",", '",')
    # Prose of several lines, each with as many commas as a row.
    lines.append('"Good, bad.\nWell, animals?\nSo, so.",fruit')
    source = tmp_path / "a.csv"
    source.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")

    make(ExampleGenParams(source=str(source)), tmp_path / "output")
    (span,) = read_manifest(tmp_path / "output").spans
    assert span.num_read == 90 - 3 + 1
    assert (span.num_swallowed, span.swallowing) == (3, [f"{source}:3"])


@pytest.mark.parametrize(
    ("name", "content", "suffix"),
    [("{}", b"a", "txt"), ("label={}", b"text\na\n", "csv")],
    ids=["folder", "partition"],
)
def test_names_of_folders_are_normalised_too(
    tmp_path: Path, name: str, content: bytes, suffix: str
) -> None:
    """macOS writes names of folders decomposed."""
    for label in ("cafe\u0301", "tea"):
        write(tmp_path / name.format(label) / f"1.{suffix}", content)

    source = tmp_path if suffix == "txt" else tmp_path / "*" / "*.csv"
    rows = read_all(source)
    assert sorted((row.label.decode(), row.label_as_written) for row in rows) == [
        ("caf\u00e9", "cafe\u0301"),
        ("tea", None),
    ]
