"""JSON that is not one object a line: arrays, objects over several lines, and other shapes."""

import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqline.errors import DataError, UserError
from seqline.rows import json_stream
from seqline.rows.row import BadRow, Row
from tests.support.source_files import check, read_bytes

TWO = [{"text": "a", "label": "x"}, {"text": "b]}", "label": "y"}]


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.jsonl"])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (json.dumps(TWO), (1, 1)),
        (json.dumps(TWO, indent=2), (2, 6)),
        ("\n\ufeff\n[\n\n" + ",\n".join(map(json.dumps, TWO)) + "\n]\n", (5, 6)),
        ("".join(json.dumps(row, indent=1) + "\n" for row in TWO), (1, 5)),
        ("".join(json.dumps([row]) + "\n" for row in TWO), (1, 2)),
        ("\n".join(map(json.dumps, TWO)), (1, 2)),
        (",\n".join(map(json.dumps, TWO)) + ",\n", (1, 2)),
        ("".join(map(json.dumps, TWO)), (1, 1)),
    ],
    ids=["one line", "indented", "each", "no array", "arrays", "lines", "commas", "no line ends"],
)
def test_rows_and_their_lines(
    tmp_path: Path, name: str, content: str, lines: tuple[int, int]
) -> None:
    path = tmp_path / name
    assert read_bytes(path, content.encode(), shard_bytes=20) == [
        Row(b"a", b"x", str(path), lines[0]),
        Row(b"b]}", b"y", str(path), lines[1]),
    ]
    check(path)


def test_elements_that_are_bad_cost_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = (
        '[{"text": "a", "label": "x"},\n{"text": "b" "label": "x"},\n7,\n{"label": "x"},\n'
        '{"text": "}", label: {"x": "]"}},\nnope,\n{"text": "c", "label": "x"}]'
    )
    assert read_bytes(path, content.encode()) == [
        Row(b"a", b"x", str(path), 1),
        BadRow(str(path), 2, "not JSON: Expecting ',' delimiter", "format"),
        BadRow(str(path), 3, "7 is not a JSON object", "format"),
        BadRow(str(path), 4, "no field 'text'", "missing text"),
        BadRow(
            str(path), 5, "not JSON: Expecting property name enclosed in double quotes", "format"
        ),
        BadRow(str(path), 6, "not JSON: Expecting value", "format"),
        Row(b"c", b"x", str(path), 7),
    ]


@pytest.mark.parametrize("end", ["", ",", ',\n{"text": "b', ',\n{"text": "b", "label": "y"}'])
def test_an_array_that_ends_too_early_is_a_damage(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.json"
    begins = 2 if end.endswith("b") else 1
    last = 2 if end.endswith("}") else 1
    with pytest.raises(DataError) as error:
        read_bytes(path, f'[{{"text": "a", "label": "x"}}{end}'.encode())
    assert str(error.value) == (
        f"{path} is damaged after line {last}: what begins in line {begins} has no end. Make or"
        " copy the file again, or remove it from the source."
    )


def test_arrays_without_rows(tmp_path: Path) -> None:
    for content in (b"[]", b" [\n]\n"):
        assert read_bytes(tmp_path / "a.json", content) == []
        with pytest.raises(DataError, match=r"a\.json has no row\."):
            check(tmp_path / "a.json")


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_values_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(json_stream, "READ_CHARS", size)
    text = '[{"a": "\\"} ]\\\\"}, 12 ,[3, {"b": 4}],\nnull, tru, "c,d"]'
    assert list(json_stream.values(io.StringIO(text))) == [
        ({"a": '"} ]\\'}, 1, ""),
        (12, 1, ""),
        # An array within is passed over as the outer one is.
        (3, 1, ""),
        ({"b": 4}, 1, ""),
        (None, 2, ""),
        (json_stream.MISSING, 2, "not JSON: Expecting value"),
        ("c,d", 2, ""),
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"version": 1, "data": TWO},
            "its rows are the list 'data' of one object. Write them one a line: jq -c"
            " '.[\"data\"][]' FILE > NEW.jsonl.",
        ),
        (
            {"text": {"0": "a"}, "label": {"0": "x"}},
            "it is one object of columns (pandas' orient='columns'), not of rows: 'text' is {'0':"
            " 'a'}. Write them one a line: pandas.read_json(FILE).to_json(NEW, orient='records',"
            " lines=True).",
        ),
        (
            {"columns": ["text", "label"], "index": [0], "data": [["a", "x"]]},
            "it is one object of columns and data (pandas' orient='split'). Write its rows one a"
            " line: pandas.read_json(FILE, orient='split').to_json(NEW, orient='records',"
            " lines=True).",
        ),
        (
            {"0": TWO[0], "1": TWO[1]},
            "it is one object whose fields are the rows. Write them one a line: jq -c '.[]' FILE >"
            " NEW.jsonl.",
        ),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_documents_that_are_no_rows_are_named(
    tmp_path: Path, document: object, message: str, indent: int | None
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document, indent=indent))
    with pytest.raises(UserError) as error:
        check(path)
    assert str(error.value) == f"{path} does not hold rows: {message}"


# Nested fields

NESTED = b'{"review": {"text": "a", "by": [{"n": "x"}]}, "review.text": "exact"}\n'


def test_nested_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = read_bytes(path, NESTED, text="review.text", label="review.by.0.n")
    assert rows == [Row(b"exact", b"x", str(path), 1)]

    content = NESTED.split(b', "review.')[0] + b'}\n{"review": null}\n{"review": {"text": "b"}}\n'
    rows = read_bytes(path, content, text="review.text", label="review.by.0.n")
    assert rows == [
        Row(b"a", b"x", str(path), 1),
        BadRow(str(path), 2, "no field 'review.text'", "missing text"),
        BadRow(str(path), 3, "no field 'review.by.0.n'", "missing label"),
    ]
    check(path, text="review.text", label="review.by.0.n")


def test_a_nested_field_is_suggested(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"review": {"text": "a"}, "label": "x"}\n')
    with pytest.raises(UserError) as error:
        check(path)
    assert str(error.value) == (
        f"{path} has no column 'text' (example_gen.text); it has 'review', 'review.text', 'label'."
        " Did you mean 'review.text'? Set example_gen.text to one of them."
    )


def test_a_field_that_is_an_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = read_bytes(path, b'{"text": {"en": "a"}, "label": "x"}\n')
    assert rows == [BadRow(str(path), 1, "the text is {'en': 'a'}, not a string", "type")]


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    shape=st.sampled_from(["array", "objects", "lines"]),
    size=st.integers(1, 100),
)
def test_any_texts_in_any_layout_are_the_same_rows(
    texts: list[str], indent: int | None, ascii_only: bool, encoding: str, shape: str, size: int
) -> None:
    rows = [{"text": text, "label": "x"} for text in texts]
    if shape == "array":
        content = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    else:
        indent = indent if shape == "objects" else None
        content = "\n".join(json.dumps(row, indent=indent, ensure_ascii=ascii_only) for row in rows)

    with tempfile.TemporaryDirectory() as folder:
        read = read_bytes(Path(folder, "a.json"), content.encode(encoding), shard_bytes=size)
    assert [row.content if isinstance(row, Row) else row.reason for row in read] == [
        text.encode() if text.strip() else "the text is empty" for text in texts
    ]
