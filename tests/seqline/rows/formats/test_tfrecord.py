import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from seqline.errors import DataError, UserError
from seqline.rows.formats import tfrecord
from seqline.rows.row import Row
from tests.support.source_files import (
    check,
    example,
    read_all,
    read_bytes,
    reasons,
    row_format,
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
        (3, "the label is 1.5, not a string or a whole number: write classes as strings", "type"),
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


ROWS = [example(text=[b"a"], label=[b"x"]), example(text=[b"b"], label=[b"y"])]


def test_tfrecord_compressed_by_zlib_is_known_by_its_content(tmp_path: Path) -> None:
    content = write_tfrecord(tmp_path / "plain", ROWS).read_bytes()
    for level in (1, 6, 9):
        rows = read_bytes(tmp_path / "a.tfrecord-00000-of-00001", zlib.compress(content, level))
        assert usable(rows) == [(b"a", b"x"), (b"b", b"y")]

    # A first record of 120 bytes begins with zlib's 0x78, too, but it has its checksum.
    record = example(text=[b"a" * (120 - len(ROWS[0]) + 1)], label=[b"x"])
    assert len(record) == 120
    path = write_tfrecord(tmp_path / "b.tfrecord", [record])
    assert path.read_bytes()[:1] == b"\x78"
    assert usable(read_all(path)) == [(b"a" * 88, b"x")]


def test_tfrecord_that_tensorflow_compressed_by_zlib(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path), "ZLIB") as writer:
        for row in ROWS:
            writer.write(row)
    assert usable(read_all(path)) == [(b"a", b"x"), (b"b", b"y")]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-3], r"in record 3 \(byte 98\): the zlib stream ends too early"),
        (lambda content: content + b"x", r"in record 3 .*: something follows the end of the zlib"),
        (lambda content: content[:2] + b"\xff" * 20, r"in record 1 \(byte 0\): Error -3"),
    ],
    ids=["cut", "longer", "other bytes"],
)
def test_tfrecord_compressed_by_zlib_and_damaged(
    tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    content = zlib.compress(write_tfrecord(tmp_path / "plain", ROWS).read_bytes())
    path = tmp_path / "a.tfrecord"
    with pytest.raises(DataError, match=rf"^{path} is damaged {message}[^\n]*$"):
        read_bytes(path, damage(content))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zlib.compress])
def test_tfrecord_shards_without_a_record(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    empty = tmp_path / "a.tfrecord-00000-of-00002"
    empty.write_bytes(compress(b""))
    assert read_all(empty) == []
    with pytest.raises(DataError, match=r"has no row\. Name files with rows"):
        check(empty)

    write_tfrecord(tmp_path / "a.tfrecord-00001-of-00002", ROWS)
    check(tmp_path / "a.tfrecord-*")
    assert usable(read_all(tmp_path / "a.tfrecord-*")) == [(b"a", b"x"), (b"b", b"y")]


def test_tfrecord_beginnings_for_init(tmp_path: Path) -> None:
    records = [
        sequence_example({"label": [3]}, {"words": [[b"a"], [b"b"]], "s": [[1.0, 2.0]]}),
        b"not an Example",
        example(label=[b"x"], words=[b"c"]),
    ]
    path = write_tfrecord(tmp_path / "a.tfrecord", records)
    first = {"label": 3, "s": [[1.0, 2.0]], "words": ["a", "b"]}
    rows = [*tfrecord.raw_rows(str(path), row_format())]
    assert rows == [first, {"label": "x", "words": "c"}]


def sequence_example(context: dict[str, list[Any]], lists: dict[str, list[list[Any]]]) -> bytes:
    """A serialized tf.SequenceExample."""
    made = tf.train.SequenceExample()
    made.context.CopyFrom(tf.train.Example.FromString(example(**context)).features)
    for name, steps in lists.items():
        for step in steps:
            feature = tf.train.Example.FromString(example(step=step)).features.feature["step"]
            made.feature_lists.feature_list[name].feature.append(feature)
    return made.SerializeToString()


def test_sequence_examples_and_examples_in_one_file(tmp_path: Path) -> None:
    path = write_tfrecord(
        tmp_path / "a.tfrecord",
        [
            sequence_example({"label": [b"x"]}, {"words": [[b"a"], [b"b"]]}),
            example(label=[b"y"], words=[b"c"]),
            # Without feature lists it is the same bytes as an Example.
            sequence_example({"label": [b"x"], "words": [b"d", b"e"]}, {}),
            # The feature list comes first for tokens.
            sequence_example({"label": [b"y"], "words": [b"no"]}, {"words": [[b"f"]]}),
            sequence_example({"label": [b"x"]}, {"words": [[b"g", b"h"]]}),
            sequence_example({"label": [b"x"]}, {"words": []}),
        ],
    )
    rows = read_all(path, content="tokens", text="words")
    assert usable(rows[:4]) == [
        ([b"a", b"b"], b"x"),
        ([b"c"], b"y"),
        ([b"d", b"e"], b"x"),
        ([b"f"], b"y"),
    ]
    assert reasons(rows) == [
        (5, "token 1 is ['g', 'h'], not a string", "type"),
        (6, "no feature 'words'", "missing text"),
    ]

    # A text is taken from the context.
    assert usable(read_all(path, text="words")[3:4]) == [(b"no", b"y")]


def test_sequence_examples_say_what_a_time_step_is(tmp_path: Path) -> None:
    path = write_tfrecord(
        tmp_path / "a.tfrecord",
        [
            sequence_example({"label": [b"x"]}, {"s": [[1.0, 2.0], [3.0, 4.0]]}),
            sequence_example({"label": [3]}, {"s": [[5, 6]]}),
            sequence_example({"label": [b"x"]}, {"s": [[1.0, 2.0], [3.0]]}),
            sequence_example({"label": [b"x"]}, {"s": [[], []]}),
        ],
    )
    check(path, content="sequence", text="s")
    rows = read_all(path, content="sequence", text="s")
    assert [row[0].tolist() for row in usable(rows[:2])] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert [row.label for row in rows[:2] if isinstance(row, Row)] == [b"x", b"3"]
    assert reasons(rows) == [
        (3, "the sequence has time steps of different lengths", "format"),
        (4, "the sequence is empty", "empty text"),
    ]

    flat = write_tfrecord(tmp_path / "b.tfrecord", [example(label=[b"x"], s=[1.0, 2.0])])
    with pytest.raises(UserError, match=r"holds flat lists of numbers: set example_gen\.dim"):
        check(flat, content="sequence", text="s")
