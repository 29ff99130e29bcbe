"""Reserved tokens and imported vocabularies."""

from pathlib import Path

import pytest

from components.transform import TRANSFORM, TransformParams, check, vocabulary
from components.transform.imported import read
from seqline.data.features import EVAL
from seqline.errors import DataError, UserError
from tests.support.exports import read_ids
from tests.support.transformed import lines, transform


def test_reserved_tokens_come_first_whether_they_occur_or_not(
    small_examples: Path, tmp_path: Path
) -> None:
    figures = transform(small_examples, tmp_path, reserved_tokens=["<url>", "cat"], vocab_size=4)
    assert lines(tmp_path / "vocabularies" / "tokens") == ["<url>", "cat", "the", "dog"]
    assert figures["oov_rate"] == pytest.approx(5 / 11, abs=1e-12)


def test_an_imported_vocabulary_keeps_its_ids_frozen_or_extended(
    small_examples: Path, tmp_path: Path
) -> None:
    imported = tmp_path / "imported"
    imported.write_bytes("cat\nunseen\né\n".encode())
    figures = transform(small_examples, tmp_path / "frozen", vocabulary=str(imported))

    assert lines(tmp_path / "frozen" / "vocabularies" / "tokens") == ["cat", "unseen", "é"]
    assert figures["oov_rate"] == pytest.approx(8 / 11, abs=1e-12)
    assert read_ids(tmp_path / "frozen", EVAL) == [([4, 4, 1], 3, 1)]

    transform(
        small_examples,
        tmp_path / "extended",
        vocabulary=str(imported),
        vocabulary_mode="extend",
        vocab_size=5,
    )
    assert lines(tmp_path / "extended" / "vocabularies" / "tokens") == [
        "cat",
        "unseen",
        "é",
        "the",
        "dog",
    ]


def test_a_vocabulary_that_knows_no_token_is_refused(small_examples: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("The\nDOG\n")
    with pytest.raises(
        DataError,
        match=r"None of the 2 tokens of the vocabulary occurs .* transform\.lowercase True give",
    ):
        transform(small_examples, tmp_path / "output", vocabulary=str(tmp_path / "tokens"))


def test_what_is_outside_is_the_imported_vocabularys_content(tmp_path: Path) -> None:
    assert TRANSFORM.external_digest is not None
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "b").write_text("x\n")
    (tmp_path / "c").write_text("y\n")
    digests = [
        TRANSFORM.external_digest(TransformParams(vocabulary=str(tmp_path / name)))
        for name in "abc"
    ]
    assert digests[0] == digests[1] != digests[2]
    assert TRANSFORM.external_digest(TransformParams()) == ""
    assert "vocabulary" not in TransformParams().key_fields()


def test_a_file_of_tokens_as_editors_write_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xef\xbb\xbf\xef\xbb\xbfthe\r\n\t\r\na b\r\n\r\n")
    assert read(str(path)) == [b"the", b"\t", b"a b"]


@pytest.mark.parametrize(
    ("content", "reserved", "message"),
    [
        (None, [], "transform.vocabulary .*tokens does not exist. Correct the path"),
        (b"", [], "holds no token"),
        (b"a\n\nb\n", [], ":2 is empty"),
        (b"a\nb\na\n", [], ":3 repeats line 1"),
        (b"a\n", ["<url>"], r"\['<url>'\] are not in the frozen vocabulary"),
        (b"a\n", ["a", "a"], "names a token twice"),
        (b"a\r\nb\n", [], ":1 ends in a carriage return"),
        ("a\nb\n".encode("utf-16"), [], "is UTF-16. Convert it"),
        (b"a\n\xff\n", [], ":2 is not UTF-8"),
        (
            b"a\nthe\t120\n",
            [],
            r":2 holds the control character U\+0009, .*: 'the\\t120'\. A line is",
        ),
        (b"the\ra\rof", [], r":1 holds the control character U\+000D"),
        ("the\na\n".encode("utf-16-le"), [], r":1 holds the control character U\+0000"),
        (b"a\n", [""], "a token must not be empty"),
    ],
)
def test_vocabulary_files_that_cannot_work(
    content: bytes | None, reserved: list[str], message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(UserError, match=message):
        check(TransformParams(vocabulary=str(tmp_path / "tokens"), reserved_tokens=reserved))


@pytest.mark.parametrize(
    "content",
    [
        b"the\nfilm\n",
        b"\xef\xbb\xbfthe\nfilm\n",
        b"the\r\nfilm\r\n",
        b"the\nfilm\n\n",
        b"the\nfilm",
    ],
)
def test_a_mark_crlf_and_blank_last_lines_lose_no_token(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(content)
    params = TransformParams(vocabulary=str(tmp_path / "tokens"))
    check(params)
    assert vocabulary.fixed_tokens(params) == [b"the", b"film"]
    assert TRANSFORM.external_digest is not None
    (tmp_path / "plain").write_bytes(b"the\nfilm\n")
    plain = TransformParams(vocabulary=str(tmp_path / "plain"))
    assert TRANSFORM.external_digest(params) == TRANSFORM.external_digest(plain)


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"transform\.vocabulary: .* Is a directory"):
        check(TransformParams(vocabulary=str(tmp_path)))


def test_tokens_that_can_never_occur_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes("the\nThe\nnew york\n[CLS]\ne\u0301\n".encode())
    params = TransformParams(tokens="word", vocabulary=str(path), reserved_tokens=["[CLS]"])
    assert vocabulary.never_occurring(params, "text") == (
        f"transform.vocabulary {path}: 3 of 5 tokens can never occur under"
        ' transform.tokens = "word"'
        " and transform.lowercase = true: 1 upper case ('The' in line 2), 1 white space ('new york'"
        " in line 3), 1 not in Unicode's form C ('e\\u0301' in line 5)."
    )
    assert vocabulary.never_occurring(params, "tokens") == ""
    assert vocabulary.never_occurring(TransformParams(), "text") == ""
