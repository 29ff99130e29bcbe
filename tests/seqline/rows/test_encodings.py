"""Encodings, and the byte order marks that win over them."""

import gzip
from pathlib import Path

import pytest

from seqline.errors import UserError
from seqline.rows.encodings import check_encoding
from seqline.rows.row import BadRow, Row
from tests.support.source_files import check, read_all, read_bytes, row_format, usable

TEXT = "caf\u00e9 \u4e2d"


def files_of(encoding: str) -> dict[str, bytes]:
    rows = f'{{"text": "{TEXT}\\n", "label": "x"}}\n{{"text": "b", "label": "y"}}'
    content = {
        "a.csv": f'text,label\r\n"{TEXT}\n",x\r\nb,y',
        "a.jsonl": rows,
        "b.jsonl": f"[{rows}]".replace("\n", ",\n"),
    }
    return {name: text.encode(encoding) for name, text in content.items()}


@pytest.mark.parametrize("configured", ["utf-8", "latin-1", "utf-16"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\0\0"),
        ("utf-32-be", b"\0\0\xfe\xff"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "b.jsonl"])
def test_a_byte_order_mark_wins(
    tmp_path: Path, name: str, encoding: str, mark: bytes, configured: str
) -> None:
    raw = mark + files_of(encoding)[name]
    for content in (raw, gzip.compress(raw)):
        rows = read_bytes(tmp_path / name, content, encoding=configured, shard_bytes=16)
        assert usable(rows) == [(f"{TEXT}\n".encode(), b"x"), (b"b", b"y")]
        check(tmp_path / name, encoding=configured)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_text_files_with_a_byte_order_mark(tmp_path: Path, mark: str) -> None:
    for label in "xy":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_bytes(TEXT.encode(mark))
    assert usable(read_all(tmp_path)) == [(TEXT.encode(), b"x"), (TEXT.encode(), b"y")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "gb18030", "utf-7"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "b.jsonl"])
def test_any_encoding_can_be_configured(tmp_path: Path, name: str, encoding: str) -> None:
    rows = read_bytes(tmp_path / name, files_of(encoding)[name], encoding=encoding, shard_bytes=16)
    assert usable(rows) == [(f"{TEXT}\n".encode(), b"x"), (b"b", b"y")]


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "b.jsonl"])
def test_utf16_without_a_mark_in_either_order(tmp_path: Path, name: str, order: str) -> None:
    rows = read_bytes(tmp_path / name, files_of(f"utf-16-{order}")[name], encoding="UTF-16")
    assert usable(rows) == [(f"{TEXT}\n".encode(), b"x"), (b"b", b"y")]


def test_bytes_that_cannot_be_decoded_cost_one_row(tmp_path: Path) -> None:
    # A half of a surrogate pair, and a last byte that is half a character.
    raw = b"\xff\xfe" + "text,label\na,x\nb".encode("utf-16-le")
    raw += b"\x3d\xd8" + ",x\nc,y\nd,z".encode("utf-16-le") + b"\x0a"
    path = tmp_path / "a.csv"
    row, bad, good, last = read_bytes(path, raw)
    assert row == Row(b"a", b"x", str(path), 2)
    assert bad == BadRow(
        str(path), 3, "the text is not valid in the source's encoding: 'b\\udcff'", "encoding"
    )
    assert good == Row(b"c", b"y", str(path), 4)
    assert isinstance(last, BadRow)
    assert last.problem == "encoding"

    path = tmp_path / "a.jsonl"
    raw = '{"text": "a'.encode("utf-16-le") + b"\x3d\xd8" + '", "label": "x"}\n'.encode("utf-16-le")
    raw += '{"text": "b", "label": "x"}\n'.encode("utf-16-le")
    bad, good = read_bytes(path, raw, encoding="utf-16-le")
    assert bad == BadRow(str(path), 1, "not valid utf-16-le", "encoding")
    assert good == Row(b"b", b"x", str(path), 2)


@pytest.mark.parametrize(
    "encoding", ["utf-9", "base64", "rot13", "undefined", "a\0b", "", "idna", "punycode"]
)
def test_what_is_not_an_encoding(encoding: str) -> None:
    with pytest.raises(UserError) as error:
        check_encoding(row_format(encoding=encoding))
    assert str(error.value) == (
        f"example_gen.encoding {encoding!r} is not an encoding that Python knows, such as utf-8,"
        " utf-16 or latin-1."
    )


@pytest.mark.parametrize(
    ("encoding", "advice"),
    [
        ("utf-16-le", "it is UTF-16 without a byte order mark. Set .* to 'utf-16-le'"),
        ("utf-16-be", "it is UTF-16 without a byte order mark. Set .* to 'utf-16-be'"),
        ("utf-32-le", "it is UTF-32 without a byte order mark. Set .* to 'utf-32-le'"),
    ],
)
def test_wide_encodings_without_a_mark_are_named(
    tmp_path: Path, encoding: str, advice: str
) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\na,x\n".encode(encoding))
    with pytest.raises(UserError, match=rf"a\.csv has no column 'text' .*; {advice}\."):
        check(tmp_path / "a.csv")


def test_a_header_that_is_not_utf8_names_an_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("cat\u00e9gorie,text\nx,a\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"it is not utf-8: .*Set .*encoding .* such as 'cp1252'"):
        check(tmp_path / "a.csv", label="cat\u00e9gorie")
