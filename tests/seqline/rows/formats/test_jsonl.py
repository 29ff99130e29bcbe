import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqline.errors import UserError
from seqline.rows.row import BadRow, Row
from tests.support.source_files import check, read_bytes


def test_jsonl_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = (
        b'{"text": "a", "label": 1}\n{"text": "b", "label": true}\n{"text": "c", "label":'
        b' 1.5}\n{"text": "d", "label": null}\n{"text": "e", "label": "x\\u0000y"}\n'
    )
    assert read_bytes(path, content) == [
        Row(b"a", b"1", str(path), 1),
        Row(b"b", b"True", str(path), 2),
        BadRow(
            str(path),
            3,
            "the label is 1.5, not a string or a whole number: write classes as strings",
            "type",
        ),
        BadRow(str(path), 4, "the label is None, not a string or a whole number", "missing label"),
        BadRow(str(path), 5, "the label 'x\\x00y' holds the control character U+0000", "format"),
    ]


@pytest.mark.parametrize("header", ["text,label", "\ufefftext;label", '"id"\t"text"\t"label"'])
def test_jsonl_that_is_csv(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"\n{header}\na,x\n")
    with pytest.raises(UserError) as error:
        check(path)
    shown = ascii(header.removeprefix("\ufeff"))
    assert str(error.value) == f"{path} holds CSV: its first line is {shown}. Name it .csv."


def test_jsonl_bad_rows_name_their_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = (
        b'\xef\xbb\xbf{"text": "a", "label": "x"}\n{"label": "x"}\n{"text": "a"}\n\n[1,'
        b' 2]\n{"text": null, "label": "x"}\n{"text": "", "label": "x"}\n{"text": 7, "label":'
        b' "x"}\n{"text": "caf\xe9", "label": "x"}\n{"text": "\\ud800", "label": "x"}\nno\n'
        b' "text"\n {"text": "b", "label": "x"} \r\n{"text": "b", "label": "x"} {}\n'
    )

    assert read_bytes(path, content) == [
        Row(b"a", b"x", str(path), 1),
        BadRow(str(path), 2, "no field 'text'", "missing text"),
        BadRow(str(path), 3, "no field 'label'", "missing label"),
        BadRow(str(path), 5, "[1, 2] is not a JSON object", "format"),
        BadRow(str(path), 6, "the text is None, not a string", "missing text"),
        BadRow(str(path), 7, "the text is empty", "empty text"),
        BadRow(str(path), 8, "the text is 7, not a string", "type"),
        BadRow(str(path), 9, "not valid utf-8: byte 13 is 0xe9", "encoding"),
        BadRow(
            str(path), 10, "the text is not valid in the source's encoding: '\\ud800'", "encoding"
        ),
        BadRow(str(path), 11, "not JSON: Expecting value: line 1 column 1 (char 0)", "format"),
        BadRow(str(path), 12, "'text' is not a JSON object", "format"),
        Row(b"b", b"x", str(path), 13),
        BadRow(str(path), 14, "not JSON: Extra data: line 1 column 29 (char 28)", "format"),
    ]


def test_jsonl_row_nested_too_deep_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bad, good = read_bytes(path, b"[" * 100_000 + b'\n{"text": "a", "label": "x"}\n')
    assert isinstance(bad, BadRow)
    assert bad.line == 1
    assert good == Row(b"a", b"x", str(path), 2)


SHARDED = (
    '\ufeff{"text": "a\u2028b", "label": "x"}\n\n{"text": "\u00fc\u0085", "label":'
    ' 1}\r\n{}\n{"text": "end", "label": "y"}'
)


@pytest.mark.parametrize("size", range(1, 61))
def test_jsonl_shards_of_any_size_give_each_row_once_with_its_line(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "a.jsonl"
    assert read_bytes(path, SHARDED.encode(), shard_bytes=size) == [
        Row("a\u2028b".encode(), b"x", str(path), 1),
        Row("\u00fc\u0085".encode(), b"1", str(path), 3),
        BadRow(str(path), 4, "no field 'text'", "missing text"),
        Row(b"end", b"y", str(path), 5),
    ]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=8),
    size=st.integers(1, 80),
    ascii_only=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_jsonl_of_any_texts_reads_the_same_in_any_shards(
    texts: list[str], size: int, ascii_only: bool, newline: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        lines = [
            json.dumps({"text": text, "label": "x"}, ensure_ascii=ascii_only) for text in texts
        ]

        step = newline.count("\n")
        assert read_bytes(path, newline.join(lines).encode(), shard_bytes=size) == [
            (
                Row(text.encode(), b"x", str(path), 1 + step * number)
                if text.strip()
                else BadRow(str(path), 1 + step * number, "the text is empty", "empty text")
            )
            for number, text in enumerate(texts)
        ]
