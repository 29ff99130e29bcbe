"""Contents that cannot be used, and what is said of them."""

import datetime
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqline.errors import UserError
from seqline.rows.row import Row
from seqline.rows.values import UnusableError, to_json
from tests.support.source_files import (
    check,
    example,
    read_all,
    read_bytes,
    reasons,
    usable,
    write_tfrecord,
)


@pytest.mark.parametrize(
    ("value", "reason", "problem"),
    [
        (None, "the tokens are None, not a list of strings", "missing text"),
        ("a b", "the tokens are 'a b', not a list of strings", "type"),
        ([], "the list of tokens is empty", "empty text"),
        (["a", ""], "token 2 is empty", "format"),
        (["a", 1], "token 2 is 1, not a string", "type"),
        (["a\n"], "token 1, 'a\\n', holds control characters or line ends", "format"),
        (["a", "b\u2028"], "token 2, 'b\\u2028', holds control characters or line ends", "format"),
        (["\u0085"], "token 1, '\\x85', holds control characters or line ends", "format"),
        (["\ud800"], "token 1 is not valid in the source's encoding: '\\ud800'", "encoding"),
    ],
)
def test_tokens_that_cannot_be_used(tmp_path: Path, value: Any, reason: str, problem: str) -> None:
    content = json.dumps({"text": value, "label": "x"}).encode()
    assert reasons(read_bytes(tmp_path / "a.jsonl", content, content="tokens")) == [
        (1, reason, problem)
    ]


@pytest.mark.parametrize(
    ("value", "reason", "problem"),
    [
        (
            "null",
            "the sequence is None, not a list of equally long lists of numbers",
            "missing text",
        ),
        ("7", "the sequence is 7, not a list of equally long lists of numbers", "type"),
        ("[]", "the sequence is empty", "empty text"),
        ("[[], []]", "the sequence is empty", "empty text"),
        ("[[1, 2], [3]]", "the sequence has time steps of different lengths", "format"),
        (
            "[[1, 2], [3, NaN]]",
            "time step 2 holds a number that is not finite in float32",
            "format",
        ),
        (
            "[[1, 2], [3, 1e39]]",
            "time step 2 holds a number that is not finite in float32",
            "format",
        ),
        ("[[1, 2], [3, null]]", "the sequence holds None, not only numbers", "type"),
        ('[[1, "2"]]', "the sequence holds '2', not only numbers", "type"),
        ("[[true, false]]", "the sequence holds True, not only numbers", "type"),
        ("[[1, 2], [3, true]]", "the sequence holds True, not only numbers", "type"),
        ("[1, false]", "the sequence holds False, not only numbers", "type"),
        (f"[[{2**70}, null]]", "the sequence holds None, not only numbers", "type"),
        (f"[[{2**70}, true]]", "the sequence holds True, not only numbers", "type"),
        (
            f"[[1, 2], [3, {10**39}]]",
            "time step 2 holds a number that is not finite in float32",
            "format",
        ),
        (
            f"[[1, 2], [3, {10**400}]]",
            "the sequence holds an integer that is not finite in float32",
            "format",
        ),
        ("[[1, 2, 3]]", "a time step has 3 numbers, not example_gen.dim 2", "format"),
        (
            "[1, 2, 3]",
            "3 numbers are not a whole number of time steps of example_gen.dim 2",
            "format",
        ),
        ("[[[1, 2]]]", "the sequence has 3 dimensions, not [time, dim]", "format"),
    ],
)
def test_sequences_that_cannot_be_used(
    tmp_path: Path, value: str, reason: str, problem: str
) -> None:
    content = f'{{"text": {value}, "label": "x"}}'.encode()
    assert reasons(read_bytes(tmp_path / "a.jsonl", content, content="sequence", dim=2)) == [
        (1, reason, problem)
    ]


def test_flat_sequences_need_dim(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.jsonl", b'{"text": [1, 2], "label": "x"}', content="sequence")
    assert reasons(rows) == [
        (
            1,
            (
                "the sequence has 1 dimensions, not [time, dim]; set example_gen.dim to cut a flat"
                " list into time steps"
            ),
            "format",
        )
    ]

    path = write_tfrecord(tmp_path / "a.tfrecord", [example(text=[1, 2, 3, 4], label=[b"x"])])
    with pytest.raises(UserError, match=r"holds flat lists of numbers: set example_gen\.dim"):
        check(path, content="sequence")

    ((content, _),) = usable(read_all(path, content="sequence", dim=2))
    assert content.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "label",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian with U+200C
        "\U0001f469\u200d\U0001f4bb",  # an emoji sequence
        "\U0001fac9",  # an emoji of Unicode 16, which no supported Python knows
        "\u2764\ufe0f",
        "a\u00a0b",
        "co\u00adop",
        "\ue000",  # private use
        "\u0378",  # not assigned
        "a\u202eb",
        "a\ufeffb",
    ],
)
def test_labels_may_hold_all_but_control_characters(tmp_path: Path, label: str) -> None:
    content = json.dumps({"text": "a", "label": label}).encode()
    path = tmp_path / "a.jsonl"
    assert read_bytes(path, content) == [Row(b"a", label.encode(), str(path), 1)]


@pytest.mark.parametrize(
    ("label", "code"),
    [("a\x00", "0000"), ("a\tb", "0009"), ("a\u0085b", "0085"), ("a\u2028b", "2028")],
)
def test_labels_must_not_hold_control_characters(tmp_path: Path, label: str, code: str) -> None:
    content = json.dumps({"text": "a", "label": label}).encode()
    (bad,) = read_bytes(tmp_path / "a.jsonl", content)
    assert bad.reason == f"the label {label!a} holds the control character U+{code}"


def test_labels_are_normalised_as_texts_are(tmp_path: Path) -> None:
    written = ["caf\u00e9", "cafe\u0301", "bad", "bad ", "\u00a0bad", "Bad", "\u200b "]
    content = "".join(json.dumps({"text": "a", "label": label}) + "\n" for label in written)
    *rows, blank = read_bytes(tmp_path / "a.jsonl", content.encode())

    assert [(row.label.decode(), row.label_as_written) for row in rows] == [
        ("caf\u00e9", None),
        ("caf\u00e9", "cafe\u0301"),
        ("bad", None),
        ("bad", "bad "),
        ("bad", "\u00a0bad"),
        ("Bad", None),
    ]
    assert (blank.reason, blank.problem) == ("the label is empty", "empty label")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("1.0", b"1"),
        ("-0.0", b"0"),
        ("1e3", b"1000"),
        ("9007199254740991.0", b"9007199254740991"),
        ("12345678901234567890", b"12345678901234567890"),
        ("true", b"True"),
        ('"1.0"', b"1.0"),
    ],
)
def test_whole_numbers_are_labels(tmp_path: Path, value: str, label: bytes) -> None:
    path = tmp_path / "a.jsonl"
    content = f'{{"text": "a", "label": {value}}}'.encode()
    assert read_bytes(path, content) == [Row(b"a", label, str(path), 1)]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**53 + 1, 9007199254740993),
        (np.int64(2**53 + 1), 9007199254740993),
        (np.array([2**53 + 1]), [9007199254740993]),
        (16777217.0, 16777217.0),
        (np.float32(0.5), 0.5),
        (True, True),
        (np.bool_(False), False),
        (None, None),
        (math.nan, None),
        (math.inf, "Infinity"),
        ([-math.inf, np.float64(1.5)], ["-Infinity", 1.5]),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (datetime.datetime(9999, 12, 31, 23, 59, 59, 1), "9999-12-31 23:59:59.000001"),
        (datetime.date(1, 1, 1), "0001-01-01"),
        (datetime.timedelta(days=1, microseconds=1), "1 day, 0:00:00.000001"),
        ("caf\u00e9", "caf\u00e9"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"\xff\x00a", {"b64": "/wBh"}),
        ("\udcff\x00a", {"b64": "/wBh"}),  # as bytes are decoded
        ({"a": {"b": [b"\xff", 2**63]}}, {"a": {"b": [{"b64": "/w=="}, 2**63]}}),
        ([("k", 1), ("k", 2)], [["k", 1], ["k", 2]]),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
    ],
)
def test_a_value_to_keep_loses_nothing(value: Any, kept: Any) -> None:
    held = to_json(value)
    assert held == kept
    assert type(held) is type(kept)
    json.dumps(held, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("\ud800", "a value to keep is not valid in the source's encoding: '\\ud800'"),
        ({1: "a", "1": "b"}, "the key '1' of a value to keep is there twice as text"),
        ({"\udcff": 1}, "the key '\\udcff' of a value to keep is not text"),
    ],
)
def test_a_value_to_keep_that_would_lose_something_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(UnusableError) as raised:
        to_json(value)
    assert raised.value.args[0] == reason


def test_integers_beyond_64_bits_are_numbers(tmp_path: Path) -> None:
    content = f'{{"text": [[{2**70}, -1], [{-(2**65)}, 2]], "label": "x"}}'.encode()
    (row,) = read_bytes(tmp_path / "a.jsonl", content, content="sequence")
    assert isinstance(row, Row)
    assert row.content.tolist() == [[2.0**70, -1.0], [-(2.0**65), 2.0]]
