"""The files that a source names, and those that it does not read."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqline.errors import DataError, UserError
from seqline.rows import unused
from seqline.rows.find import location, match, select
from seqline.rows.formats import kind_of_name
from seqline.rows.unused import Unused


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str, content: str = "x") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)


Found = tuple[str, list[str], dict[str, tuple[int, tuple[str, ...]]]]


def find(source: str, labelled: bool = True) -> Found:
    """(kind, files, reason -> (count, names) of the others); every file is one of them."""
    matches = match(location(source, "example_gen"), source, "example_gen")
    found = select(matches.entries, matches, source, "example_gen", labelled)
    others = {
        record.reason: (record.count, record.names)
        for record in unused.merge([*matches.unused, *found.unused])
    }
    return found.kind, [file.path for file in found.files], others


def refused(source: str, labelled: bool = True) -> str:
    with pytest.raises(UserError) as raised:
        find(source, labelled)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def found_or_refused(source: str, labelled: bool) -> Found | str:
    try:
        return find(source, labelled)
    except UserError as error:
        return str(error)


def num_files(folder: str) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def test_kinds_by_name() -> None:
    assert {
        name: kind_of_name(name)
        for name in (
            "a.CSV",
            "a.Csv.GZ",
            "a.tsv",
            "part-0.c000.snappy.parquet",
            "part-r-0.gz.PARQUET",
            "a.parq",
            "a.pq",
            "rows.csv-00000-of-00005",
            "rows.jsonl-00000-of-00005.gz",
            "data_tfrecord-00000-of-00002.gz",
            "part-00000",
            "a.csv.txt",
            "csv",
        )
    } == {
        "a.CSV": "csv",
        "a.Csv.GZ": "csv",
        "a.tsv": "csv",
        "part-0.c000.snappy.parquet": "parquet",
        "part-r-0.gz.PARQUET": "parquet",
        "a.parq": "parquet",
        "a.pq": "parquet",
        "rows.csv-00000-of-00005": "csv",
        "rows.jsonl-00000-of-00005.gz": "jsonl",
        "data_tfrecord-00000-of-00002.gz": "tfrecord",
        "part-00000": None,
        "a.csv.txt": None,
        "csv": None,
    }


def test_folders_of_classes() -> None:
    for name in ("pos", "neg"):
        write(f"r/{name}/1.txt", f"r/{name}/2.TXT", f"r/{name}/3.Txt.GZ", f"r/{name}/4.md")
    write("r/pos/.5.txt", "r/pos/sub/6.txt", "r/README.txt", "r/labels.csv", "r/.DS_Store")

    kind, names, others = find("r")
    assert kind == "folder"
    assert names == [
        f"r/{name}/{file}" for name in ("neg", "pos") for file in ("1.txt", "2.TXT", "3.Txt.GZ")
    ]
    assert others == {
        "marker": (1, ("r/.DS_Store",)),
        "hidden": (1, ("r/pos/.5.txt",)),
        "other suffix": (2, ("r/neg/4.md", "r/pos/4.md")),
        "deeper folder": (1, ("r/pos/sub/6.txt",)),
        "no class folder": (2, ("r/README.txt", "r/labels.csv")),
    }
    assert len(names) + sum(count for count, _ in others.values()) == num_files("r")
    assert find("r/*/*.txt")[:2] == ("folder", ["r/neg/1.txt", "r/pos/1.txt"])


def test_files_without_suffix_in_folders_of_classes() -> None:
    write("news/a/49960", "news/a/51060", "news/b/1", "news/b/.DS_Store")
    expected = ("folder", ["news/a/49960", "news/a/51060", "news/b/1"])
    assert find("news")[:2] == find("news", labelled=False)[:2] == expected

    # Beside texts they are none.
    write("news/b/2.txt", "news/a/2.txt")
    _, names, others = find("news")
    assert names == ["news/a/2.txt", "news/b/2.txt"]
    assert others["other suffix"] == (3, ("news/a/49960", "news/a/51060", "news/b/1"))


def test_folders_of_parts() -> None:
    write("out/part-00000-a.snappy.parquet", "out/part-00001-a.snappy.parquet", "out/_SUCCESS")
    write("out/.part-00000-a.snappy.parquet.crc", "out/_metadata", "out/_x.parquet")
    write("out/sub/part-0.parquet", "out/notes.md", "out/_temporary/0/part-9.parquet")
    write("out/part-00002-a.snappy.parquet", content="")

    kind, names, others = find("out")
    assert kind == "parquet"
    assert names == [f"out/part-0000{number}-a.snappy.parquet" for number in (0, 1)]
    assert others == {
        "empty": (1, ("out/part-00002-a.snappy.parquet",)),
        "marker": (
            3,
            ("out/.part-00000-a.snappy.parquet.crc", "out/_SUCCESS", "out/_metadata"),
        ),
        "hidden": (2, ("out/_temporary/0/part-9.parquet", "out/_x.parquet")),
        "other suffix": (1, ("out/notes.md",)),
        "deeper folder": (1, ("out/sub/part-0.parquet",)),
    }
    assert len(names) + sum(count for count, _ in others.values()) == num_files("out")
    assert find("out/part-*")[1] == names

    write("out/rows.csv")
    assert refused("out").startswith(
        "example_gen.source: the folder out holds files of several kinds, .csv, .parquet"
        " (part-00000-a.snappy.parquet, rows.csv); name one kind by a glob, such as"
    )


def test_partitions_are_read_as_a_whole() -> None:
    write("out/label=pos/date=2024-01-01/part-0.parquet", "out/label=neg/part-0.parquet")
    write("out/_SUCCESS", "out/label=pos/_x/part-0.parquet")
    names = ["out/label=neg/part-0.parquet", "out/label=pos/date=2024-01-01/part-0.parquet"]
    for source in ("out", "out/", "out/*", "out/label=*"):
        kind, found, others = find(source)
        assert (kind, found) == ("parquet", names)
        assert others["hidden"] == (1, ("out/label=pos/_x/part-0.parquet",))


def test_a_file_is_read_once() -> None:
    write("p/v2/a.jsonl", "p/v2/b.jsonl")
    os.symlink("v2", "p/latest")
    os.link("p/v2/a.jsonl", "p/v2/again.jsonl")
    _, names, others = find("p/*/*.jsonl")
    assert names == ["p/v2/a.jsonl", "p/v2/b.jsonl"]
    assert others == {
        "same file": (
            4,
            (
                "p/latest/a.jsonl (that is p/v2/a.jsonl)",
                "p/latest/again.jsonl (that is p/v2/a.jsonl)",
                "p/latest/b.jsonl (that is p/v2/b.jsonl)",
            ),
        )
    }


def test_folders_that_cannot_be_read() -> None:
    write("hub/train-00000-of-00002.csv", "hub/train-00001-of-00002.csv", "hub/test.csv")
    write("parts/train/a.csv", "parts/test/a.csv")
    write("md/a/1.md", "md/b/2.md", "bare/part-00000", "deep/2024/a.csv", "top/1.txt")
    write("delta/_delta_log/0.json", "delta/a.parquet", "aclImdb/train/pos/1.txt")
    write("aclImdb/test/pos/1.txt", "aclImdb/test/urls.txt", "aclImdb/train/urls.txt")
    Path("empty").mkdir()

    for source, beginning in (
        (
            "md",
            "the folder md holds no file of a kind that can be read, but 2 with .md (md/a/1.md)",
        ),
        (
            "bare",
            "the folder bare holds no file of a kind that can be read, but 1 with no suffix"
            " (bare/part-00000). Give them the ending of what they hold, .csv, .tsv, ",
        ),
        (
            "deep",
            "the folder deep holds files of rows in deeper folders only (deep/2024/a.csv). Name"
            ' them by a glob: "deep/**/*.csv".',
        ),
        ("delta", "the folder delta is a table of Delta Lake: its files also hold rows that"),
        (
            "aclImdb",
            "the folder aclImdb holds the folders of splits, test, train. Name each split:"
            ' source = {test = "aclImdb/test", train = "aclImdb/train"}.',
        ),
        (
            "hub",
            "the folder hub holds the files of several splits. Name each split: source = {test ="
            ' "hub/test.csv", train = "hub/train*.csv"}; or all files by a glob, to split their'
            ' rows anew: "hub/*".',
        ),
        (
            "parts",
            "the folder parts holds the folders of splits, test, train. Name each split: source ="
            ' {test = "parts/test", train = "parts/train"}.',
        ),
        ("empty", "the folder empty holds no file that is not hidden."),
    ):
        assert refused(source).startswith(f"example_gen.source: {beginning}")
    assert refused("top").startswith("top holds 0 class folders with .txt files; at least two")
    assert find("top", labelled=False)[:2] == ("folder", ["top/1.txt"])


def test_names_of_places(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    write("a b.csv", "~x/a.csv")
    for source, path in (
        ("~/a b.csv", f"{here}/a b.csv"),
        ("~x/a.csv", "~x/a.csv"),
        (f"file://{here}/a b.csv", f"{here}/a b.csv"),
        (f"file://{here}/a%20b.csv", f"{here}/a b.csv"),
        (f"file:{here}/*.csv", f"{here}/*.csv"),
        ("gs://bucket/a.csv", "gs://bucket/a.csv"),
    ):
        assert location(source, "example_gen") == path
    assert "names a user who does not exist" in refused("~nobody-of-this-name/a.csv")
    assert "names the host 'host'; write file:///path" in refused("file://host/a.csv")
    assert refused("hdfs://host/a.csv").endswith(
        "is under hdfs://, which cannot be reached: name a folder, or a place under gs://, s3:// or"
        " az://, or a data set as tfds:<name>."
    )
    assert refused("s3:/bucket/a.csv").endswith(
        "write s3://<bucket>/<path>, or a data set as tfds:<name>."
    )
    assert "holds a zero byte" in refused("a\0.csv")


def test_names_that_match_nothing() -> None:
    write("a.CSV", "notes.dat", "one.txt")
    assert "'*.csv' matches no file under" in refused("*.csv")
    assert "(the source matches but for upper and lower case): a.CSV." in refused("*.csv")
    assert "the ending of notes.dat does not tell what it holds. Known are .csv," in refused(
        "notes.dat"
    )
    assert "a .txt file is one text." in refused("one.txt")
    assert "a .txt file is one text." in refused("one.txt", labelled=False)


def test_all_files_are_empty() -> None:
    write("a.jsonl", "b.jsonl", content="")
    kind, names, others = find("*.jsonl")
    assert (kind, names, others) == ("jsonl", [], {"empty": (2, ("a.jsonl", "b.jsonl"))})
    records = [Unused("empty", 2, ("a.jsonl", "b.jsonl"))]
    assert unused.no_rows(records, "example_gen") == (
        "a.jsonl and 1 others have no row. Name files with rows in example_gen.source, or put rows"
        " into them."
    )


def test_a_link_to_nowhere_in_a_folder_of_classes() -> None:
    write("r/pos/1.txt", "r/neg/1.txt")
    os.symlink("gone.txt", "r/neg/2.txt")
    with pytest.raises(DataError, match=r"'r/neg/2\.txt' is a link to 'gone\.txt', which does"):
        find("r")


FOLDERS = st.sampled_from(["pos", "neg", "label=a", "day=1", "_x", "_temporary", ".h", ".git"])
NAMES = st.sampled_from(
    [
        *("1.txt", "2.TXT", "a.csv", "b.CSV.gz", "c.parquet", "_SUCCESS", ".x.crc", ".y.txt"),
        *("README", "d.md", "_e.csv", "new\nline.csv", "[f].csv"),
    ]
)
TREES = st.dictionaries(
    st.tuples(st.lists(FOLDERS, max_size=3).map("/".join), NAMES).map("/".join),
    st.sampled_from(["", "x"]),
    min_size=1,
    max_size=8,
)


@given(
    TREES, st.booleans(), st.sampled_from(["tree", "tree/", "tree/*", "tree/**/*", "tree/*.csv"])
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_found_are_read_or_not_used(
    tree: dict[str, str], labelled: bool, source: str
) -> None:
    with tempfile.TemporaryDirectory(dir=".") as place, contextlib.chdir(place):
        for name, content in tree.items():
            write(f"tree/{name.lstrip('/')}", content=content)
        answer = found_or_refused(source, labelled)
        if isinstance(answer, str):
            assert "\n" not in answer
            return

        _, names, others = answer
        assert len(set(names)) == len(names)
        if source in ("tree", "tree/"):
            assert len(names) + sum(count for count, _ in others.values()) == num_files("tree")


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    folder = Path(os.fsdecode(b"caf\xe9"))
    write(str(folder / "a.csv"))
    with pytest.raises(UserError) as raised:
        find("*/*.csv")
    assert str(raised.value) == (
        "example_gen.source: the name of the file 'caf\\udce9/a.csv' is not UTF-8. Rename it, or"
        " its folder: the places of rows are written with the names of their files."
    )

    write("b.csv", "\u00e9.csv")
    assert find("*.csv")[1] == ["b.csv", "\u00e9.csv"]
