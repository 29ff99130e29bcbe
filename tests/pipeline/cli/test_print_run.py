"""`seqline show` for people: short lines, whatever the figures are."""

from typing import Any

import pytest

from pipeline.cli.print_run import lines, plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "yes"),
        (None, "-"),
        (1234567, "1,234,567"),
        (0.884, "0.884"),
        (3e-7, "3.0e-07"),
        (12345.6, "12,346"),
        ("text", "text"),
        ([], "none"),
        ([1, 2], "1, 2"),
        (list(range(100)), "0, 1, 2, 3, 4, 5, 6, 7, ... 92 more (--json for all)"),
        ({"eval": 0.5, "test": 0.25}, "eval 0.5, test 0.25"),
        ([{"a": 1}] * 30, "30 entries (--json for all)"),
    ],
)
def test_a_value_in_a_line(value: Any, expected: str) -> None:
    assert plain(value) == expected


def test_a_long_text_is_cut() -> None:
    assert plain("x" * 1000) == "x" * 300 + "... (--json for all)"


def test_tables_and_gates_have_a_line_for_each() -> None:
    figures = {
        "num_rows": {"train": {"yes": 2, "no": 1}, "test": {"yes": 1}},
        "gates": [
            {"name": "accuracy", "passed": False, "reason": "too low"},
            {"name": "size", "passed": None, "reason": "not set"},
        ],
        "lines": ["a sentence that is longer than forty characters is"] * 10,
    }
    told = [(name, text.plain) for name, text in lines(figures)]

    assert told[:4] == [
        ("num_rows", "train: yes 2, no 1"),
        ("", "test: yes 1"),
        ("gates", "REFUSED accuracy: too low"),
        ("", "-       size: not set"),
    ]
    assert told[4] == ("lines", "a sentence that is longer than forty characters is")
    assert told[-1] == ("", "... 2 more (--json for all)")
    assert len(told) == 13
