"""Normalization form C is the same as Python's."""

import sys
import unicodedata

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.transform.nfc import nfc

BATCH = [tf.TensorSpec([None], tf.string)]
compiled_nfc = tf.function(nfc, input_signature=BATCH)

# Marks of several classes and of one class, their partners, characters that composition excludes,
# and Hangul of all kinds.
DIFFICULT = (
    "aeioAEIOcsdqkΩω\u03b1\u03b9עשकড"
    "\u0300\u0301\u0302\u0304\u0307\u0308\u030a\u031b\u0323\u0327\u0328\u0338\u0345\u034f"
    "\u05b0\u05bc\u05c1éåÅẹ́ṩǖợ\u212b\u2126\u1e9b"
    "\u0344\u0958\u0f73\u0f43\u2adc\ufb2a\u1fc1"
    "\u1f82\u09c7\u09be\u09d7\u0dd9\u0dcf\u0dca\u1025\u102e\u3099か\u309a\u1100\u1112\u1161"
    "\u1175\u1176\u11a7\u11a8\u11c2\u11c3가각힣"
    "\U0001d15e\U0001d157\U0001d165\U00011131\U00011127"
    "\U0002f800 .\x00"
)


def check_nfc(texts: list[str]) -> None:
    normalized = [text.decode() for text in compiled_nfc(tf.constant(texts, tf.string)).numpy()]
    assert normalized == [unicodedata.normalize("NFC", text) for text in texts]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(), max_size=20))
def test_nfc_is_pythons(texts: list[str]) -> None:
    check_nfc(texts)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(alphabet=sorted(set(DIFFICULT)), max_size=30), max_size=20))
def test_nfc_is_pythons_where_characters_interact(texts: list[str]) -> None:
    check_nfc(texts)


def test_nfc_is_pythons_for_every_code_point() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    check_nfc(characters)
    changed = [char for char in characters if unicodedata.normalize("NFD", char) != char]
    check_nfc([unicodedata.normalize("NFD", char) for char in changed])
    check_nfc(["a" + char + "\u0301" for char in characters if unicodedata.combining(char)])


def test_nfc_does_not_join_across_rows() -> None:
    check_nfc(["e", "\u0301", "", "\u1100", "\u1161", "\u11a8", "e\u0301"])
    check_nfc([])
