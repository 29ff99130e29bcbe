from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.example_gen import ExampleGenParams, check, sources, spans
from seqline.errors import DataError, UserError
from seqline.storage.listing import Entry
from tests.components.example_gen.support import read_all, window, write


def test_spans_are_numbers_in_names(tmp_path: Path) -> None:
    for name in ("2/a.csv", "10/a.csv", "10/b.csv", "tmp/a.csv"):
        write(tmp_path / name)
    pattern = tmp_path / "{SPAN}" / "*.csv"
    assert window(pattern) == [(2, None, ["2/a.csv"]), (10, None, ["10/a.csv", "10/b.csv"])]
    assert window(pattern, window=1) == [(10, None, ["10/a.csv", "10/b.csv"])]
    assert window(pattern, span=2, window=5) == [(2, None, ["2/a.csv"])]
    assert window(pattern, span=10) == window(pattern)
    with pytest.raises(
        UserError,
        match=r"example_gen\.span 3 does not exist; example_gen\.source '.*' has 2: 2, 10\.",
    ):
        check(ExampleGenParams(source=str(pattern), span=3))


def test_spans_of_a_width(tmp_path: Path) -> None:
    for name in ("001.csv", "002.csv", "0003.csv", "4.csv"):
        write(tmp_path / name)
    assert window(tmp_path / "{SPAN:3}.csv") == [(1, None, ["001.csv"]), (2, None, ["002.csv"])]
    write(tmp_path / "1.csv")
    with pytest.raises(DataError, match=r"001\.csv and .*/1\.csv are both span 1; remove one"):
        window(tmp_path / "{SPAN}.csv")


def test_the_highest_version_of_a_span_is_taken(tmp_path: Path) -> None:
    for name in ("1/v2/a.csv", "1/v10/a.csv", "1/v10/b.csv", "1/v9/a.csv", "2/v1/a.csv"):
        write(tmp_path / name)
    assert window(tmp_path / "{SPAN}" / "v{VERSION}" / "*.csv") == [
        (1, 10, ["1/v10/a.csv", "1/v10/b.csv"]),
        (2, 1, ["2/v1/a.csv"]),
    ]


def test_dates_are_days_since_1970(tmp_path: Path) -> None:
    for name in ("1970/01/1970-01-01.csv", "2024/02/2024-02-29.csv", "2024/02/2024-03-01.csv"):
        write(tmp_path / name)
    # 2024-02-29: 54 years of 365 days, 13 leap days before 2024, and 31 + 28 days of 2024.
    expected = [
        (0, None, ["1970/01/1970-01-01.csv"]),
        (54 * 365 + 13 + 31 + 28, None, ["2024/02/2024-02-29.csv"]),
    ]
    assert window(tmp_path / "{YYYY}" / "{MM}" / "{YYYY}-{MM}-{DD}.csv") == expected
    write(tmp_path / "2023" / "02" / "2023-02-29.csv")
    with pytest.raises(DataError, match=r"2023-02-29\.csv: 2023-02-29 is not a date since 1970"):
        window(tmp_path / "{YYYY}" / "{MM}" / "{YYYY}-{MM}-{DD}.csv")


def test_splits_must_have_the_same_spans(tmp_path: Path) -> None:
    for name in ("1/train.csv", "1/test.csv", "2/train.csv"):
        write(tmp_path / name)
    table = {name: str(tmp_path / "{SPAN}" / f"{name}.csv") for name in ("train", "test")}
    with pytest.raises(
        DataError, match=r"Span 2 exists for train and not for test \('.*/\{SPAN\}/test\.csv'\)"
    ):
        check(ExampleGenParams(source=table))

    (span,) = sources.window(ExampleGenParams(source=table, span=1))
    assert [(part.split, [Path(file.path).name for file in part.files]) for part in span.parts] == [
        ("train", ["train.csv"]),
        ("test", ["test.csv"]),
    ]

    table = {
        name: str(tmp_path / "{SPAN}" / f"{name}.{{VERSION}}.csv") for name in ("train", "test")
    }
    for name in ("1/train.1.csv", "1/train.2.csv", "1/test.1.csv"):
        write(tmp_path / name)
    with pytest.raises(DataError, match="Span 1 has the versions 2 of train, 1 of test"):
        check(ExampleGenParams(source=table))


def test_spans_of_folders(tmp_path: Path) -> None:
    for span in "12":
        for name in "ab":
            write(tmp_path / f"day-{span}" / name / "1.txt", f"{name}{span}".encode())
    assert [(number, sorted(names)) for number, _, names in window(tmp_path / "day-{SPAN}")] == [
        (1, ["1/a/1.txt", "1/b/1.txt"]),
        (2, ["2/a/1.txt", "2/b/1.txt"]),
    ]
    assert sorted(row[0] for row in read_all(tmp_path / "day-{SPAN}", window=1)) == [b"a2", b"b2"]
    write(tmp_path / "day-3" / "a" / "1.txt")
    with pytest.raises(DataError, match="day-3 holds 1 class folders"):
        check(ExampleGenParams(source=str(tmp_path / "day-{SPAN}")))


def test_without_a_placeholder_there_is_span_0(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    assert window(path, span=0, window=3) == [(0, None, [""])]
    with pytest.raises(UserError, match=r"example_gen\.span 1 does not exist; .* has 1: 0\."):
        window(path, span=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 0),
        ("window", "latest"),
        ("window", 1.0),
        ("span", -1),
        ("span", "all"),
        ("span", True),
    ],
)
def test_spans_that_cannot_be(name: str, value: object) -> None:
    with pytest.raises(
        ValidationError, match=r"1 validation error(.|\n)*should be a whole number of at least"
    ):
        ExampleGenParams(source="a", **{name: value})


def test_the_choice_of_spans_is_no_part_of_the_key() -> None:
    fields = ExampleGenParams(source="a", span=3, window=2).key_fields()
    assert not {"source", "data_dir", "span", "window"} & set(fields)


@given(st.integers(0, 10**6), st.integers(0, 99))
def test_spans_are_found_where_they_were_written(number: int, version: int) -> None:
    file = Entry(f"a/{number}-{version:02d}.csv")
    ((span, group),) = spans.group("a/{SPAN}-{VERSION:2}.csv", [file]).items()
    assert (span, group.version, group.entries) == (number, version, [file])
