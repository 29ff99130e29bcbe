"""Classes with few or no rows in train."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams, describe
from components.example_gen.split_by_digest import digest_of, split_at
from seqline.data.manifest import read_manifest
from seqline.errors import DataError
from tests.components.example_gen.support import FRACTIONS, make, read_examples, split_of
from tests.support.corpus import corpus_rows, write_jsonl


def train_and_test(folder: Path, more: Sequence[dict[str, str]] = ()) -> dict[str, str]:
    """A source with splits of its own: 60 rows of train, 30 and `more` of test."""
    rows = corpus_rows(90)
    return {
        "train": str(write_jsonl(folder / "train.jsonl", rows[:60])),
        "test": str(write_jsonl(folder / "test.jsonl", [*rows[60:], *more])),
    }


def test_own_splits_are_kept(tmp_path: Path) -> None:
    figures = make(ExampleGenParams(source=train_and_test(tmp_path)), tmp_path / "output")
    train, test = corpus_rows(90)[:60], corpus_rows(90)[60:]
    assert figures["num_rows"]["test"] == {"animals": 10, "fruit": 10, "metals": 10}
    assert read_examples(tmp_path / "output", "test") == [
        (row["text"], row["label"]) for row in test
    ]
    kept = read_examples(tmp_path / "output", "train") + read_examples(tmp_path / "output", "eval")
    assert sorted(kept) == sorted((row["text"], row["label"]) for row in train)


def test_a_label_never_in_train(tmp_path: Path) -> None:
    figures = make(ExampleGenParams(source=train_and_test(tmp_path)), tmp_path / "output")
    unseen = [
        {"text": "a", "label": "new"},
        {"text": "b", "label": "other"},
        {"text": "c", "label": "new"},
    ]
    source = train_and_test(tmp_path, unseen)

    with pytest.raises(DataError) as raised:
        make(ExampleGenParams(source=source, rare_classes="stop"), tmp_path / "rejected")
    assert (
        str(raised.value)
        == "2 of 5 classes have no row in train (example_gen.min_class_rows 1): 'new' (2 rows in"
        f" test, the first at {tmp_path}/test.jsonl:31), 'other' (1 row in test, at"
        f" {tmp_path}/test.jsonl:32). Add rows of them to train, or set example_gen.rare_classes"
        " to 'leave_out' or to 'gather'."
    )

    left_out = make(ExampleGenParams(source=source), tmp_path / "left_out")
    assert left_out["num_rows"] == figures["num_rows"]
    assert left_out["num_read"] == 93
    assert left_out["num_left_out_rows"] == 3
    assert left_out["num_moved_rows"] == 0
    assert describe(left_out).endswith("; 3 classes; 3 rows of 2 rare classes left out")
    assert_left_out(tmp_path, unseen)

    # Gathered they would be a class that train lacks as well.
    gathered = make(ExampleGenParams(source=source, rare_classes="gather"), tmp_path / "gathered")
    assert gathered["num_rows"] == figures["num_rows"]


def assert_left_out(folder: Path, unseen: list[dict[str, str]]) -> None:
    """The rows that were left out are listed, and counted by split and label."""
    listed = [
        json.loads(line)
        for path in (folder / "left_out" / "rare_rows").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert listed == [
        {
            "file": str(folder / "test.jsonl"),
            "line": 31 + place,
            "label": row["label"],
            "split": "test",
            "done": "left out",
        }
        for place, row in enumerate(unseen)
    ]

    [span] = read_manifest(folder / "left_out").spans
    assert span.num_left_out == {"test": {"new": 2, "other": 1}}
    assert span.num_read == 93


def outside_train(number: int, label: str) -> list[dict[str, str]]:
    """Rows of a class whose digests say eval or test."""
    texts = (f"{label} No. {place}" for place in range(10_000))
    chosen = [text for text in texts if split_of(text) != "train"]
    return [{"text": text, "label": label} for text in chosen[:number]]


def row_digest(row: dict[str, str]) -> int:
    return int.from_bytes(blake2b(row["text"].encode(), digest_size=8).digest(), "big")


def test_every_class_has_a_row_in_train(tmp_path: Path) -> None:
    lone, pair, many = outside_train(1, "lone"), outside_train(2, "pair"), outside_train(12, "many")
    nearest = min(many, key=row_digest)

    # The same text once more, and under another label: both follow it.
    rows = [*corpus_rows(60), *lone, *pair, *many, nearest, {**nearest, "label": "fruit"}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    figures = make(ExampleGenParams(source=str(path)), tmp_path / "output")
    moved = [lone[0], min(pair, key=row_digest), nearest, nearest, {**nearest, "label": "fruit"}]
    train = read_examples(tmp_path / "output", "train")
    expected = [
        (row["text"], row["label"])
        for row in rows
        if row in moved or split_of(row["text"]) == "train"
    ]

    assert train == expected
    assert {
        label: count
        for label, count in figures["num_rows"]["train"].items()
        if label in ("lone", "pair", "many")
    } == {
        "lone": 1,
        "pair": 1,
        "many": 2,
    }
    assert figures["num_moved_rows"] == 5
    assert figures["num_left_out_rows"] == 0
    assert figures["num_read"] == 77
    assert describe(figures).endswith("; 5 rows moved to train, which had none of their class")
    assert [(record["label"], record["done"]) for record in figures["rare_classes"]] == [
        ("lone", "kept")
    ]

    everything = [row for split in FRACTIONS for row in read_examples(tmp_path / "output", split)]
    assert sorted(everything) == sorted((row["text"], row["label"]) for row in rows)

    splits = {
        split: {text for text, _ in read_examples(tmp_path / "output", split)}
        for split in FRACTIONS
    }
    assert not splits["train"] & (splits["eval"] | splits["test"])


def test_the_splits_do_not_follow_the_order_or_the_files_of_the_rows(tmp_path: Path) -> None:
    rows = [*corpus_rows(60), *outside_train(2, "pair"), *outside_train(3, "many")]
    write_jsonl(tmp_path / "a.jsonl", rows)
    write_jsonl(tmp_path / "b1.jsonl", rows[::-1][:31])
    write_jsonl(tmp_path / "b2.jsonl", rows[::-1][31:])
    for name in "ab":
        make(ExampleGenParams(source=str(tmp_path / f"{name}*.jsonl")), tmp_path / name)
    for split in FRACTIONS:
        assert sorted(read_examples(tmp_path / "a", split)) == sorted(
            read_examples(tmp_path / "b", split)
        )


def test_a_class_of_the_train_file_keeps_a_row_of_it_in_train(tmp_path: Path) -> None:
    in_eval = next(row for row in outside_train(100, "lone") if split_of(row["text"]) == "eval")
    train = write_jsonl(tmp_path / "train.jsonl", [*corpus_rows(60), in_eval])
    test = write_jsonl(tmp_path / "test.jsonl", [*corpus_rows(90)[60:], *outside_train(3, "lone")])
    params = ExampleGenParams(source={"train": str(train), "test": str(test)}, eval_fraction=0.3)
    assert ingest_split(in_eval["text"], 0.3) == "eval"
    figures = make(params, tmp_path / "output")
    assert (figures["num_rows"]["train"]["lone"], figures["num_rows"]["test"]["lone"]) == (1, 3)


def ingest_split(text: str, eval_fraction: float) -> str:
    fractions = {"train": 1 - eval_fraction, "eval": eval_fraction, "test": 0.0}
    return split_at(digest_of(text.encode()), fractions)


def test_rare_classes_are_left_out_gathered_or_stop_the_run(tmp_path: Path) -> None:
    rare = [
        {"text": f"{label} {number}", "label": label}
        for label, count in (("a", 1), ("b", 2), ("c", 1))
        for number in range(count)
    ]
    path = write_jsonl(tmp_path / "rows.jsonl", [*corpus_rows(60), *rare])

    with pytest.raises(
        DataError,
        match=r"^3 of 6 classes have fewer than 10 rows in train .*'a' \(1 row in .*'b' \(.*'c' \(",
    ):
        make(
            ExampleGenParams(source=str(path), min_class_rows=10, rare_classes="stop"),
            tmp_path / "stop",
        )

    left_out = make(ExampleGenParams(source=str(path), min_class_rows=10), tmp_path / "left_out")
    assert sorted(left_out["num_rows"]["train"]) == ["animals", "fruit", "metals"]
    assert (left_out["num_left_out_rows"], left_out["num_moved_rows"]) == (4, 0)

    gathered = make(
        ExampleGenParams(
            source=str(path), min_class_rows=10, rare_classes="gather", other_class="rest"
        ),
        tmp_path / "gather",
    )
    assert sorted(gathered["num_rows"]["train"]) == ["animals", "fruit", "metals", "rest"]
    assert (
        sum(labels.get("rest", 0) for labels in gathered["num_rows"].values())
        == 4
        == gathered["num_gathered_rows"]
    )
    assert describe(gathered).endswith("; 4 classes; 4 rows of 3 rare classes gathered")

    texts = {
        text
        for split in FRACTIONS
        for text, label in read_examples(tmp_path / "gather", split)
        if label == "rest"
    }
    assert texts == {row["text"] for row in rare}
