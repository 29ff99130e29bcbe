import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from seqline.errors import DataError, UserError
from seqline.rows.row import Row
from tests.support.source_files import (
    check,
    example,
    read_all,
    read_bytes,
    reasons,
    usable,
    write_tfrecord,
)


def test_tfrecord_of_another_system(tmp_path: Path) -> None:
    path = write_tfrecord(
        tmp_path / "a.tfrecord-00000-of-00001",
        [
            example(body=[b"caf\xc3\xa9"], topic=[b"x"], id=[7]),
            example(body=[b"two"], topic=[1]),
            example(body=[b"three"], topic=[1.5]),
            example(body=[b"caf\xe9"], topic=[b"x"]),
            example(topic=[b"x"]),
            example(body=[b"six"], topic=[]),
            example(body=[b"a", b"b"], topic=[b"x"]),
            b"\x0a\x7fno",
        ],
    )
    rows = read_all(path, text="body", label="topic")

    assert rows[:2] == [
        Row("caf\u00e9".encode(), b"x", str(path), 1),
        Row(b"two", b"1", str(path), 2),
    ]
    assert reasons(rows)[:-1] == [
        (3, "the label is 1.5, not a string or an integer", "type"),
        (4, "the text is not valid in the source's encoding: 'caf\\udce9'", "encoding"),
        (5, "no feature 'body'", "missing text"),
        (6, "no feature 'topic'", "missing label"),
        (7, "the text is ['a', 'b'], not a string", "type"),
    ]

    line, reason, problem = reasons(rows)[-1]
    assert (line, reason.startswith("not a tf.Example: "), problem) == (8, True, "format")


def test_tfrecord_without_the_named_feature(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "a.tfrecord", [example(texts=[b"a"], label=[b"x"])] * 2)
    for act in (read_all, check):
        with pytest.raises(
            UserError,
            match=(
                r"has no feature 'text' \(example_gen.text\); it has 'label', 'texts'\. Did you"
                r" mean 'texts'\?"
            ),
        ):
            act(path)


def test_tfrecord_that_tensorflow_wrote(tmp_path: Path) -> None:
    path = tmp_path / "data_tfrecord-00000-of-00001.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number in range(3):
            writer.write(example(text=[b"t%d" % number], label=[b"x"]))
    assert usable(read_all(path)) == [(b"t0", b"x"), (b"t1", b"x"), (b"t2", b"x")]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda content: content[:-1],
            r"in record 2 \(byte 49\): the file ends after 36 of the record's 37 bytes",
        ),
        (
            lambda content: content[:54],
            r"in record 2 \(byte 49\): the file ends within the record's length",
        ),
        (
            lambda content: content[:66] + b"X" + content[67:],
            r"in record 2 \(byte 49\): the record's checksum is wrong",
        ),
        (
            lambda content: content[:49] + b"X" + content[50:],
            r"in record 2 \(byte 49\): the checksum of the record's length is wrong",
        ),
        (
            lambda _: b"text,label\na,x\nb,y\n",
            r"in record 1 \(byte 0\): this is not a TFRecord file",
        ),
    ],
    ids=["cut off", "cut off in the length", "record", "length", "csv"],
)
def test_tfrecord_that_is_damaged(
    tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    plain = write_tfrecord(tmp_path / "a.tfrecord", [example(text=[b"a"], label=[b"x"])] * 2)
    content = damage(plain.read_bytes())
    path = tmp_path / f"b.tfrecord{suffix}"
    with pytest.raises(
        DataError, match=rf"{path} is damaged {message}.* Make or copy the file again"
    ):
        read_bytes(path, gzip.compress(content) if suffix else content)


def test_tfrecord_that_is_gzipped_and_not_named_so(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "a.tfrecord.gz", [example(text=[b"a"], label=[b"x"])] * 2)
    path = path.rename(tmp_path / "a.tfrecord")
    check(path)
    assert usable(read_all(path)) == [(b"a", b"x")] * 2


def test_tfrecord_whose_first_record_is_as_long_as_the_mark_of_gzip(tmp_path: Path) -> None:
    # Its length, 559,903, is written as 1f 8b 08 00.
    size = 0x088B1F - len(example(text=[b"a" * 500_000], label=[b"x"])) + 500_000
    record = example(text=[b"a" * size], label=[b"x"])
    assert len(record) == 559_903
    assert usable(read_all(write_tfrecord(tmp_path / "a.tfrecord", [record]))) == [
        (b"a" * size, b"x")
    ]
