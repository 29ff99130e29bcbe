import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams, describe
from seqline.data.manifest import read_manifest
from seqline.errors import DataError
from tests.components.example_gen.support import FRACTIONS, make, read_examples, split_of
from tests.support.corpus import corpus_rows, write_jsonl


def test_every_row_is_in_one_split(corpus: Path, examples: Path, figures: dict[str, dict]) -> None:
    rows = [(row["text"], row["label"]) for row in corpus_rows()]
    by_split = {split: read_examples(examples, split) for split in FRACTIONS}
    for split, read_back in by_split.items():
        assert read_back == [row for row in rows if split_of(row[0]) == split]
        counts = dict(sorted(Counter(label for _, label in read_back).items()))
        assert figures["example_gen"]["num_rows"][split] == counts
    assert sum(map(len, by_split.values())) == 240
    assert (figures["example_gen"]["num_read"], figures["example_gen"]["num_bad_rows"]) == (240, 0)
    assert figures["example_gen"]["ignored_splits"] == []
    assert not (examples / "bad_rows").exists()


def digests(output: Path) -> dict[str, str]:
    return {
        str(path.relative_to(output)): sha256(path.read_bytes()).hexdigest()
        for path in output.rglob("*")
        if path.is_file()
    }


def test_two_runs_write_the_same_bytes(examples: Path, corpus: Path, tmp_path: Path) -> None:
    make(ExampleGenParams(source=str(corpus)), tmp_path / "again")
    assert digests(tmp_path / "again") == digests(examples)
    assert (
        len(digests(examples)) == 5
    )  # a shard of each split, examples.json, and where the rows of test came from


@pytest.fixture
def with_bad_rows(tmp_path: Path) -> Path:
    """Two files with 96 usable rows and 4 bad ones."""
    rows = corpus_rows(96)
    write_jsonl(tmp_path / "1.jsonl", [{"text": "", "label": "fruit"}, *rows[:48]])
    write_jsonl(
        tmp_path / "2.jsonl",
        [*rows[48:], {"label": "fruit"}, {"text": "a"}, {"text": "a", "label": ""}],
    )
    return tmp_path


def test_bad_rows_within_the_limit_are_skipped_and_listed(with_bad_rows: Path) -> None:
    output = with_bad_rows / "output"
    figures = make(
        ExampleGenParams(source=str(with_bad_rows / "*.jsonl"), max_bad_fraction=0.04), output
    )
    used = sum(count for labels in figures["num_rows"].values() for count in labels.values())
    assert (figures["num_read"], figures["num_bad_rows"], used) == (100, 4, 96)
    assert describe(figures).startswith("96 rows: ")
    assert describe(figures).endswith("; 3 classes; 4 bad rows skipped")

    listed = {
        path.name: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted((output / "bad_rows").iterdir())
    }
    first, second = str(with_bad_rows / "1.jsonl"), str(with_bad_rows / "2.jsonl")

    assert listed == {
        "00000-00000.jsonl": [
            {"file": first, "line": 1, "reason": "the text is empty", "problem": "empty text"},
            {"file": second, "line": 49, "reason": "no field 'text'", "problem": "missing text"},
            {"file": second, "line": 50, "reason": "no field 'label'", "problem": "missing label"},
            {"file": second, "line": 51, "reason": "the label is empty", "problem": "empty label"},
        ],
    }

    [span] = read_manifest(output).spans
    assert span.num_bad == {
        "empty label": 1,
        "empty text": 1,
        "missing label": 1,
        "missing text": 1,
    }
    assert (span.number, span.num_read, span.num_rows) == (0, 100, figures["num_rows"])


def test_bad_rows_over_the_limit_fail_and_are_quoted(with_bad_rows: Path) -> None:
    with pytest.raises(DataError) as raised:
        make(
            ExampleGenParams(source=str(with_bad_rows / "*.jsonl"), max_bad_fraction=0.03),
            with_bad_rows / "output",
        )

    message = str(raised.value)
    assert message.startswith(
        "4 of 100 rows (4.00%) cannot be used; example_gen.max_bad_fraction 0.03 allows 3: "
    )
    assert (
        f"{with_bad_rows}/1.jsonl:1: the text is empty; {with_bad_rows}/2.jsonl:49: no field 'text'"
        in message
    )


def test_one_class(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{**row, "label": "x"} for row in corpus_rows(60)])
    with pytest.raises(
        DataError, match="All 60 rows have the label 'x'; a classifier needs two classes"
    ):
        make(ExampleGenParams(source=str(path)), tmp_path / "output")


def test_labels_that_are_no_labels(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [{"text": f"text {number}", "label": f"id {number}"} for number in range(40)],
    )
    with pytest.raises(
        DataError,
        match=(
            r"^The eval split has no row .* 40 of 40 labels occur once: is example_gen.label the"
            r" right column\?"
        ),
    ):
        make(ExampleGenParams(source=str(path)), tmp_path / "output")


def test_empty_split(tmp_path: Path) -> None:
    rows = [row for row in corpus_rows() if split_of(row["text"]) != "eval"]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(
        DataError,
        match=(
            rf"The eval split has no row \({len(rows)} rows were read\). .* raise"
            r" example_gen.eval_fraction"
        ),
    ):
        make(ExampleGenParams(source=str(path)), tmp_path / "output")


def test_an_encoding_that_is_wrong_is_named(tmp_path: Path) -> None:
    rows = "".join(f"caf\u00e9 {number},{'xy'[number % 2]}\n" for number in range(20))
    (tmp_path / "a.csv").write_bytes(f"text,label\n{rows}".encode("cp1252"))
    with pytest.raises(DataError) as error:
        make(ExampleGenParams(source=str(tmp_path / "a.csv")), tmp_path / "output")
    assert str(error.value).endswith(
        " Most of them are not utf-8: set example_gen.encoding to the files' own, such"
        " as 'cp1252' (Windows), 'gb18030' (Chinese) or 'shift_jis' (Japanese)."
    )
