"""A column that names the split of each row."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.example_gen import ExampleGenParams, describe, run
from components.example_gen.split_by_digest import digest_of, split_at
from pipeline.store.layout import artifact_digest
from seqline.data.manifest import read_manifest
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError
from tests.components.example_gen.support import make, read_examples
from tests.support.corpus import corpus_rows, write_jsonl

TRAIN_AND_EVAL = {"train": 0.9, "eval": 0.1, "test": 0.0}
# Names of three splits as data sets write them.
NAMES = ["train", "Train ", "validation", "dev", " TEST", "val"]
SPLITS = ["train", "train", "eval", "eval", "test", "eval"]


def in_folds(names: list[str], num_rows: int = 90) -> list[dict[str, str]]:
    """Rows whose folds are these names, in turn for each of the three classes."""
    rows = corpus_rows(num_rows)
    return [{**row, "fold": names[place // 3 % len(names)]} for place, row in enumerate(rows)]


def params_of(path: Path, rows: list[dict[str, str]], **fields: Any) -> ExampleGenParams:
    return ExampleGenParams(source=str(write_jsonl(path, rows)), split="fold", **fields)


def texts(output: Path, split: str) -> list[str]:
    return [text for text, _ in read_examples(output, split)]


def test_rows_are_in_the_splits_that_they_name(tmp_path: Path) -> None:
    rows = in_folds(NAMES)
    # A content that two splits have stays in both.
    rows.append({**rows[0], "fold": " TEST"})
    figures = make(params_of(tmp_path / "a.jsonl", rows), tmp_path / "output")

    split_of_name = dict(zip(NAMES, SPLITS, strict=True))
    for split in ("train", "eval", "test"):
        expected = [row["text"] for row in rows if split_of_name[row["fold"]] == split]
        assert texts(tmp_path / "output", split) == expected
    assert figures["num_read"] == 91
    assert figures["cut_splits"] == []
    assert describe(figures) == "91 rows: 30 train, 45 eval, 16 test; 3 classes"


def test_a_split_that_the_column_lacks_is_taken_from_train(tmp_path: Path) -> None:
    rows = in_folds(["train", "train", "test"])
    figures = make(params_of(tmp_path / "a.jsonl", rows), tmp_path / "output")

    named_train = [row["text"] for row in rows if row["fold"] == "train"]
    expected: dict[str, list[str]] = {"train": [], "eval": [], "test": []}
    for text in named_train:
        expected[split_at(digest_of(text.encode()), TRAIN_AND_EVAL)].append(text)
    assert texts(tmp_path / "output", "train") == expected["train"]
    assert texts(tmp_path / "output", "eval") == expected["eval"]
    assert texts(tmp_path / "output", "test") == [
        row["text"] for row in rows if row["fold"] == "test"
    ]
    assert figures["cut_splits"] == ["eval"]
    assert describe(figures).endswith("; 3 classes; eval taken from train")

    # The same rows as two files are the same in every split.
    source = {
        name: str(
            write_jsonl(tmp_path / f"{name}.jsonl", [row for row in rows if row["fold"] == name])
        )
        for name in ("train", "test")
    }
    make(ExampleGenParams(source=source), tmp_path / "files")
    for split in ("train", "eval", "test"):
        assert texts(tmp_path / "files", split) == texts(tmp_path / "output", split)


def test_a_column_that_says_train_alone(tmp_path: Path) -> None:
    rows = corpus_rows(90)
    figures = make(
        params_of(tmp_path / "a.jsonl", [{**row, "fold": "train"} for row in rows]),
        tmp_path / "output",
    )
    make(ExampleGenParams(source=str(tmp_path / "a.jsonl")), tmp_path / "digest")
    assert figures["cut_splits"] == ["eval", "test"]
    for split in ("train", "eval", "test"):
        assert texts(tmp_path / "output", split) == texts(tmp_path / "digest", split)


def test_the_window_decides_which_splits_are_missing(tmp_path: Path) -> None:
    """A span alone lacks splits that another span of the window has."""
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "1.jsonl", in_folds(["train", "test"]))
    cache = SpanCache(tmp_path / "span_cache")
    source = f"{tmp_path}/data/{{SPAN}}.jsonl"

    def ingest(name: str, **fields: Any) -> tuple[Path, dict[str, Any]]:
        output = tmp_path / name
        output.mkdir()
        params = ExampleGenParams(source=source, split="fold", **fields)
        return output, run(params=params, output=output, span_cache=cache)

    one, figures = ingest("one")
    assert figures["cut_splits"] == ["eval"]
    [span] = read_manifest(one).spans
    assert span.key == span.key_as_split != span.key_as_read

    # The second span brings eval: the first one is taken as it was read at first.
    later = [{**row, "text": f"later {row['text']}"} for row in in_folds(["train", "eval"])]
    write_jsonl(tmp_path / "data" / "2.jsonl", later)
    two, figures = ingest("two")
    assert figures["cut_splits"] == []
    assert figures["num_spans_read"] == 1
    assert [span.key for span in read_manifest(two).spans] == [
        span.key_as_read for span in read_manifest(two).spans
    ]
    assert len(texts(two, "test")) == 45
    assert len(texts(two, "eval")) == 45

    # The first window again needs nothing.
    again, figures = ingest("again", span=1)
    assert figures["num_spans_read"] == 0
    assert artifact_digest(again) == artifact_digest(one)


def test_rare_classes_of_official_splits(tmp_path: Path) -> None:
    rows = in_folds(["train", "train", "test"])
    rows += [{"text": f"new {place}", "label": "new", "fold": "test"} for place in range(2)]
    # The only row of a class, whose digest says eval, goes back to train.
    text = next(
        text
        for text in (f"lone {place}" for place in range(1000))
        if split_at(digest_of(text.encode()), TRAIN_AND_EVAL) == "eval"
    )
    rows.append({"text": text, "label": "lone", "fold": "train"})
    figures = make(params_of(tmp_path / "a.jsonl", rows), tmp_path / "output")

    assert figures["cut_splits"] == ["eval"]
    assert figures["num_left_out_rows"] == 2
    assert figures["num_moved_rows"] == 1
    assert figures["num_rows"]["train"]["lone"] == 1
    assert figures["num_rows"]["test"] == {"animals": 10, "fruit": 10, "metals": 10}
    assert {record["label"]: record["is_unseen"] for record in figures["rare_classes"]} == {
        "lone": False,
        "new": True,
    }
    [span] = read_manifest(tmp_path / "output").spans
    assert len({span.key, span.key_as_split, span.key_as_read}) == 3


def test_names_of_no_split(tmp_path: Path) -> None:
    rows = [*in_folds(["train", "test", "eval"]), *in_folds(["unsup"], 3)]
    rows[-1]["fold"] = "tset"
    with pytest.raises(DataError) as raised:
        make(params_of(tmp_path / "a.jsonl", rows), tmp_path / "rejected")
    names = "train, validation, valid, dev, val, eval, test"
    place = f"{tmp_path}/a.jsonl"
    assert str(raised.value) == (
        "3 of 93 rows (3.23%) cannot be used; example_gen.max_bad_fraction 0.01 allows 0:"
        f" {place}:91: the split is 'unsup', not one of {names};"
        f" {place}:92: the split is 'unsup', not one of {names};"
        f" {place}:93: the split is 'tset', not one of {names}."
        " Correct them, or set example_gen.max_bad_fraction to 0.04 to skip and list them."
        " example_gen.split 'fold' has to name the split of each row. Where it numbers folds, add a"
        " column that says 'test' for one fold, 'eval' for another and 'train' for the rest, or"
        " remove example_gen.split to split rows by their content."
    )

    skipped = make(
        params_of(tmp_path / "a.jsonl", rows, max_bad_fraction=0.04), tmp_path / "output"
    )
    assert skipped["num_bad_rows"] == 3
    assert sum(sum(labels.values()) for labels in skipped["num_rows"].values()) == 90


def test_folds_with_numbers(tmp_path: Path) -> None:
    rows = in_folds([str(number) for number in range(1, 11)])
    with pytest.raises(DataError) as raised:
        make(params_of(tmp_path / "a.jsonl", rows), tmp_path / "rejected")
    assert "the split is '1', not one of train, validation" in str(raised.value)
    assert "Where it numbers folds, add a column that says 'test' for one fold" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_column_without_train(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        make(params_of(tmp_path / "a.jsonl", in_folds(["eval", "test"])), tmp_path / "rejected")
    assert str(raised.value) == (
        "example_gen.split 'fold' names no row of train (45 of eval and 45 of test). Write 'train'"
        " into the rows to train on, or name another column."
    )


def test_folders_of_a_path_name_the_split(tmp_path: Path) -> None:
    for name in ("train", "test", "dev"):
        folder = tmp_path / "data" / f"split={name}"
        folder.mkdir(parents=True)
        rows = [{**row, "text": f"{name} {row['text']}"} for row in corpus_rows(30)]
        write_jsonl(folder / "part-0.jsonl", rows)
    make(ExampleGenParams(source=f"{tmp_path}/data/*/*.jsonl", split="split"), tmp_path / "output")
    for split, name in (("train", "train"), ("eval", "dev"), ("test", "test")):
        assert texts(tmp_path / "output", split) == [
            f"{name} {row['text']}" for row in corpus_rows(30)
        ]


def test_a_source_with_files_for_each_split() -> None:
    with pytest.raises(ValidationError) as raised:
        ExampleGenParams(source={"train": "a.csv", "test": "b.csv"}, split="fold")
    assert (
        "split 'fold' names a column with the split of each row, and source has files for each"
        " split (train, test); remove split, or name all files in one source" in str(raised.value)
    )
