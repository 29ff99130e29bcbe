"""`seqline init` recognises how text files are compressed, encoded, delimited and quoted."""

import bz2
import gzip
import json
import lzma
import subprocess
from pathlib import Path

import pytest
import zstandard

from pipeline.init import layout
from seqline.errors import DataError, UserError
from tests.pipeline.init.support import init, rows, write_csv

CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows())
PLAIN = {"text": "text", "label": "label"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.bz2", bz2.compress(CSV.encode())),
        ("A.CSV.XZ", lzma.compress(CSV.encode())),
        ("a.csv.zst", zstandard.compress(CSV.encode())),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.encode("utf-8-sig")),
        ("a.csv", f"# made today\n# again\n{CSV}".encode()),
    ],
)
def test_what_a_file_says_itself_is_not_written(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert init(name)["example_gen"] == {"source": name} | PLAIN


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CSV.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (CSV.encode("utf-16-be"), {"encoding": "utf-16-be"}),
        (CSV.encode("utf-32-le"), {"encoding": "utf-32-le"}),
        (CSV.replace("fine", "na\u00efve").encode("cp1252"), {"encoding": "cp1252"}),
        # cp1252 has no character for this byte.
        (CSV.replace("fine", "na\u0081ve").encode("latin-1"), {"encoding": "latin-1"}),
        # One damaged line of many is a bad row.
        (
            CSV.replace("fine", "na\u00efve").encode() + b"caf\xe9,good\n",
            {},
        ),
        (f"sep=;\n{CSV.replace(',', ';')}".encode(), {"delimiter": ";"}),
        (CSV.replace(",", "\x01").encode(), {"delimiter": "\x01"}),
    ],
)
def test_what_nothing_says_is_guessed(
    tmp_path: Path, content: bytes, expected: dict[str, str]
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert init("a.csv")["example_gen"] == {"source": "a.csv"} | PLAIN | expected


def test_an_encoding_of_another_script_has_to_be_named(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(
        f"\u043f\u043b\u043e\u0445\u043e\u0439 {number},{number % 2}\n" for number in range(60)
    )
    (tmp_path / "a.csv").write_bytes(content.encode("cp1251"))
    with pytest.raises(UserError) as raised:
        init("a.csv")
    assert str(raised.value).startswith(
        "a.csv is not UTF-8, and its encoding cannot be told. Name it (seqline init --encoding"
        " NAME, seqline run --set example_gen.encoding=NAME): "
    )
    assert "cp1251 (Cyrillic)" in str(raised.value)
    assert init("a.csv", "--encoding", "cp1251")["example_gen"]["encoding"] == "cp1251"


def test_quotes_that_are_text(tmp_path: Path) -> None:
    content = "".join(
        f"{chr(34) * (number % 7 == 0)}{text}\t{label}\n"
        for number, (text, label) in enumerate(rows())
    )
    (tmp_path / "a.tsv").write_text(f"text\tlabel\n{content}")
    assert init("a.tsv")["example_gen"] == {"source": "a.tsv"} | PLAIN | {
        "delimiter": "\t",
        "quoting": "none",
    }
    assert init("a.tsv", "--force")["evaluator"]["min_accuracy"] == 0.66


def test_quotes_that_enclose_fields_with_tabs(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.tsv",
        ["text", "label"],
        [(f'a "so-called"\tfilm\nand more {text}', label) for text, label in rows()],
        "\t",
    )
    assert "quoting" not in init("a.tsv")["example_gen"]


def test_the_encoding_of_texts_in_folders(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(rows(10)):
        path = tmp_path / "news" / label / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"caf\u00e9 {text}".encode("cp1252"))
    assert init("news")["example_gen"] == {"source": "news", "encoding": "cp1252"}


def test_a_last_letter_that_is_not_utf_8(tmp_path: Path) -> None:
    """A whole file cannot end within a character."""
    (tmp_path / "a.txt").write_bytes("my caf\u00e9".encode("cp1252"))
    (tmp_path / "b.txt").write_bytes("my caf\u00e9".encode())
    assert layout.encoding_of([str(tmp_path / "a.txt")], 1 << 20) == "cp1252"
    assert layout.encoding_of([str(tmp_path / "b.txt")], 1 << 20) == "utf-8"

    (tmp_path / "b.txt").write_bytes(("a" * 9_999 + "\u00e9\n").encode())
    assert layout.encoding_of([str(tmp_path / "b.txt")], 10_000) == "utf-8"


def test_zeros_that_a_crash_left_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV.encode() + b"\0" * 4096)
    assert layout.encoding_of([str(tmp_path / "a.csv")], 1 << 20) == "utf-8"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (
            "a.csv",
            "a\0\1\2 b c\n" * 20,
            "a.csv is not a text file: it holds zero bytes. Name a file of text.",
        ),
        ("a.csv", "text,label\n", "a.csv holds no row that can be read. Name files with rows."),
        (
            "a.jsonl",
            "some words\n" * 3,
            "a.jsonl holds no JSON object that can be read. Name files with rows.",
        ),
        (
            "a.tsv",
            "text\tlabel\n" + "1\ta b\tx\n2\tc d\ty\n" * 3,
            (
                "a.tsv has 2 columns in its header and 3 in each of its first 6 rows. Name all of"
                " them in the header, or correct the rows: a field with the tab '\\t' in it is in"
                " quotes. R does not name a first column of row names: row.names = FALSE."
            ),
        ),
        (
            "a.csv",
            "text,label\na b,x\nc d,x\n",
            (
                "No column of a.csv looks like the label; name it with --label. It has 'text',"
                " 'label'."
            ),
        ),
        (
            "a.csv",
            "Report\n\ntext,label\n" + "a b,x\nc d,y\n" * 2,
            (
                "a.csv begins with 'Report', which is neither a header nor a row: those have 2"
                " columns. Remove what comes before them."
            ),
        ),
        (
            "a.txt",
            "text\tlabel\na b\tx\nc d\ty\n",
            (
                "a.txt holds columns by tabs, and its name does not say so. Give it a name that"
                " does: cp a.txt a.tsv"
            ),
        ),
        (
            "a.txt",
            '{"text": "a b", "label": 1}\n',
            (
                "a.txt holds JSON, and its name does not say so. Give it a name that does: cp a.txt"
                " a.jsonl"
            ),
        ),
        (
            "a.json",
            json.dumps({"data": [{"text": "a b", "label": 1}]}),
            (
                "a.json does not hold rows: its rows are the list 'data' of one object. Write them"
                " one a line: jq -c '.[\"data\"][]' FILE > NEW.jsonl."
            ),
        ),
    ],
)
def test_what_cannot_be_read_is_not_written(
    tmp_path: Path, name: str, content: str, line: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((UserError, DataError)) as raised:
        init(name)
    assert str(raised.value) == line
    assert not (tmp_path / "my.toml").exists()


def test_one_class(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na b,x\nc d,x\n")
    with pytest.raises(UserError) as raised:
        init("a.csv", "--label", "label")
    assert str(raised.value) == (
        "All rows of a.csv have one class in the column 'label'; a model needs two. Name another"
        " column with --label, or add data."
    )
    assert not (tmp_path / "my.toml").exists()


def test_lines_of_fasttext_come_with_the_command_that_writes_a_table(tmp_path: Path) -> None:
    content = "".join(f"__label__{label} {text}\twith a tab\n" for text, label in rows(6))
    (tmp_path / "my rows.txt").write_text(content)
    with pytest.raises(UserError) as raised:
        init("my rows.txt")
    start, command = str(raised.value).split("Write them as a table: ")
    assert start == "my rows.txt holds lines of fastText, __label__<label> and a text. "

    subprocess.run(command, shell=True, check=True, cwd=tmp_path)  # What a user pastes.
    written = (tmp_path / "my rows_rows.tsv").read_text().splitlines()
    assert written[:2] == ["label\ttext", "good\ta fine film with a good plot number 0 with a tab"]
    assert init("my rows_rows.tsv")["example_gen"]["text"] == "text"


def test_a_name_that_says_no_format_gets_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(CSV.replace(",", "\t"))
    with pytest.raises(UserError) as raised:
        init("a.txt")
    command = str(raised.value).split("does: ")[1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)  # What a user pastes.
    assert init("a.tsv")["example_gen"]["label"] == "label"


def test_the_encoding_is_that_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").write_bytes(CSV.replace("fine", "na\u00efve").encode("cp1252"))
    paths = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert layout.encoding_of(paths[:1], 1 << 20) == "utf-8"
    assert layout.encoding_of(paths, 1 << 20) == "cp1252"
