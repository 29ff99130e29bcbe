"""Files of a source that are not read: counted, named, and without influence on what is."""

import gzip
import json
import os
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams, check, describe, external_digest, sources
from components.example_gen.splits import find, read_again
from seqline.errors import DataError
from tests.components.example_gen.support import make, read_all, window, write
from tests.support.corpus import corpus_rows, write_jsonl


def test_files_found_are_read_or_empty_or_not_used(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    rows = corpus_rows(120)
    for number in range(3):
        write_jsonl(out / f"part-{number:05d}.jsonl", rows[number::3])
    write(out / "part-00003.jsonl", b"")
    write(out / "part-00004.jsonl", b" \n\n")
    write(out / "part-00005.jsonl.gz", gzip.compress(b""))
    write(out / "_SUCCESS", b"")
    write(out / ".part-00000.jsonl.crc", b"crc")
    write(out / "notes.md", b"notes")
    write(out / "old" / "part-00000.jsonl", b"{}")
    os.link(out / "part-00000.jsonl", out / "again.jsonl")

    figures = make(ExampleGenParams(source=str(out)), tmp_path / "examples")
    unused = {record["reason"]: record["count"] for record in figures["unused_files"]}
    assert unused == {
        "empty": 3,
        "marker": 2,
        "other suffix": 1,
        "deeper folder": 1,
        "same file": 1,
    }
    assert figures["num_read"] == 120
    assert figures["num_files"] == 3
    assert figures["num_files"] + sum(unused.values()) == sum(
        len(names) for _, _, names in os.walk(out)
    )

    (span,) = json.loads((tmp_path / "examples" / "examples.json").read_text())["spans"]
    assert span["num_files"] == 3
    assert span["unused_files"] == [
        {**record, "names": list(record["names"])} for record in figures["unused_files"]
    ]
    empty = [f"{out}/part-0000{name}" for name in ("3.jsonl", "4.jsonl", "5.jsonl.gz")]
    assert span["unused_files"][0] == {"reason": "empty", "count": 3, "names": empty}

    assert describe(figures).endswith("; 3 empty files skipped; 5 files not used")
    assert [warning.partition("(")[2].partition(")")[0] for warning in figures["warnings"]] == [
        "other endings than the files that are read have",
        "in deeper folders",
        "other names of what is read",
    ]
    assert figures["warnings"][0] == (
        "1 file of example_gen.source is not read (other endings than the files that are read"
        f" have): {out}/notes.md. Rename or convert what holds rows, and move the rest out of the"
        " source."
    )


def test_the_digest_follows_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_jsonl(tmp_path / "out" / "part-0.jsonl", corpus_rows(6))
    params = ExampleGenParams(source=str(tmp_path / "out"))
    first = external_digest(params)
    before = sources.window(params)

    write(tmp_path / "out" / "part-1.jsonl", b"")
    write(tmp_path / "out" / "README.md")
    write(tmp_path / "out" / ".part-2.jsonl", b"{}")
    os.symlink("part-0.jsonl", tmp_path / "out" / "link.jsonl")
    assert external_digest(params) == first
    assert sources.window(params) == before

    write_jsonl(tmp_path / "out" / "part-1.jsonl", corpus_rows(7))
    assert external_digest(params) != first


def test_the_digest_follows_the_columns_in_the_path(tmp_path: Path) -> None:
    def digest(**fields: str) -> str | None:
        return external_digest(ExampleGenParams(source=str(tmp_path / "out"), **fields))

    write(tmp_path / "out" / "label=pos" / "day=1" / "a.csv", b"text\na\n")
    first, by_another = digest(), digest(label="mood")
    (tmp_path / "out" / "label=pos" / "day=1").rename(tmp_path / "out" / "label=pos" / "day=2")
    assert (digest(), digest(label="mood")) == (first, by_another)
    (tmp_path / "out" / "label=pos").rename(tmp_path / "out" / "label=neg")
    assert digest() != first
    assert digest(label="mood") == by_another


def test_partitions_give_their_columns(tmp_path: Path) -> None:
    write(tmp_path / "out" / "label=pos" / "a.csv", b"text\ngood\n")
    write(tmp_path / "out" / "label=a%20b" / "a.csv", b"text\nbad\n")
    check(ExampleGenParams(source=str(tmp_path / "out")))
    assert [(row[0], row[1]) for row in read_all(tmp_path / "out")] == [
        (b"bad", b"a b"),
        (b"good", b"pos"),
    ]


def test_texts_in_partitions_have_their_value_as_label(tmp_path: Path) -> None:
    write(tmp_path / "out" / "label=pos" / "1.txt", b"good")
    write(tmp_path / "out" / "other=neg" / "1.txt", b"bad")
    assert sorted((row[0], row[1]) for row in read_all(tmp_path / "out")) == [
        (b"bad", b"other=neg"),
        (b"good", b"pos"),
    ]


def test_spans_of_folders(tmp_path: Path) -> None:
    for name in ("1/part-0.csv", "1/_SUCCESS", "2/part-0.csv", "2/part-1.csv", "tmp/part-0.csv"):
        write(tmp_path / name)
    write(tmp_path / "2" / "part-2.csv", b"")
    os.symlink("2", tmp_path / "latest")

    pattern = tmp_path / "{SPAN}"
    assert window(pattern) == [
        (1, None, ["1/part-0.csv"]),
        (2, None, ["2/part-0.csv", "2/part-1.csv"]),
    ]
    newest = find(ExampleGenParams(source=str(pattern)))[-1]
    assert [(record.reason, record.names) for record in newest.unused] == [
        ("empty", (f"{tmp_path}/2/part-2.csv",)),
        ("no span", (f"{tmp_path}/latest/", f"{tmp_path}/tmp/")),
    ]

    # A span may have nothing but empty files: then it has no row.
    write(tmp_path / "3" / "part-0.csv", b"")
    assert window(pattern)[-1] == (3, None, [])
    check(ExampleGenParams(source=str(pattern)))
    with pytest.raises(DataError, match=rf"^{tmp_path}/3/part-0\.csv has no row\. Name files with"):
        check(ExampleGenParams(source=str(pattern), window=1))


def test_versions_that_are_not_the_highest(tmp_path: Path) -> None:
    for name in ("1/1/a.csv", "1/2/a.csv", "1/10/a.csv"):
        write(tmp_path / name)
    (span,) = find(ExampleGenParams(source=str(tmp_path / "{SPAN}" / "{VERSION}" / "*.csv")))
    assert [file.path for file in span.files] == [f"{tmp_path}/1/10/a.csv"]
    assert [(record.reason, record.count) for record in span.unused] == [("older version", 2)]


def test_a_bucket_has_folders_of_parts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.fake_cloud.gcs import serve

    with serve() as store:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
        for name in ("label=x/part-0.csv", "label=y/part-0.csv", "label=y/part-1.csv"):
            store.put("bucket", f"out/{name}", b"text\na\n")
        store.put("bucket", "out/_SUCCESS", b"")
        store.put("bucket", "out/label=y/part-2.csv", b"")
        store.put("bucket", "out/notes.md", b"notes")
        for source in ("gs://bucket/out", "gs://bucket/out/", "gs://bucket/out/label=*"):
            assert [(row[0], row[1]) for row in read_all(source)] == [
                (b"a", b"x"),
                (b"a", b"y"),
                (b"a", b"y"),
            ]
        (span,) = find(ExampleGenParams(source="gs://bucket/out"))
        assert {record.reason: record.count for record in span.unused} == {
            "empty": 1,
            "marker": 1,
            "other suffix": 1,
        }


def test_a_split_that_is_empty_in_one_span_takes_no_rows_of_train(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        write_jsonl(tmp_path / str(number) / "train.jsonl", corpus_rows(60))
    write_jsonl(tmp_path / "1" / "test.jsonl", corpus_rows(20))
    write(tmp_path / "2" / "test.jsonl", b"")

    source = {split: str(tmp_path / "{SPAN}" / f"{split}.jsonl") for split in ("train", "test")}
    make(ExampleGenParams(source=source), tmp_path / "examples")
    spans = json.loads((tmp_path / "examples" / "examples.json").read_text())["spans"]
    counts = [
        {split: sum(labels.values()) for split, labels in span["num_rows"].items()}
        for span in spans
    ]
    assert counts == [{"train": 50, "eval": 10, "test": 20}, {"train": 50, "eval": 10}]


def test_a_file_of_two_spans_is_read_in_both_and_named(tmp_path: Path) -> None:
    rows = corpus_rows(180)
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    first = write_jsonl(tmp_path / "1" / "a.jsonl", rows[:120])
    write_jsonl(tmp_path / "2" / "b.jsonl", rows[120:])
    (tmp_path / "2" / "a.jsonl").symlink_to("../1/a.jsonl")

    figures = make(ExampleGenParams(source=f"{tmp_path}/{{SPAN}}/*.jsonl"), tmp_path / "examples")
    assert (figures["num_read"], figures["num_files"]) == (300, 3)
    assert figures["warnings"] == [
        "1 file of example_gen.source is read more than once, for several spans or splits:"
        f" {tmp_path}/2/a.jsonl (that is {first}). Take them out of all but one if rows are to"
        " count once."
    ]


def test_a_file_of_two_splits_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", b"text,label\na,x\n")
    os.link(source, tmp_path / "b.csv")
    params = ExampleGenParams(source={"train": str(source), "test": f"{tmp_path}/b.csv"})
    (sentence,) = read_again(find(params))
    assert f": {tmp_path}/b.csv (that is {source})." in sentence
    assert not read_again(find(ExampleGenParams(source=str(tmp_path))))
