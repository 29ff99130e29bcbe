"""What a CSV file's own lines tell about its dialect, and what errors advise."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqline.errors import DataError, UserError
from seqline.rows.row import BadRow, Row
from tests.support.source_files import check, read_bytes, reasons, usable

AX = [(b"a", b"x"), (b"b", b"y")]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_by_which_the_header_holds_the_columns(
    tmp_path: Path, delimiter: str
) -> None:
    content = f"id{delimiter}text{delimiter}label\n1{delimiter}a, b; c{delimiter}x\n"
    content = content.replace("a, b; c", "a" if delimiter in ",;" else "a, b; c")
    (row,) = usable(read_bytes(tmp_path / "a.csv", content.encode()))
    assert row == (b"a" if delimiter in ",;" else b"a, b; c", b"x")
    check(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\r\ntext;label\r\na;x\r\nb;y\r\n",
        '"sep=^"\ntext^label\na^x\nb^y\n',
        "# made by a program\n#\n\ntext,label\na,x\nb,y\n",
        "\n \n\ntext,label\na,x\nb,y",
        " text , label\na,x\nb,y\n",
        "text, label\na, x\nb, y\n",
        'text, label\n"a", "x"\nb, y\n',
        "text,label\na,x,\nb,y,\n",
        "text,label,\na,x\nb,y\n",
        "text,label,\na,x,\nb,y,\n",
        "text,label\ra,x\rb,y",
        '"text";"label"\n"a";"x"\nb;y\n',
        "text,label\r\na,x\nb,y\r",
    ],
)
def test_what_programs_write(tmp_path: Path, content: str) -> None:
    assert usable(read_bytes(tmp_path / "a.csv", content.encode())) == AX
    check(tmp_path / "a.csv")


def test_lines_are_counted_from_the_first_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"sep=;\n\ntext;label\na;x\nb\n\nc;z\n") == [
        Row(b"a", b"x", str(path), 4),
        BadRow(str(path), 5, "1 fields where the header has 2", "format"),
        Row(b"c", b"z", str(path), 7),
    ]


def test_a_header_that_comes_again_is_no_row(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.csv", b"text,label\na,x\n\xef\xbb\xbftext,label\nb,y\n")
    assert reasons(rows) == [(3, "it repeats the header", "format")]
    assert usable([rows[0], rows[2]]) == AX


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text^label\na^x\n",
            "its columns are separated by '^', not by the comma ','. Set example_gen.delimiter to"
            " '^'.",
        ),
        (
            "A title\nfrom a report\ntext,label\na,x\n",
            "line 3 is the header. Remove what precedes it from the file.",
        ),
        ("A title\n\ntext,label\n", "line 3 is the header. Remove what precedes it from the file."),
        ('{"text": "a", "label": "x"}\n', "it holds JSON. Name it .jsonl."),
        (
            "__label__x a\n",
            "it holds fastText's lines, `__label__x text`. Write them as CSV with two columns.",
        ),
        (
            "\x02\x03,\n",
            "it holds control characters, so it is not a text file. Name one in the source.",
        ),
        (
            "one\n",
            "it has 'one'. Set example_gen.text to one of them. It is one column: it is not"
            " separated by the comma ',' or the tab '\\t' or the semicolon ';' or the bar '|'; if"
            " it is by another character, set example_gen.delimiter to it.",
        ),
        (
            "'text','label'\n'a','x'\n",
            "its columns are in single quotes. Write double quotes, as CSV has them.",
        ),
        (
            '"3","a good film, that I saw with my friends","x"\n',
            "its first line looks like a row, '3', ..., so it has no header. Name its 3 columns in"
            " their order: example_gen.columns = [...].",
        ),
        (
            "Review;Stars\na;1\n",
            "it has 'Review', 'Stars'. Set example_gen.text to one of them. If this is a row and no"
            " header, name the 2 columns in example_gen.columns.",
        ),
        (
            "TEXT,Label\na,x\n",
            "it has 'TEXT', 'Label'. Did you mean 'TEXT'? Set example_gen.text to one of them.",
        ),
    ],
)
def test_advice(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        check(path)
    assert str(error.value) == f"{path} has no column 'text' (example_gen.text); {message}"


def test_rows_that_are_all_wider_than_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"text","label"\n' + '"1","a","x"\n' * 5)
    with pytest.raises(UserError) as error:
        check(path)
    assert str(error.value) == (
        f"{path} has 2 columns in its header and 3 in each of its first 5 rows. Name all of them in"
        " the header, or correct the rows: a field with the comma ',' in it is in quotes. R does"
        " not name a first column of row names: row.names = FALSE."
    )


def test_a_configured_delimiter_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;label\na;x\n")
    with pytest.raises(UserError, match="by the semicolon ';', not by the comma ','"):
        check(tmp_path / "a.csv", delimiter=",")


# Without a header


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_columns_that_are_named(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    content = "1,a,x\n2,b,y\n".replace(",", delimiter).encode()
    assert read_bytes(path, content, header=("id", "text", "label")) == [
        Row(b"a", b"x", str(path), 1),
        Row(b"b", b"y", str(path), 2),
    ]
    check(path, header=("id", "text", "label"))


def test_columns_that_are_named_and_cannot_be_right(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,a,x\n2,b,y\n")
    with pytest.raises(UserError) as error:
        check(path, header=("text", "label"))
    assert str(error.value) == (
        f"{path}:1 has 3 columns by the comma ','; example_gen.columns names 2: ['text', 'label']."
        " Name the columns of the file, or set example_gen.delimiter."
    )

    path.write_text("Text,label \na,x\n")
    with pytest.raises(UserError, match=r"a\.csv:1 is a header, .*Remove example_gen\.columns"):
        check(path, header=("text", "label"))

    rows = read_bytes(path, b"a,x\nb\n", header=("text", "label"))
    assert reasons(rows) == [(2, "1 fields where example_gen.columns has 2", "format")]


def test_columns_are_for_csv_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n')
    with pytest.raises(UserError, match=r"example_gen\.columns names the columns of CSV files"):
        check(tmp_path / "a.jsonl", header=("text", "label"))


# Quotes

STRAY = "".join(
    f'"opens {number}\tx\nplain {number}\ty\ncloses {number}"\tx\n' for number in range(20)
)


def test_tabs_and_quotes_that_do_not_pair(tmp_path: Path) -> None:
    rows = usable(read_bytes(tmp_path / "a.tsv", f"text\tlabel\n{STRAY}".encode()))
    assert len(rows) == 60
    assert rows[:3] == [(b'"opens 0', b"x"), (b"plain 0", b"y"), (b'closes 0"', b"x")]


def test_tabs_and_quotes_that_pair(tmp_path: Path) -> None:
    content = 'text\tlabel\n"a ""b"" c"\tx\n"d\te"\ty\n"f\ng"\tx\n'
    assert usable(read_bytes(tmp_path / "a.tsv", content.encode())) == [
        (b'a "b" c', b"x"),
        (b"d\te", b"y"),
        (b"f\ng", b"x"),
    ]


def test_quotes_of_which_few_are_wrong_still_enclose(tmp_path: Path) -> None:
    good = "".join(f'"line\nline {number}"\tx\n' for number in range(3))
    rows = read_bytes(tmp_path / "a.tsv", f'text\tlabel\n{good}"wrong" one\ty\n'.encode())
    assert len(rows) == 4
    assert usable(rows[:3]) == [(b"line\nline %d" % number, b"x") for number in range(3)]
    assert isinstance(rows[3], BadRow)


def test_a_quote_that_never_closes_is_text_between_tabs(tmp_path: Path) -> None:
    content = b'text\tlabel\n"a\tx\nb\ty\n'
    assert usable(read_bytes(tmp_path / "a.tsv", content)) == [(b'"a', b"x"), (b"b", b"y")]


def test_quoting_that_is_configured(tmp_path: Path) -> None:
    stray = STRAY.replace("\t", ",")
    rows = read_bytes(tmp_path / "a.csv", f"text,label\n{stray}".encode(), quoting="none")
    assert len(usable(rows)) == 60
    rows = read_bytes(tmp_path / "a.tsv", f"text\tlabel\n{STRAY}".encode(), quoting="double")
    assert len(usable(rows)) == 20


def test_rows_that_a_quoted_field_swallowed_show_their_labels(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.csv", b'text,label\n"a,x\nb,y\nc",z\n"two\nlines, so",x\n')
    assert [row.swallowed for row in rows if isinstance(row, Row)] == [("x", "y"), ()]


def test_quotes_that_are_escaped_by_a_backslash_are_named(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.csv", b'text,label\n"say \\"so\\" now",x\nb,y\n')
    assert reasons(rows) == [
        (
            2,
            "not CSV: ',' expected after '\"'; a quote inside a quoted field is doubled in CSV, not"
            ' written as \\"',
            "format",
        )
    ]


def test_a_header_that_is_not_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"text"x,label\na,x\n')
    with pytest.raises(DataError, match=r"a\.csv:1: the header is not CSV: ',' expected"):
        check(tmp_path / "a.csv")


def test_one_wrong_quote_does_not_undo_those_that_enclose_all(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.tsv", b'"text"\t"label"\n"a"\t"x"\n"b" b"\t"x"\n"c"\t"y"\n')
    assert usable([rows[0], rows[2]]) == [(b"a", b"x"), (b"c", b"y")]
    assert isinstance(rows[1], BadRow)


def test_enclosed_lines_with_tabs_are_no_rows(tmp_path: Path) -> None:
    content = "".join(f'"a {number}\tand\nmore ""so"""\tx\n' for number in range(9))
    for label in ("label", None):
        rows = read_bytes(tmp_path / "a.tsv", f"text\tlabel\n{content}".encode(), label=label)
        assert [content for content, _ in usable(rows)] == [
            b'a %d\tand\nmore "so"' % number for number in range(9)
        ]


def test_quotes_that_do_not_pair_without_labels(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.tsv", f"text\tlabel\n{STRAY}".encode(), label=None)
    assert len(usable(rows)) == 60


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text('ab "', min_size=1, max_size=5), st.sampled_from("xy"))))
def test_no_row_between_tabs_is_lost_in_silence(pairs: list[tuple[str, str]]) -> None:
    content = "".join(f"{text}\t{label}\n" for text, label in pairs)
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = read_bytes(Path(folder, "a.tsv"), f"text\tlabel\n{content}".encode())
        except DataError:  # A quote opens and is never closed.
            return

    shown = [row for row in rows if isinstance(row, BadRow) or row.swallowed]
    assert len(rows) == len(pairs) or shown
