"""Contents that cannot be used, and what is said of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from seqline.errors import UserError
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
