"""All formats: the same rows, shards, and errors for damaged files."""

import csv
import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqline.errors import DataError
from seqline.rows.read import cut, read
from seqline.storage import files
from tests.support.source_files import (
    check,
    example,
    find,
    read_all,
    read_bytes,
    row_format,
    usable,
    write_parquet,
    write_tfrecord,
)

TOKENS = [["New", "York", "is", "caf\u00e9"], ["one"]]
SEQUENCES = [[[0.1, 2.0], [3.0, -4.5], [1e-3, 7.0]], [[5.0, 6.0]]]


def write_flat(path: Path, cells: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(cells, "xy", strict=True)])
    return path


def write_folder(root: Path, cells: list[str]) -> Path:
    for cell, label in zip(cells, "xy", strict=True):
        path = root / label / "1.txt"
        path.parent.mkdir(parents=True)
        path.write_text(cell, encoding="utf-8")
    return root


def in_all_formats(
    root: Path, values: list[Any], cells: list[str], examples: list[bytes]
) -> list[Path]:
    jsonl = root / "a.jsonl"
    jsonl.write_text(
        "".join(
            json.dumps({"text": value, "label": label}) + "\n"
            for value, label in zip(values, "xy", strict=True)
        )
    )
    paths = [
        jsonl,
        write_flat(root / "a.csv", cells),
        write_tfrecord(root / "a.tfrecord", examples),
        write_parquet(root / "a.parquet", {"text": values, "label": ["x", "y"]}),
        write_folder(root / "folder", cells),
    ]

    for path in paths[:3]:
        paths.append(root / f"{path.name}.gz")
        paths[-1].write_bytes(gzip.compress(path.read_bytes()))

    return paths


def test_text_is_the_same_from_all_formats(tmp_path: Path) -> None:
    texts = ['one\n"two", caf\u00e9 \u2028\u0085', " b\t"]
    records = [
        example(text=[text.encode()], label=[label.encode()])
        for text, label in zip(texts, "xy", strict=True)
    ]
    for path in in_all_formats(tmp_path, texts, texts, records):
        assert usable(sorted(read_all(path), key=lambda row: row[1])) == [
            (texts[0].encode(), b"x"),
            (texts[1].encode(), b"y"),
        ], path


def test_tokens_are_the_same_from_all_formats(tmp_path: Path) -> None:
    encoded = [[token.encode() for token in tokens] for tokens in TOKENS]
    records = [
        example(text=tokens, label=[label.encode()])
        for tokens, label in zip(encoded, "xy", strict=True)
    ]
    for path in in_all_formats(tmp_path, TOKENS, ["New York\tis  caf\u00e9", " one\n"], records):
        check(path, content="tokens")
        assert usable(sorted(read_all(path, content="tokens"), key=lambda row: row[1])) == [
            (encoded[0], b"x"),
            (encoded[1], b"y"),
        ], path


def test_sequences_are_the_same_from_all_formats(tmp_path: Path) -> None:
    flat = [[number for step in sequence for number in step] for sequence in SEQUENCES]
    records = [
        example(text=numbers, label=[label.encode()])
        for numbers, label in zip(flat, "xy", strict=True)
    ]

    for path in in_all_formats(
        tmp_path, SEQUENCES, [json.dumps(sequence) for sequence in SEQUENCES], records
    ):
        dim = 2 if ".tfrecord" in path.name else None
        check(path, content="sequence", dim=dim)

        rows = usable(sorted(read_all(path, content="sequence", dim=dim), key=lambda row: row[1]))
        assert [
            (content.tobytes(), content.dtype, content.shape, label) for content, label in rows
        ] == [
            (np.array(SEQUENCES[0], np.float32).tobytes(), np.float32, (3, 2), b"x"),
            (np.array(SEQUENCES[1], np.float32).tobytes(), np.float32, (1, 2), b"y"),
        ], path


@pytest.mark.parametrize(("name", "last"), [("a.csv.gz", 2), ("a.jsonl.gz", 1)])
def test_gzip_that_is_damaged(tmp_path: Path, name: str, last: int) -> None:
    # Two members: what is whole is read, and the damage in the second is placed after it.
    first = b"text,label\na,x\n" if "csv" in name else b'{"text": "a", "label": "x"}\n'
    second = gzip.compress(b"b" * 10)

    path = tmp_path / name
    for damaged in (
        second[:-9],
        second[:-8] + b"XXXX" + second[-4:],
        second[:10] + b"\xff" + second[11:],
    ):
        with pytest.raises(
            DataError,
            match=rf"{path} is damaged after line {last}: .*\. Make or copy the file again",
        ):
            read_bytes(path, gzip.compress(first) + damaged)
    # The content tells, not the name.
    assert usable(read_bytes(path, first)) == [(b"a", b"x")]


@pytest.mark.parametrize(
    "name", ["a.csv", "a.jsonl", "a.tfrecord", "a.parquet", "a.jsonl.gz", "f/x/1.txt"]
)
def test_file_that_disappears(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"anything")
    (tmp_path / "f" / "y").mkdir(parents=True)
    (tmp_path / "f" / "y" / "1.txt").write_text("b")
    kind, source_files = find(tmp_path / "f" if name.endswith(".txt") else path)
    shards = list(cut(kind, source_files))
    path.unlink()

    with pytest.raises(
        DataError,
        match=(
            rf"{path} does not exist\. "
            r"Was it moved while it was needed\? Put it back and run again\."
        ),
    ):
        [row for shard in shards for row in read(shard, row_format())]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.tfrecord.gz"])
def test_gzip_of_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match=rf"{path} has no row\. Name files with rows"):
        check(path)


# Shards


def test_small_files_share_a_shard(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}.csv").write_bytes(b"text,label\n%d,x\n" % number)
    (tmp_path / "3.csv").write_bytes(b"text,label\n" + b"3,x\n" * 50)
    source = str(tmp_path / "*.csv")

    shards = list(cut("csv", files.match(source), group_bytes=100, group_files=2))
    assert [[Path(path).stem for path in shard.paths] for shard in shards] == [
        ["0", "1"],
        ["2"],
        ["3"],
        ["4", "5"],
        ["6"],
    ]
    assert pickle.loads(pickle.dumps(shards)) == shards
    assert [row for shard in shards for row in read(shard, row_format())] == read_all(source)
    assert len({hash(shard) for shard in shards}) == 5
