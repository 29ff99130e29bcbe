"""The same rows give the same Examples in every form, split into any shards."""

import csv
import tempfile
import unicodedata
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.example_gen import ExampleGenParams
from seqline.data import labels
from seqline.data.features import SPLITS
from seqline.rows.row import BadRow, Row
from tests.components.example_gen.support import make, read_all, read_examples
from tests.support import forms
from tests.support.forms import Form, Rows

QUOTING = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL}
HEADERLESS = {"columns": ["text", "label"]}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis")
KINDS = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))


@st.composite
def csv_forms(draw: st.DrawFn) -> Form:
    delimiter = draw(st.sampled_from(",;\t|"))
    encoding = draw(st.sampled_from(ENCODINGS))
    compression = draw(st.sampled_from(sorted(forms.COMPRESSIONS)))
    has_header = draw(st.booleans())
    quoting = draw(st.sampled_from(["minimal", "all", "none"]))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))

    how: dict[str, object] = {} if has_header else dict(HEADERLESS)
    # A file tells its own encoding only by a mark, and its delimiter only by a header.
    if encoding not in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        how["encoding"] = encoding
    if not has_header or draw(st.booleans()):
        how["delimiter"] = delimiter

    if quoting == "none":
        return forms.text_form(
            ".csv",
            lambda rows: forms.unquoted(rows, delimiter, has_header),
            {**how, "quoting": "none"},
            encoding,
            compression,
            lambda text, label: not set(f"{delimiter}\r\n\ufeff") & set(text + label),
        )
    return forms.text_form(
        ".csv",
        lambda rows: forms.as_csv(rows, delimiter, QUOTING[quoting], has_header, line_end),
        {**how, "quoting": "double"},
        encoding,
        compression,
        # A mark at the start of a file is no text. Not every Python quotes a lone \\r.
        lambda text, label: (
            not text.startswith("\ufeff") and (quoting == "all" or "\r" not in text + label)
        ),
    )


@st.composite
def json_forms(draw: st.DrawFn) -> Form:
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    compression = draw(st.sampled_from(sorted(forms.COMPRESSIONS)))
    shape = draw(st.sampled_from(["lines", "array", "indented", "nested"]))
    suffix = draw(st.sampled_from([".json", ".jsonl", ".ndjson"]))
    ascii_only = draw(st.booleans())

    how = {"text": "review.text", "label": "meta.own.label"} if shape == "nested" else {}
    content = {
        "lines": lambda rows: forms.json_lines(rows, ascii_only),
        "array": lambda rows: forms.json_array(rows, None),
        "indented": lambda rows: forms.json_array(rows, 2),
        "nested": forms.nested_lines,
    }[shape]
    return forms.text_form(suffix, content, how, encoding, compression)


@st.composite
def binary_forms(draw: st.DrawFn) -> Form:
    kind = draw(st.sampled_from(KINDS))
    group = draw(st.integers(1, 5))
    is_stream = draw(st.booleans())
    return draw(
        st.sampled_from(
            [
                Form(".parquet", lambda rows, path: forms.write_parquet(rows, path, kind, group)),
                Form(".arrow", lambda rows, path: forms.write_arrow(rows, path, kind, is_stream)),
            ]
        )
    )


# Any text, and those that formats and delimiters stumble over.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(['"', 'say "so"', "a,b;c\td|e", "two\nlines", "a\r\nb", " ", "\ufeffx", "'"]),
)
LABELS = st.one_of(
    st.sampled_from(["pos", "neg", "caf\u00e9", "cafe\u0301", "pos ", " neg", "\u00a0", "1"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4),
    # Labels of nothing but invisible characters are empty: tests/seqline/data/test_labels.py.
).filter(lambda label: not labels.is_blank(label) or not label.strip())


def shards_of(rows: Rows, cuts: list[int]) -> list[Rows]:
    """The rows cut at these places; equal places give an empty shard."""
    places = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [rows[start:end] for start, end in pairwise(places)]


def usable(text: str, label: str) -> tuple[bytes, bytes] | None:
    """(content, label) of the row by the rules of docs/data.md; None for one that is skipped."""
    name = unicodedata.normalize("NFC", label).strip()
    has_control = any(unicodedata.category(char) == "Cc" or char in "\u2028\u2029" for char in name)
    if not text.strip() or not name or has_control:
        return None
    return text.encode(), name.encode()


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(csv_forms(), json_forms(), binary_forms()),
    st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=3),
)
def test_rows_in_any_form(form: Form, rows: list[tuple[str, str]], cuts: list[int]) -> None:
    rows = [row for row in rows if form.lossless(*row)]
    assume(rows)  # A source without any row is refused.
    with tempfile.TemporaryDirectory() as folder:
        for number, shard in enumerate(shards_of(rows, cuts)):
            # Some programs write no byte for a shard without rows, others a header.
            path = Path(folder, f"part-{number}{form.suffix}")
            if shard or number % 2:
                form.write(shard, path)
            else:
                path.touch()

        read = read_all(f"{folder}/part-*{form.suffix}", **form.settings)

    good = [(row.content, row.label) for row in read if isinstance(row, Row)]
    bad = [row for row in read if isinstance(row, BadRow)]
    expected = [usable(*row) for row in rows]
    assert good == [row for row in expected if row is not None]
    assert len(bad) == expected.count(None)


FORMS = {
    "tsv": forms.text_form(
        ".tsv", lambda rows: forms.as_csv(rows, "\t", csv.QUOTE_ALL, True, "\r\n"), {}, "utf-16"
    ),
    "headerless": forms.text_form(
        ".csv",
        lambda rows: forms.as_csv(rows, ";", csv.QUOTE_MINIMAL, False, "\n"),
        {**HEADERLESS, "delimiter": ";"},
        compression=".zst",
    ),
    "array": forms.text_form(".json", lambda rows: forms.json_array(rows, 2), {}),
    "parquet": Form(".parquet", lambda rows, path: forms.write_parquet(rows, path, KINDS[3], 7)),
    "arrow": Form(".arrow", lambda rows, path: forms.write_arrow(rows, path, KINDS[2], True)),
    "tfrecord": Form(".tfrecord", lambda rows, path: forms.write_tfrecord(rows, path, "ZLIB")),
}


def split_examples(form: Form, rows: Rows, folder: Path) -> dict[str, list[tuple[str, str]]]:
    """The Examples of rows in a form, in shards of which one is empty, by their splits."""
    folder.mkdir()
    for number, shard in enumerate([rows[:7], rows[7:7], rows[7:]]):
        form.write(shard, folder / f"part-{number}{form.suffix}")

    params = ExampleGenParams(source=f"{folder}/part-*{form.suffix}", **form.settings)
    figures = make(params, folder / "examples")
    num_used = sum(sum(counts.values()) for counts in figures["num_rows"].values())
    assert figures["num_read"] == num_used + figures["num_bad_rows"]
    assert figures["num_files"] + sum(each["count"] for each in figures["unused_files"]) == 3
    return {split: read_examples(folder / "examples", split) for split in SPLITS}


@pytest.mark.parametrize("name", FORMS)
def test_examples_of_any_form(name: str, tmp_path: Path) -> None:
    rows = [(f"text {number}, \u00fc", "pos" if number % 3 else "neg ") for number in range(60)]
    lines = forms.text_form(".jsonl", lambda rows: forms.json_lines(rows, False), {})
    plain = split_examples(lines, rows, tmp_path / "plain")
    assert sorted(row for split in plain.values() for row in split) == sorted(
        (text, label.strip()) for text, label in rows
    )
    assert split_examples(FORMS[name], rows, tmp_path / name) == plain
