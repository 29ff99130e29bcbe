"""The files that a source names, local and on a fake of Google Cloud Storage."""

import fnmatch
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen import ExampleGenParams, check, external_digest, sources
from components.example_gen.sources import read
from seqline.errors import DataError, UserError
from seqline.rows.row import BadRow, Row
from seqline.storage import gcs, listing
from tests.components.example_gen.support import read_all, write
from tests.support import source_files
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.fake_cloud.gcs import FakeGcs, serve


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

    shards, ignored = sources.shards(span, params)
    assert [(shard.split, Path(shard.paths[0]).name) for shard in shards] == [
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
        ("a.xml", r"example_gen\.source a\.xml is a document with markup"),
        ("hdfs://bucket/a.csv", "is under hdfs://, which cannot be reached: name a folder"),
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
        ("utf-16", "a.csv has no column 'text' .*; it is not utf-16, in which its header is"),
    ):
        with pytest.raises(UserError, match=message):
            check(ExampleGenParams(source="a.csv", encoding=encoding))

    with pytest.raises(
        UserError, match=r"example_gen\.span 1 does not exist; 'tfds:x' has the span 0"
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
    assert bool(re.fullmatch(listing.translate(pattern), name)) == fnmatch.fnmatchcase(
        name, pattern
    )


def test_globs_of_folders() -> None:
    names = ["a.csv", "d/a.csv", "d/e/a.csv"]
    matched = {
        pattern: [name for name in names if re.fullmatch(listing.translate(pattern), name)]
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
from components.example_gen import ExampleGenParams, check, external_digest
heavy = {"tensorflow", "apache_beam", "tensorflow_datasets", "google.cloud.storage", "pyarrow"}
for name in ("a.csv", "a.parquet"):
    params = ExampleGenParams(source=sys.argv[1] + "/" + name)
    check(params)
    external_digest(params)
    print(sorted(heavy & set(sys.modules)))
"""

    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["[]", "['pyarrow']"]


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
        rows = read_all(f"gs://bucket/data/{source}")
        assert sorted({row[0] for row in rows}) == [b"row 0", b"row 1", b"row 2"], source

    assert read_all("gs://bucket/data/b.csv*")[-1] == Row(
        b"row 2", b"x", "gs://bucket/data/b.csv.gz", 4
    )


def test_jsonl_from_a_bucket_in_shards(cloud: FakeGcs, tmp_path: Path) -> None:
    raw = write_jsonl(tmp_path / "a.jsonl", corpus_rows(9)).read_bytes()
    cloud.put("bucket", "a.jsonl", raw)
    rows = source_files.read_all("gs://bucket/a.jsonl", shard_bytes=200)
    good = [row for row in rows if isinstance(row, Row)]
    assert [row.content.decode() for row in good] == [row["text"] for row in corpus_rows(9)]

    places = [(row.file, row.line) for row in good]
    # The lines before a shard are not counted (that would download them): a row's place is counted
    # from the shard's start.
    assert places[0] == ("gs://bucket/a.jsonl", 1)
    assert places[-1][0].startswith("gs://bucket/a.jsonl[from byte ")

    start = int(places[-1][0].partition("[from byte ")[2].rstrip("]"))
    tail = raw[start:] if raw[start - 1 : start] == b"\n" else raw[start:].partition(b"\n")[2]
    assert json.loads(tail.splitlines()[places[-1][1] - 1])["text"] == good[-1].content.decode()


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
