"""The normal form of labels."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqline.data import labels

CAFE = "caf\u00e9"


@pytest.mark.parametrize(
    ("label", "normal"),
    [
        ("bad", "bad"),
        (" bad\t", "bad"),
        ("\u00a0bad\u3000", "bad"),  # a no-break and an ideographic space
        ("cafe\u0301", CAFE),
        ("New  York", "New  York"),
        ("Bad", "Bad"),
        ("1.0", "1.0"),
        ("\uff11", "\uff11"),  # a full-width 1
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # Persian with U+200C
    ],
)
def test_a_label_is_normalised_at_its_ends_and_to_form_c(label: str, normal: str) -> None:
    assert labels.normal(label) == normal


@given(st.text())
@example(" \u0301a")  # the mark would combine with the space before it
def test_normalising_twice_is_normalising_once(label: str) -> None:
    assert labels.normal(labels.normal(label)) == labels.normal(label)


@pytest.mark.parametrize("label", ["", " \u00a0", "\u200b", "\ufeff \u00ad", "\u3164"])
def test_a_label_that_shows_nothing_is_blank(label: str) -> None:
    assert labels.is_blank(label)


@pytest.mark.parametrize("label", ["0", "\u2764\ufe0f", "\u200bx", "."])
def test_a_label_that_shows_something_is_not_blank(label: str) -> None:
    assert not labels.is_blank(label)


@pytest.mark.parametrize(
    ("some", "groups"),
    [
        (["bad", "good"], []),
        (["bad", "Bad", "BAD", "good"], [["BAD", "Bad", "bad"]]),
        (["1", "1.0", "10", "1.00", "1.5"], [["1", "1.0", "1.00"]]),
        (["-1", "-1.0", "1"], [["-1", "-1.0"]]),
        (["stra\u00dfe", "STRASSE"], [["STRASSE", "stra\u00dfe"]]),
        (["A1", "\uff21\uff11"], [["A1", "\uff21\uff11"]]),
        (["co-op", "coop", "co\u00adop"], [["coop", "co\u00adop"]]),
        (["New York", "New  York", "New\u00a0York"], [["New  York", "New York", "New\u00a0York"]]),
        (["\u2764", "\u2764\ufe0f"], [["\u2764", "\u2764\ufe0f"]]),
    ],
)
def test_similar_labels_are_grouped(some: list[str], groups: list[list[str]]) -> None:
    assert labels.similar(some) == groups


@given(st.text())
def test_folding_does_not_see_what_normalising_changes(label: str) -> None:
    assert labels.folded(labels.normal(label)) == labels.folded(label)
