"""Records that are read entry by entry."""

import json
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import TypedDict

from seqline.storage import record_stream
from seqline.storage.record_stream import Entries, read_by_entry
from seqline.storage.records import Count, DamagedRecordError


class Span(TypedDict):
    rows: dict[str, Count]


class Window(TypedDict):
    content: str
    spans: dict[str, Span]
    newest: int | None


@dataclass(frozen=True)
class Listed:
    spans: tuple[Span, ...]
    content: str = ""


def num_rows(_: str, span: Span) -> int:
    return sum(span["rows"].values())


def read(path: Path, cls: Any = Window) -> Any:
    return read_by_entry(cls, path, {"spans": Entries(Span, num_rows)})


@pytest.mark.parametrize("num_chars", [1, 7, 1 << 18])
@pytest.mark.parametrize("indent", [None, 2])
def test_entries_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_chars: int, indent: int | None
) -> None:
    monkeypatch.setattr(record_stream, "READ_CHARS", num_chars)
    spans = {"3": {"rows": {"ä\n{": 12, "b": 345}}, "10": {"rows": {}}}
    window = {"content": 'te,x"t', "spans": spans, "newest": 10}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(window, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
    assert read(path) == ({**window, "spans": {}}, {"spans": {"3": 357, "10": 0}})

    path.write_text(json.dumps({"spans": list(spans.values()), "more": 1}, indent=indent))
    assert read(path, Listed) == (Listed(()), {"spans": {"0": 357, "1": 0}})

    path.write_text('{"content": "", "spans": {}, "newest": null}')
    assert read(path) == ({"content": "", "spans": {}, "newest": None}, {"spans": {}})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it holds no JSON object"),
        ("[]", "it holds no JSON object"),
        ("{}", "content: Field required"),
        ('{"content": "", "spans": [], "newest": 1}', "spans: Input should be an object"),
        ('{"content": "", "spans": 3, "newest": 1}', "spans: Input should be an object"),
        (
            '{"spans": {"3": {"rows": {"a": "1"}}}',
            "spans.3.rows.a: Input should be a valid integer",
        ),
        ('{"spans": {"3": {"rows": {}}, "3": {"rows": {}}}}', "spans.3 is there twice"),
        ('{"spans": {}, "spans": {}}', "spans is there twice"),
        ('{"spans": {"3": {"rows": {"a": 1,}}}}', "enclosed in double quotes: char 3"),
        ('{"spans": {"3": {"rows": {"a": 1', "Expecting ',' delimiter: char 32"),
        ('{"spans": {"3" {}}}', "Expecting ':': char 15"),
        ('{"spans": {3: {}}}', "a name is no string: char 12"),
        ('{"spans": {} "content": ""}', "Expecting ',': char 13"),
        ('{"spans": {}', "Expecting ',': char 12"),
        ('{"spans": {}} x', "Extra data: char 14"),
        ('{"spans": ' + '{"a":[' * 5000, "maximum recursion depth exceeded"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(DamagedRecordError) as error:
        read(path)
    assert str(error.value).startswith(f"{path} is damaged (")
    assert problem in str(error.value)
    assert str(error.value).endswith("). seqline run --verify makes it again.")


def test_a_record_that_is_not_utf8_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b'{"content": "\xff"}')
    with pytest.raises(DamagedRecordError, match="can't decode byte 0xff"):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.json")


def test_memory_does_not_follow_the_number_of_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_stream, "READ_CHARS", 1 << 14)
    path = tmp_path / "record.json"
    peaks = []
    for num_spans in (20, 200):
        span = {"rows": {f"class {label}": label for label in range(300)}}
        spans = {str(number): span for number in range(num_spans)}
        path.write_text(json.dumps({"content": "", "spans": spans, "newest": None}))

        tracemalloc.start()
        assert len(read(path)[1]["spans"]) == num_spans
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
