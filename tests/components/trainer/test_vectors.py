"""Files of token vectors as GloVe, word2vec and fastText write them, whole and damaged."""

import bz2
import gzip
import lzma
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.trainer import vectors
from components.trainer.vectors import num_announced, read
from seqline.errors import UserError

WANTED = {b"the", b"film", b". . .", b"at name@domain.com", "\u00a0".encode(), b"1984", b"New York"}
# As the file of every good case says it.
THE_FILM = [(b"the", [1.0, 2.0, 3.0]), (b"film", [4.0, 5.0, 6.0])]


def written(folder: Path, content: bytes, name: str = "v.txt") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def taken(path: str, dim: int = 3) -> list[tuple[bytes, list[float] | None]]:
    vectors.check(path, dim)
    return [(token, numbers) for _, token, numbers in read(path, dim, WANTED)]


@pytest.mark.parametrize(
    "content",
    [
        b"the 1 2 3\nfilm 4 5 6\n",
        b"\xef\xbb\xbfthe 1 2 3\nfilm 4 5 6\n",
        b"\xef\xbb\xbf\xef\xbb\xbfthe 1 2 3\nfilm 4 5 6\n",
        b"the\t1\t2\t3\nfilm\t4\t5\t6\n",
        b"the 1 2 3\r\nfilm 4 5 6\r\n",
        b"the 1 2 3\nfilm 4 5 6\n\n",
        b"the 1 2 3\nfilm 4 5 6",
        b"the   1  2 3  \nfilm 4 5 6 \n",
        b"2 3\nthe 1 2 3 \nfilm 4 5 6 \n",
        b"\xef\xbb\xbf2 3\nthe 1 2 3\nfilm 4 5 6\n",
        b"the 1.0 2e0 +3\nfilm 4 5 6.000\n",
    ],
)
def test_every_way_of_writing_gives_the_same_vectors(content: bytes, tmp_path: Path) -> None:
    assert taken(written(tmp_path, content)) == THE_FILM


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["v.txt", "v.vec.gz"])
def test_compressed_files_are_read_whatever_their_name(
    compress: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    content = compress(b"the 1 2 3\nfilm 4 5 6\n")
    assert taken(written(tmp_path, content, name)) == THE_FILM


def test_an_archive_of_one_file_is_read_and_one_of_several_is_refused(tmp_path: Path) -> None:
    for num_files in (1, 2):
        with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
            for number in range(num_files):
                archive.writestr(f"{number}.txt", "the 1 2 3\nfilm 4 5 6\n")
        if num_files == 1:
            assert taken(str(tmp_path / "glove.zip")) == THE_FILM

    with pytest.raises(UserError, match=r"trainer\.embeddings: .* is a zip archive of 2 files"):
        vectors.check(str(tmp_path / "glove.zip"), 3)


def test_tokens_may_hold_blanks_and_numbers(tmp_path: Path) -> None:
    content = (
        b"the .1 .2 .3\n. . . 0.5 0.25 -1\nat name@domain.com 1 2 3\n\xc2\xa0 4 5 6\n1984 7 8 9\n"
        b"New York\t1.5\t2\t3\napollo 11 0.5 0.25 1\n  0.5 1 2\n 0.5 1 2\n"
    )
    assert taken(written(tmp_path, content)) == [
        (b"the", [0.1, 0.2, 0.3]),
        (b". . .", [0.5, 0.25, -1]),
        (b"at name@domain.com", [1, 2, 3]),
        (b"\xc2\xa0", [4, 5, 6]),
        (b"1984", [7, 8, 9]),
        (b"New York", [1.5, 2, 3]),
        (b"apollo 11", None),
        (b" ", None),
        (b"", None),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the nan 2 3\nfilm 4 5 6\n", r"v\.txt:1 holds 'nan', which is not a finite number"),
        (b"the 1 2 3\nelsewhere 4 -INF 6\n", r"v\.txt:2 holds '-INF'"),
        (b"the 1 2 3\nfilm 4 1e39 6\n", r"v\.txt:2 holds '1e39'"),
        (b"the 1 2 3\nfilm 4 5\n", r"v\.txt:2 has 2 numbers; trainer\.embedding_dim is 3"),
        (b"the 1 2 3\nfilm 4 5", r"v\.txt:2 is cut off: the file ends after 2 of 3 numbers"),
        (b"the 1 2 3\nfilm 4 5 6 7\n", r"v\.txt:2 has 4 numbers"),
        (b"the 1 2 3\nfilm 0.4 0.5 0.6 0.7\n", r"v\.txt:2 has 4 numbers"),
        (b"the 1 2 3\nfilm 4 x 6\n", r"v\.txt:2 holds something that is not a number: 'x'"),
        (b"the,1,2,3\n", r"v\.txt:1 has no blank: 'the,1,2,3'\. A line is a token and its 3 num"),
        (b"2 " + b"9" * 4400 + b"\nthe 1 2 3\n", r"v\.txt:1 has 1 number"),
        (b"the 1_0 2 3\n", r"v\.txt:1 holds something that is not a number: '1_0'"),
        (b"the 1 2 3\rfilm 4 5 6\r", r"v\.txt:1 holds a carriage return within the line"),
        (b"2 300\nthe 1 2 3\n", r"v\.txt:1 says that vectors have 300 numbers"),
        ("the 1 2 3\n".encode("utf-16"), r"v\.txt is UTF-16\. Convert it"),
        (b"the 1 2 3\n\0\0\0\n", r"v\.txt is not text: byte 10 is zero"),
        (b"", r"v\.txt holds no vector"),
        (b"2 3\n", r"v\.txt holds no vector"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_the_place(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        vectors.check(written(tmp_path, content), 3)
    assert str(caught.value).startswith("trainer.embeddings")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("numbers", [(1.0, 2.0, 0.5), (0.1, 0.2, 0.3)])
def test_the_binary_format_of_word2vec_is_named(
    numbers: tuple[float, float, float], tmp_path: Path
) -> None:
    content = b"2 3\n"
    for token in (b"the", b"film"):
        content += token + b" " + struct.pack("<3f", *numbers) + b"\n"
    with pytest.raises(UserError, match=r"binary file of word2vec\. Convert it to text"):
        vectors.check(written(tmp_path, content, "v.bin"), 3)


def test_a_folder_a_missing_file_and_a_cut_archive_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.embeddings: .* Is a directory"):
        vectors.check(str(tmp_path), 3)
    with pytest.raises(UserError, match=r"trainer\.embeddings .*none\.txt does not exist"):
        vectors.check(str(tmp_path / "none.txt"), 3)

    whole = gzip.compress(b"".join(b"w%d 1 2 3\n" % number for number in range(5000)))
    path = written(tmp_path, whole[: len(whole) // 2], "v.txt.gz")
    with pytest.raises(UserError, match=r"trainer\.embeddings: .*v\.txt\.gz is damaged"):
        list(read(path, 3, WANTED))


def test_the_first_line_may_say_how_many_vectors_there_are(tmp_path: Path) -> None:
    assert num_announced(written(tmp_path, b"200 3\nthe 1 2 3\n")) == 200
    assert num_announced(written(tmp_path, b"the 1 2 3\n")) is None
    # A token that is a number, with the only number of its vector.
    assert [token for _, token, _ in read(written(tmp_path, b"1984 3\nthe 1\n"), 1, WANTED)] == [
        b"1984",
        b"the",
    ]
