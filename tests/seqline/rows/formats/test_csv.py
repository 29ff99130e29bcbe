from pathlib import Path

import pytest

from seqline.errors import DataError, UserError
from seqline.rows.row import BadRow, Row
from tests.support.source_files import check, read_bytes


def test_csv_quoted_newlines_keep_their_text_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = b'label,text\nx,"one\ntwo"\ny,"say ""so"", please"\nx,"a\r\nb"\ny,end'
    assert read_bytes(path, content) == [
        Row(b"one\ntwo", b"x", str(path), 2),
        Row(b'say "so", please', b"y", str(path), 4),
        Row(b"a\r\nb", b"x", str(path), 5),
        Row(b"end", b"y", str(path), 7),
    ]


def test_csv_only_line_feeds_and_carriage_returns_end_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = "text,label\na\u0085b\u2028c\x0bd,x\r\ne,y\r\n".encode()
    assert read_bytes(path, content) == [
        Row("a\u0085b\u2028c\x0bd".encode(), b"x", str(path), 2),
        Row(b"e", b"y", str(path), 3),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_8", "utf8", "U8"])
def test_csv_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"\xef\xbb\xbftext,label\na,x\n", encoding=encoding) == [
        Row(b"a", b"x", str(path), 2)
    ]
    check(path, encoding=encoding)


def test_csv_wrong_number_of_fields_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\na,b,x\nalone\ngood,x\n") == [
        BadRow(str(path), 2, "3 fields where the header has 2", "format"),
        BadRow(str(path), 3, "1 fields where the header has 2", "format"),
        Row(b"good", b"x", str(path), 4),
    ]


def test_csv_other_delimiter_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = b"id;topic;body\n1;x;one, two\n"
    assert read_bytes(path, content, delimiter=";", text="body", label="topic") == [
        Row(b"one, two", b"x", str(path), 2)
    ]


def test_csv_byte_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\na,x\ncaf\xe9,x\nb,\xe9\nc,y\n") == [
        Row(b"a", b"x", str(path), 2),
        BadRow(
            str(path), 3, "the text is not valid in the source's encoding: 'caf\\udce9'", "encoding"
        ),
        BadRow(
            str(path), 4, "the label is not valid in the source's encoding: '\\udce9'", "encoding"
        ),
        Row(b"c", b"y", str(path), 5),
    ]
    assert read_bytes(path, b"text,label\ncaf\xe9,x\n", encoding="latin-1") == [
        Row("caf\u00e9".encode(), b"x", str(path), 2)
    ]


def test_csv_blank_lines_are_no_rows_and_empty_fields_are_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"\r\ntext,label\n\na,x\n\r\n \xe2\x80\x83 ,x\nb,\nc,y\n\n") == [
        Row(b"a", b"x", str(path), 4),
        BadRow(str(path), 6, "the text is empty", "empty text"),
        BadRow(str(path), 7, "the label is empty", "empty label"),
        Row(b"c", b"y", str(path), 8),
    ]


def test_csv_quoting_that_is_wrong_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b'text,label\n"a"b,x\nc,y\n"open,x\n') == [
        BadRow(
            str(path),
            2,
            "not CSV: ',' expected after '\"'; if no quote encloses a field, set"
            " example_gen.quoting to 'none'",
            "format",
        ),
        Row(b"c", b"y", str(path), 3),
        BadRow(str(path), 4, "not CSV: unexpected end of data", "format"),
    ]


def test_csv_a_quote_that_swallows_other_rows_does_not_pass_for_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(
        DataError,
        match=(
            rf"{path}:3: a quote opens here and is never closed, so the 2 lines after it cannot be"
            r" read"
        ),
    ):
        read_bytes(path, b'text,label\na,x\n"open,x\nb,y\nc,y\n')

    assert read_bytes(path, b'text,label\n"open,x\nb,y\nc",y,z\nd,y\n') == [
        BadRow(str(path), 2, "3 fields where the header has 2 (up to line 4)", "format"),
        Row(b"d", b"y", str(path), 5),
    ]


def test_csv_with_two_columns_of_a_name(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"a\.csv has 2 columns 'text'; rename all but the one that is meant"
    ):
        read_bytes(tmp_path / "a.csv", b"text,text,label\na,b,x\n")


def test_csv_text_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    (row,) = read_bytes(tmp_path / "a.csv", b"text,label\n" + b"a" * 200_000 + b",x\n")
    assert isinstance(row, Row)
    assert row.content == b"a" * 200_000


@pytest.mark.parametrize("content", [b'""\n', b'""', b'\r\n""\r\n'])
def test_csv_of_a_pandas_frame_without_columns_has_no_row(tmp_path: Path, content: bytes) -> None:
    assert read_bytes(tmp_path / "a.csv", content) == []
