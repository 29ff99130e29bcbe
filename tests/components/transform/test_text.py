"""From texts to tokens."""

import os
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.transform.text import normalize, tokenize
from tests.support import CHECKOUT

BATCH = [tf.TensorSpec([None], tf.string)]
compiled_lower = tf.function(lambda text: normalize(text, True), input_signature=BATCH)
compiled_as_is = tf.function(lambda text: normalize(text, False), input_signature=BATCH)


def normalized(text: str | bytes, lowercase: bool = True) -> str:
    function = compiled_lower if lowercase else compiled_as_is
    return function(tf.constant([text])).numpy()[0].decode()


def tokenized(text: str, tokens: str = "word") -> list[str]:
    [row] = tokenize(compiled_lower(tf.constant([text])), tokens).to_list()
    return [token.decode() for token in row]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u0085b", "a b"),
        ("a\u00a0b", "a b"),
        ("a\x00b", "a b"),
        ("\x00 a \t\r\n b\u2028\u3000", "a b"),
        ("so\u00adft", "soft"),
        ("\ufeffmark", "mark"),
        ("a\u200db", "ab"),
        ("e\u200d\u0301", "é"),
        (b"a\xffb", "a\ufffdb"),
        (b"\xe2\x82", "\ufffd"),
        ("É", "é"),
        ("E\u0301", "é"),
        ("Straße", "straße"),
        ("STRASSE", "strasse"),
        ("\u03a3", "\u03c3"),
        ("ΟΔΟΣ ΟΔΟΣ", "οδος οδος"),
        ("I\u0130", "ii\u0307"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_normalize(text: str | bytes, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ÉΣ\u00a0A\x00b", "ÉΣ A b"),
        (b"A\xffB", "A\ufffdB"),
        ("E\u0301\ufeff", "É"),
        (b"a\x00\xff\x00b", "a \ufffd b"),
    ],
)
def test_normalize_can_leave_the_case(text: str | bytes, expected: str) -> None:
    assert normalized(text, lowercase=False) == expected


def check_normalized(text: str) -> None:
    assert unicodedata.normalize("NFC", text) == text
    assert text == " ".join(text.split(" ")).strip(" ")
    assert "  " not in text
    assert not [
        char
        for char in text
        if unicodedata.category(char) in ("Cc", "Zl", "Zp")
        or (unicodedata.category(char) == "Zs" and char != " ")
    ]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary() | st.text().map(str.encode), min_size=1, max_size=20))
def test_normalize_gives_clean_utf8_for_any_bytes(texts: list[bytes]) -> None:
    for function in (compiled_lower, compiled_as_is):
        cleaned = function(tf.constant(texts)).numpy().tolist()
        assert len(cleaned) == len(texts)
        for text in cleaned:
            check_normalized(text.decode())
        assert function(tf.constant(cleaned)).numpy().tolist() == cleaned


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_tokens_are_the_text_without_its_spaces(text: str) -> None:
    clean = normalized(text)
    words = tokenized(text)
    assert "" not in words
    assert "".join(words) == clean.replace(" ", "")
    assert tokenized(text, "char") == list(clean)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't.", ["i", "don", "'", "t", "."]),
        ("snake_case", ["snake", "_", "case"]),
        ("猫が好き。犬も", ["猫が好き", "。", "犬も"]),
        ("3.14 4x4 ٣", ["3", ".", "14", "4x4", "٣"]),
        ("...", [".", ".", "."]),
        ("E\u0301te\u0301 q\u0323\u0308", ["été", "q\u0323\u0308"]),
        ("हिन्दी", ["हिन्दी"]),
        ("👍🏽ok", ["👍", "🏽", "ok"]),
        ("", []),
        (" \x00 ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert tokenized(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("A  b!", ["a", " ", "b", "!"]), ("猫e\u0301", ["猫", "é"]), ("", [])]
)
def test_characters(text: str, expected: list[str]) -> None:
    assert tokenized(text, "char") == expected


# Turkish lower-cases I without its dot, Lithuanian adds one below an accent.
LOWER_SCRIPT = """
import hashlib, sys
import tensorflow as tf
from components.transform.text import normalize
texts = ["TITLE \u0130I\u0307", "I\u0301 J\u0301 \u012e\u0301 \u00cc \u00cd \u0128"]
print(ascii([text.decode() for text in normalize(tf.constant(texts)).numpy()]))
characters = [char for char in map(chr, range(sys.maxunicode + 1)) if char.lower() != char]
marks = ("", "\u0301", "\u0307")
rows = [before + char + mark for before in ("", "A") for char in characters for mark in marks]
print(hashlib.sha256(b"|".join(normalize(tf.constant(rows)).numpy())).hexdigest())
"""


def test_lower_case_does_not_depend_on_the_locale(capsys: pytest.CaptureFixture[str]) -> None:
    running = {
        locale: subprocess.Popen(
            [sys.executable, "-c", LOWER_SCRIPT],
            env={**os.environ, "LC_ALL": locale},
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for locale in ("tr_TR.UTF-8", "lt_LT.UTF-8")
    }
    exec(LOWER_SCRIPT, {})

    printed = capsys.readouterr().out
    assert printed.startswith(
        ascii(["title i\u0307i\u0307", "\u00ed j\u0301 \u012f\u0301 \u00ec \u00ed \u0129"])
    )

    for locale, process in running.items():
        assert process.communicate()[0] == printed, locale
